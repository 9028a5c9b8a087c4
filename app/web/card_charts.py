"""The curves of a recipe card: paths of SVG by the rules of the run's page, since a card runs nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.domain.matrix import Column
from app.domain.trainer_events import MetricMeasured
from app.web.curves import LOSS_PARTS, MOST_POINTS, Point, ceiling, dots, path, smoothed, thinned
from app.web.formats import number


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
    points: list[Point] = [(metric.iteration, metric.loss) for metric in metrics if metric.loss is not None]
    if not points:
        return None
    top = ceiling([loss for _, loss in points if loss is not None])
    labels = tuple(number(top - top * part / LOSS_PARTS) for part in range(LOSS_PARTS + 1))
    raw, smooth = (path(thinned(each, MOST_POINTS), top=top) for each in (points, smoothed(points)))
    return LossChart(raw, smooth, labels, points[-1][1] or 0.0)


def behaviour_chart(columns: Iterable[Column]) -> BehaviourChart | None:
    """Draw the shares of identity probes that hit and of open probes that leak; None where nothing was answered."""
    scored = [(float(column.iteration), column.score) for column in columns if column.score.answers]
    identity: list[Point] = [
        (x, score.identity_hits / score.identity_total) for x, score in scored if score.identity_total
    ]
    leak: list[Point] = [(x, score.leaks / score.leak_total) for x, score in scored if score.leak_total]
    if not identity and not leak:
        return None
    return BehaviourChart(path(identity, top=1), path(leak, top=1), dots(identity, top=1), dots(leak, top=1))
