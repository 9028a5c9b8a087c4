"""
Which checkpoints of several runs stand together, though each run saves at its own cadence.

A step holds at most one checkpoint of each run, and every checkpoint stands in exactly one step, in
the order of its run. Two stand together when each is the other's nearest and they are no further
apart than half of what lies between two saves of the run that saves most often: what was saved
nowhere near anything else stands alone, beside gaps. Base models stand together before all.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import median

from app.domain.matrix import Column, Matrix

HALF = 0.5
TIE = 1e-9  # tells two saves within one update apart


class Alignment(StrEnum):
    """By what the checkpoints of several runs stand together."""

    OFF = "off"
    """Run by run."""
    ITERATION = "iteration"
    UPDATES = "updates"
    SHARE = "share"
    """Of the iterations that the run has planned."""


@dataclass(frozen=True, slots=True)
class Step:
    """Checkpoints that stand together."""

    columns: tuple[Column | None, ...]
    """One of each run, None where it has no checkpoint here; of base models all there are."""
    least: float
    most: float
    """The lowest and the highest place of its checkpoints: iterations, updates, or 0 to 1 of the run."""

    @property
    def is_base(self) -> bool:
        """Whether it holds the untuned models."""
        return any(column is not None and column.is_base for column in self.columns)


def align(columns: Sequence[Column], by: Alignment) -> tuple[Step, ...]:
    """
    Put the checkpoints of several runs together.

    Args:
        columns: those that are shown, each run's in its order.
        by: what is compared; with `OFF` nothing stands together, and there are no steps.
    """
    if by is Alignment.OFF or not columns:
        return ()
    bases = tuple(column for column in columns if column.is_base)
    runs: dict[int, list[Column]] = {}
    for column in columns:
        if not column.is_base:
            runs.setdefault(column.run_id, []).append(column)
    placed = {run_id: _places(own, by) for run_id, own in runs.items()}
    reach = _reach(placed.values())
    steps: list[_Held] = []
    for run_id in sorted(runs, key=lambda run_id: -len(runs[run_id])):
        steps = _joined(steps, run_id, list(zip(placed[run_id], runs[run_id], strict=True)), reach=reach)
    first = [Step(bases, 0.0, 0.0)] if bases else []
    return (*first, *(_step(held, list(runs), by) for _, held in steps))


def in_steps(matrix: Matrix, steps: Sequence[Step]) -> tuple[Column, ...]:
    """Return the shown columns in the order in which they stand: run by run where there are no steps."""
    if not steps:
        return matrix.columns
    return tuple(column for step in steps for column in step.columns if column is not None)


def place_of(column: Column, by: Alignment) -> float:
    """Return where a checkpoint stands in its run."""
    if by is Alignment.UPDATES:
        return float(column.updates)
    if by is Alignment.SHARE:
        return column.iteration / max(column.iterations, column.iteration, 1)
    return float(column.iteration)


def _places(columns: Sequence[Column], by: Alignment) -> list[float]:
    return [place_of(column, by) + number * TIE for number, column in enumerate(columns)]


def _reach(runs: Iterable[Sequence[float]]) -> float:
    """Return how far apart two checkpoints of one step may be."""
    gaps = [median(after - before for before, after in pairwise(places)) for places in runs if len(places) > 1]
    return HALF * min(gaps) if gaps else float("inf")


_Held = tuple[float, dict[int, Column]]


def _joined(steps: list[_Held], run_id: int, own: list[tuple[float, Column]], *, reach: float) -> list[_Held]:
    """Put one run's checkpoints into the steps there are, and between them where none is near."""
    anchors, places = [anchor for anchor, _ in steps], [place for place, _ in own]
    joined = [(anchor, dict(held)) for anchor, held in steps]
    for number, (place, column) in enumerate(own):
        near = _nearest(anchors, place)
        is_mutual = near is not None and _nearest(places, anchors[near]) == number
        if near is not None and is_mutual and abs(anchors[near] - place) <= reach + TIE * len(own):
            joined[near][1][run_id] = column
        else:
            joined.append((place, {run_id: column}))
    return sorted(joined, key=lambda step: step[0])


def _nearest(places: Sequence[float], wanted: float) -> int | None:
    after = bisect_left(places, wanted)
    around = [index for index in (after - 1, after) if 0 <= index < len(places)]
    return min(around, key=lambda index: abs(places[index] - wanted), default=None)


def _step(held: Mapping[int, Column], run_ids: Sequence[int], by: Alignment) -> Step:
    places = [place_of(column, by) for column in held.values()]
    return Step(tuple(held.get(run_id) for run_id in run_ids), min(places), max(places))
