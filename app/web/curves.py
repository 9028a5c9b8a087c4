"""
The curves of a run: its loss and how it behaves, over one axis of iterations.

Pure functions from metrics and verdicts to what an SVG is drawn of, for the run's page and for files that
stand alone. In path data x is the iteration and y is percent from the top, so that a picture may be
stretched to any size; marks and ticks are placed in percent. `static/charts.js` draws the loss of a
live run by the same rules.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

from app.domain.advice import Advice
from app.domain.models import Checkpoint
from app.domain.trainer_events import MetricMeasured
from app.domain.verdicts import CheckpointVerdict, Verdict

SMOOTHING = 0.75  # weight of the past in the thick line of the loss
MOST_POINTS = 800  # of a line; a page has fewer columns
LOSS_PARTS = 4
MOST_TICKS = 8  # of the axis of iterations
RATE_HEIGHT = 92  # percent: the learning rate keeps off the top of the loss
CEILINGS = (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10)  # round numbers that a quarter of is round too

Point = tuple[float, float | None]
"""An iteration and a value; None where there is none."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel."""

    kind: str
    """What it is drawn as: `series`, `series-raw`, `series-lr`, `series-good` and so on."""
    path: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One of the two pictures over the axis."""

    labels: Sequence[str]
    """Of its own axis, from the top down, evenly spaced."""
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Place:
    """An iteration on the axis."""

    kind: str
    """`tick`, `first-leak` or `keep`."""
    iteration: int
    percent: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What is to be read off the curves at one checkpoint."""

    iteration: int
    updates: int
    hits: int
    identity_total: int
    leaks: int
    leak_total: int
    similarity: float | None
    """Mean similarity of the identity probes' answers to the identity; None without such probes."""
    identity_nll: float | None
    general_nll: float | None
    verdict: Verdict | None

    @property
    def identity(self) -> float | None:
        """Share of the identity probes that are answered with the identity."""
        return self.hits / self.identity_total if self.identity_total else None

    @property
    def leak(self) -> float | None:
        """Share of the open probes where something taught appears."""
        return self.leaks / self.leak_total if self.leak_total else None

    @property
    def row(self) -> list[object]:
        """The fields in their order, as the script reads them."""
        return [getattr(self, each.name) for each in fields(self)]


@dataclass(frozen=True, slots=True)
class Curves:
    """Everything that the macro `curves` draws."""

    end: int
    """The last iteration of the axis, at least 1."""
    ticks: Sequence[Place]
    marks: Sequence[Place]
    loss: Panel
    behaviour: Panel
    readings: Sequence[Reading]
    last: MetricMeasured | None
    """The newest iteration, where the loss is drawn here."""

    @property
    def newest(self) -> Reading | None:
        """What is read off at the newest checkpoint that has answered."""
        return self.readings[-1] if self.readings else None

    @property
    def has_nll(self) -> bool:
        """Whether held-out pairs were measured at any checkpoint."""
        return any(each.identity_nll is not None or each.general_nll is not None for each in self.readings)


def draw_curves(
    judged: Iterable[CheckpointVerdict],
    checkpoints: Iterable[Checkpoint],
    *,
    iterations: int,
    advice: Advice | None = None,
    metrics: Sequence[MetricMeasured] = (),
) -> Curves:
    """
    Lay out a run's curves.

    Args:
        judged: its checkpoints that have answered, by iteration, the base model's too.
        checkpoints: the rows of at least those.
        iterations: planned; where the run is longer already, or its length is not known yet, 0 will do.
        metrics: of the loss, by iteration; without them only held-out pairs are drawn on its panel.
    """
    readings = thinned(read_off(judged, checkpoints), MOST_POINTS)
    last = metrics[-1] if metrics else None
    end = max(iterations, last.iteration if last else 0, readings[-1].iteration if readings else 0, 1)
    return Curves(
        end=end,
        ticks=[Place("tick", at, 100 * at / end) for at in axis_ticks(end)],
        marks=_marks(advice, end),
        loss=loss_panel(metrics, readings),
        behaviour=behaviour_panel(readings),
        readings=readings,
        last=last,
    )


def read_off(judged: Iterable[CheckpointVerdict], checkpoints: Iterable[Checkpoint]) -> list[Reading]:
    """Return what is to be read off at each checkpoint that was judged."""
    rows: Mapping[int, Checkpoint] = {row.iteration: row for row in checkpoints}
    return [_reading(each, rows[each.iteration]) for each in judged]


def _reading(judged: CheckpointVerdict, row: Checkpoint) -> Reading:
    score = judged.score
    return Reading(
        iteration=row.iteration,
        updates=row.updates,
        hits=score.identity_hits,
        identity_total=score.identity_total,
        leaks=score.leaks,
        leak_total=score.leak_total,
        similarity=round(score.identity, 3) if score.identity_total else None,
        identity_nll=row.identity_nll,
        general_nll=row.general_nll,
        verdict=score.verdict,
    )


def _marks(advice: Advice | None, end: int) -> list[Place]:
    found = (("first-leak", advice.first_leak), ("keep", advice.iteration)) if advice else ()
    return [Place(kind, at, 100 * at / end) for kind, at in found if at is not None]


# ── The two panels ─────────────────────────────────────────────────────────


def loss_panel(metrics: Sequence[MetricMeasured], readings: Sequence[Reading]) -> Panel:
    """Draw the loss, the learning rate beside it, and what held-out pairs cost at each checkpoint."""
    rows = thinned(metrics, MOST_POINTS)
    held_out = {
        "series-nll-identity": [(each.iteration, each.identity_nll) for each in readings],
        "series-nll-general": [(each.iteration, each.general_nll) for each in readings],
    }
    loss: list[Point] = [(each.iteration, each.loss) for each in rows]
    values = [value for points in (loss, *held_out.values()) for _, value in points if value is not None]
    top = ceiling(values)
    rates: list[Point] = [(each.iteration, each.learning_rate) for each in rows]
    highest = max((each.learning_rate for each in rows), default=0) or 1.0
    lines = [
        Line("series-raw", path(loss, top=top)),
        Line("series-lr", path(rates, top=100 * highest / RATE_HEIGHT)),
        *(Line(kind, path(points, top=top)) for kind, points in held_out.items()),
        Line("series", path(smoothed(loss), top=top)),
    ]
    labels = [f"{top * part / LOSS_PARTS:.3g}" if values else "" for part in range(LOSS_PARTS, -1, -1)]
    return Panel(labels, [line for line in lines if line.path])


def behaviour_panel(readings: Sequence[Reading]) -> Panel:
    """Draw identity and leak as shares, and faintly how near the answers are to the identity."""
    similarity: list[Point] = [(each.iteration, each.similarity) for each in readings]
    identity: list[Point] = [(each.iteration, each.identity) for each in readings]
    leak: list[Point] = [(each.iteration, each.leak) for each in readings]
    lines = [
        Line("series-similarity", path(similarity, top=1)),
        Line("series-good", path(identity, top=1)),
        Line("series-leak", path(leak, top=1)),
        Line("dots-good", dots(identity, top=1)),
        Line("dots-leak", dots(leak, top=1)),
    ]
    return Panel(("1", ".5", "0"), [line for line in lines if line.path])


# ── Lines ──────────────────────────────────────────────────────────────────


def path(points: Iterable[Point], *, top: float) -> str:
    """Return path data through points; it breaks off where a value is missing, and `top` is at the upper edge."""
    steps, is_drawing = [], False
    for x, y in points:
        if y is not None:
            steps.append(f"{'L' if is_drawing else 'M'}{x:g} {_height(y, top)}")
        is_drawing = y is not None
    return " ".join(steps)


def dots(points: Iterable[Point], *, top: float) -> str:
    """Return path data of lines without length, which round ends make dots of."""
    return " ".join(f"M{x:g} {_height(y, top)}h0" for x, y in points if y is not None)


def _height(value: float, top: float) -> str:
    return f"{100 - 100 * value / top:.2f}".rstrip("0").rstrip(".")


def smoothed(points: Iterable[Point]) -> list[Point]:
    """Return the moving average of the values, each weighing less the longer ago it was."""
    mean: float | None = None
    smooth: list[Point] = []
    for x, y in points:
        if y is not None:
            mean = y if mean is None else SMOOTHING * mean + (1 - SMOOTHING) * y
        smooth.append((x, None if y is None else mean))
    return smooth


def thinned(rows: Sequence[Row], most: int) -> Sequence[Row]:
    """Return every k-th row and the last one, so that no more than about `most` are left."""
    step = -(-len(rows) // most)
    return rows if step <= 1 else [*rows[:-1][::step], rows[-1]]


# ── Axes ───────────────────────────────────────────────────────────────────


def ceiling(values: Sequence[float]) -> float:
    """Return the next round number that is no lower than any of the values."""
    highest = max([value for value in values if math.isfinite(value)], default=1.0) or 1.0
    unit = 10.0 ** math.floor(math.log10(max(highest, 1e-6)))
    return next((step * unit for step in CEILINGS if step * unit >= highest), 10 * unit)


def axis_ticks(end: int) -> list[int]:
    """Return round iterations from 0 on, evenly spaced, and the last one."""
    unit = 10 ** max(0, math.floor(math.log10(end)) - 1)
    step = next(each * unit for each in (1, 2, 5, 10, 20, 50) if end / (each * unit) <= MOST_TICKS)
    ticks = list(range(0, end, step))
    if len(ticks) > 1 and end - ticks[-1] < step / 2:
        ticks.pop()
    return [*ticks, end]
