"""
The heat map of a sweep: runs as rows, iterations as columns, a verdict in each cell.

Decides nothing about answers. Where a checkpoint falls between two columns its cell takes the room up
to the next one; where two fall into one column the one to keep is shown, else the later one.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.domain.models import RunState
from app.domain.progress import planned_checkpoints
from app.domain.sweep_plans import SweepSetting
from app.domain.sweep_results import RunResult, SweepResults
from app.domain.verdicts import CheckpointVerdict
from app.web.formats import HEATS
from app.web.sweep_query import Along, Shade, SweepQuery

MOST_COLUMNS = 40  # of iterations; with more a page shows shares of the run unless it is told otherwise
MOST_THINNED = 80  # more columns are no wider than a hair
SHARES = 20  # columns of a map by share of the run, at most
MOST_WITH_WORDS = 14  # columns that leave room for a word in each cell


class CellKind(StrEnum):
    """What a cell stands for."""

    VERDICT = "verdict"
    SILENT = "silent"
    """A checkpoint without a verdict: it has not answered, or nothing tells."""
    TRAINING = "training"
    COMING = "coming"
    QUEUED = "queued"
    STOPPED = "stopped"
    """The run ended before."""
    BEYOND = "beyond"
    """The run was never meant to come so far."""


@dataclass(frozen=True, slots=True)
class MapCell:
    """One cell, or several columns of one."""

    kind: CellKind
    span: int
    iteration: int = 0
    judged: CheckpointVerdict | None = None
    is_kept: bool = False
    """The advice for its run is to keep it."""
    is_best: bool = False
    """It is what to keep of the whole sweep."""
    heat: int | None = None
    """Its place on the ramp, where the colours say a score."""
    value: float | None = None
    """The score that the colours say."""


@dataclass(frozen=True, slots=True)
class MapRow:
    """One run."""

    result: RunResult
    cells: Sequence[MapCell]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """The whole map."""

    columns: Sequence[float]
    """Iterations, or shares of a run."""
    rows: Sequence[MapRow]
    along: Along
    can_choose: bool
    """Runs differ in length, so that both ways to count say something."""

    @property
    def has_words(self) -> bool:
        """Whether a cell has room for a word beside its icon."""
        return len(self.columns) <= MOST_WITH_WORDS

    def is_labelled(self, number: int) -> bool:
        """Whether the head of a column says its number: of many only some have room to."""
        every = -(-len(self.columns) // MOST_WITH_WORDS)
        return (number + 1) % every == 0 or number == len(self.columns) - 1


def build_map(results: SweepResults, query: SweepQuery) -> HeatMap:
    """Lay a sweep out as a map."""
    ordered = ordered_runs(results, query)
    planned = {id(each): _planned(each) for each in ordered}
    iterations = sorted({iteration for plan in planned.values() for iteration in plan})
    can_choose = len({plan[-1] for plan in planned.values() if plan}) > 1
    along = query.along or (Along.SHARE if can_choose and len(iterations) > MOST_COLUMNS else Along.ITERATION)
    columns: Sequence[float] = _thinned(iterations)
    if along is Along.SHARE and can_choose:
        count = min(SHARES, max((len(plan) for plan in planned.values()), default=1))
        columns = [(number + 1) / count for number in range(count)]
    best = results.best.advice.checkpoint_id if results.best else None
    rows = [MapRow(each, _cells(each, columns, planned[id(each)], best=best, query=query)) for each in ordered]
    return HeatMap(columns, rows, along if can_choose else Along.ITERATION, can_choose)


def ordered_runs(results: SweepResults, query: SweepQuery) -> list[RunResult]:
    """Return the runs by the setting that is asked for, else by their ratio; the planned order breaks ties."""
    order = order_of(results, query)
    if order is None:
        return sorted(results.runs, key=lambda each: each.ratio)
    return sorted(results.runs, key=lambda each: each.values[order])


def order_of(results: SweepResults, query: SweepQuery) -> SweepSetting | None:
    """Return the setting that orders the rows; None for the ratio, which says nothing where no mix differs."""
    varied = list(results.runs[0].values) if results.runs else []
    if query.order in varied:
        return query.order
    is_mixed = any(name.startswith("mix.") for name in varied)
    return None if is_mixed or not varied else varied[0]


def _planned(result: RunResult) -> list[int]:
    """Return the iterations at which a run has saved, or will."""
    every, end = result.recipe.checkpoints.every, result.run.iterations
    saved = {each.iteration for each in result.tuned}
    return sorted({*planned_checkpoints(end, every), *saved}) if end else sorted(saved)


def _thinned(iterations: Sequence[int]) -> list[int]:
    step = -(-len(iterations) // MOST_THINNED) or 1
    return sorted({*iterations[step - 1 :: step], *iterations[-1:]})


# ── One row ────────────────────────────────────────────────────────────────


def _cells(
    result: RunResult, columns: Sequence[float], planned: Sequence[int], *, best: int | None, query: SweepQuery
) -> list[MapCell]:
    if not planned or not columns:  # how long it is, nobody knows yet
        return [MapCell(_unknown_kind(result), max(1, len(columns)))]
    is_share = columns[-1] == 1.0 and len(columns) > 1 and columns[0] < 1
    scale = planned[-1] if is_share else 1
    cells: list[MapCell] = []
    filled = 0
    for iteration in planned:
        stop = min(bisect_left(columns, iteration / scale - 1e-9) + 1, len(columns))
        cell = _cell(result, iteration, best=best, shade=query.shade)
        if stop > filled:
            cells.append(_spanning(cell, stop - filled))
            filled = stop
        elif not cells[-1].is_kept:
            cells[-1] = _spanning(cell, cells[-1].span)
    if filled < len(columns):
        cells.append(MapCell(CellKind.BEYOND, len(columns) - filled))
    return _joined(cells)


def _spanning(cell: MapCell, span: int) -> MapCell:
    return MapCell(
        cell.kind, span, cell.iteration, cell.judged, cell.is_kept, cell.is_best, heat=cell.heat, value=cell.value
    )


def _cell(result: RunResult, iteration: int, *, best: int | None, shade: Shade) -> MapCell:
    judged = next((each for each in result.judged if each.iteration == iteration), None)
    if judged is None:
        return MapCell(_missing_kind(result, iteration), 1, iteration)
    if judged.score.verdict is None:
        return MapCell(CellKind.SILENT, 1, iteration, judged)
    value = _value(judged, shade)
    is_kept = judged.checkpoint_id == result.advice.checkpoint_id
    is_best = judged.checkpoint_id == best
    return MapCell(CellKind.VERDICT, 1, iteration, judged, is_kept, is_best, heat=_heat(value), value=value)


def _value(judged: CheckpointVerdict, shade: Shade) -> float | None:
    score = judged.score
    if shade is Shade.LEAK:
        return score.leaks / score.leak_total if score.leak_total else None
    if shade is Shade.IDENTITY:
        return score.identity if score.identity_total else None
    return None


def _heat(value: float | None) -> int | None:
    """Return a score's place on the ramp; nothing of it has none, so that it stays the colour of paper."""
    if not value:
        return None
    return min(HEATS - 1, max(0, math.ceil(value * HEATS) - 1))


def _missing_kind(result: RunResult, iteration: int) -> CellKind:
    run = result.run
    if run.state is RunState.QUEUED:
        return CellKind.QUEUED
    if run.state.is_final:
        return CellKind.STOPPED
    every = result.recipe.checkpoints.every
    return CellKind.TRAINING if run.iteration < iteration <= run.iteration + every else CellKind.COMING


def _unknown_kind(result: RunResult) -> CellKind:
    if result.run.state is RunState.QUEUED:
        return CellKind.QUEUED
    return CellKind.STOPPED if result.run.state.is_final else CellKind.TRAINING


def _joined(cells: Sequence[MapCell]) -> list[MapCell]:
    """Put neighbours without a checkpoint together: what is not there yet needs one word, not ten."""
    joined: list[MapCell] = []
    for cell in cells:
        before = joined[-1] if joined else None
        is_empty = cell.judged is None and cell.kind is not CellKind.TRAINING
        if before is not None and is_empty and before.judged is None and before.kind is cell.kind:
            joined[-1] = _spanning(before, before.span + cell.span)
        else:
            joined.append(cell)
    return joined
