"""The curves of a recipe card: paths of SVG, drawn by the server, because a card runs nothing."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.domain.matrix import Column
from app.domain.trainer_events import MetricMeasured
from app.web.formats import number

MOST_POINTS = 600  # more than a screen has columns for; of each stretch the lowest and the highest are drawn
SMOOTHING = 0.75  # weight of the past in the thick line, as on the run's page
STEPS = (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10)
PARTS = 4

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class LossChart:
    """Loss by iteration."""

    raw: str
    smooth: str
    y_labels: tuple[str, ...]
    """From the top down."""
    last: float


@dataclass(frozen=True, slots=True)
class BehaviourChart:
    """Identity and leak by iteration, from 0 to 1."""

    identity: str
    leak: str
    identity_dots: str
    leak_dots: str


def loss_chart(metrics: Sequence[MetricMeasured]) -> LossChart | None:
    """Draw the loss; None where there is no number."""
    points = [(float(metric.iteration), metric.loss) for metric in metrics if metric.loss is not None]
    points = [(x, y) for x, y in points if math.isfinite(y)]
    if not points:
        return None
    top = _ceiling(max(y for _, y in points))
    labels = tuple(number(top - top * part / PARTS) for part in range(PARTS + 1))
    raw, smooth = (_path(_thinned(each), top) for each in (points, _smoothed(points)))
    return LossChart(raw, smooth, labels, points[-1][1])


def behaviour_chart(columns: Iterable[Column]) -> BehaviourChart | None:
    """Draw the shares of identity probes that hit and of open probes that leak; None where nothing was answered."""
    scored = [(float(column.iteration), column.score) for column in columns if column.score.answers]
    identity = [(x, score.identity_hits / score.identity_total) for x, score in scored if score.identity_total]
    leak = [(x, score.leaks / score.leak_total) for x, score in scored if score.leak_total]
    if not identity and not leak:
        return None
    return BehaviourChart(_path(identity, 1), _path(leak, 1), _dots(identity), _dots(leak))


def _ceiling(highest: float) -> float:
    unit = 10.0 ** math.floor(math.log10(max(highest, 1e-6)))
    return next((step * unit for step in STEPS if step * unit >= highest), 10 * unit)


def _smoothed(points: Sequence[Point]) -> list[Point]:
    smooth: list[Point] = []
    mean = points[0][1]
    for x, y in points:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * y
        smooth.append((x, mean))
    return smooth


def _thinned(points: Sequence[Point]) -> list[Point]:
    if len(points) <= MOST_POINTS:
        return list(points)
    width = -(-2 * len(points) // MOST_POINTS)
    kept: list[Point] = []
    for start in range(0, len(points), width):
        stretch = points[start : start + width]
        kept += sorted({min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])})
    return kept


def _path(points: Sequence[Point], top: float) -> str:
    return "".join(f"{'L' if place else 'M'}{x:g} {100 - 100 * y / top:.2f}" for place, (x, y) in enumerate(points))


def _dots(points: Sequence[Point]) -> str:
    return "".join(f"M{x:g} {100 - 100 * y:.2f}h0" for x, y in points)
