"""A run's metrics, one after the other, however many there are."""

from collections.abc import Iterator, Sequence

from sqlmodel import Session, col, select

from app.domain import db
from app.domain.models import Event
from app.domain.trainer_events import MetricMeasured

ROWS_AT_ONCE = 1_000


def stream_metrics(run_id: int, *, after: int = 0) -> Iterator[MetricMeasured]:
    """
    Yield a run's metrics by iteration, each once: where a run was resumed, what came after is left out.

    Args:
        after: begins behind this iteration.
    """
    last = 0
    with db.reading() as session:
        cuts = _cuts(session, run_id)
    while True:
        with db.reading() as session:
            measured = select(Event.id, Event.data).where(Event.run_id == run_id, Event.kind == "metric")
            measured = measured.where(col(Event.id) > last, col(Event.iteration) > after).order_by(col(Event.id))
            rows = session.exec(measured.limit(ROWS_AT_ONCE)).all()
        for event_id, data in rows:
            if not any(cut > (event_id or 0) and iteration < data["iteration"] for cut, iteration in cuts):
                yield MetricMeasured.model_validate(data)
        if len(rows) < ROWS_AT_ONCE:
            return
        last = rows[-1][0] or 0


def _cuts(session: Session, run_id: int) -> Sequence[tuple[int, int]]:
    """Return the event and the iteration of each time that the run went on from a checkpoint."""
    resumed = select(Event.id, Event.iteration).where(Event.run_id == run_id, Event.kind == "resumed")
    return [(event_id or 0, iteration) for event_id, iteration in session.exec(resumed)]
