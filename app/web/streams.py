"""
A run as its page sees it happen: cues and points of the curve as events, and the curve's history as JSON.

Four named events: `metric` carries one point of the curve, `cut` the iteration after which the
curve is drawn anew since the run went on from there, `status` says that the page's panel should
fetch itself anew, `end` says that nothing more will come.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.sse import format_sse_event

from app.domain.events import metrics_of
from app.domain.models import Event
from app.domain.runs import get_run
from app.web.curves import thinned
from app.web.deps import Id, ReadSession
from app.web.event_streams import EventStream, FirstEvent, Look, Reader, WatchedRun, stream_to
from app.web.limits import StreamPlace
from app.web.permits import Permit, permit_of

STATUS_SECONDS = 1.0  # between two cues: each makes the page fetch its panel
MOST_POINTS = 4_000  # of a curve's history; a screen has fewer columns

router = APIRouter(include_in_schema=False)


def _point(event: Event) -> bytes:
    if event.kind == "metric":
        numbers = [event.data["iteration"], event.data["loss"], event.data["learning_rate"]]
        return format_sse_event(event="metric", data_str=json.dumps(numbers), id=str(event.id))
    if event.kind == "resumed":
        return format_sse_event(event="cut", data_str=json.dumps(event.data["iteration"]), id=str(event.id))
    return b""


@dataclass
class Page(Reader):
    """A run's page: points of the curve as they come, and a cue when anything has."""

    is_cue_due: bool = False
    _cued_at: float = float("-inf")

    @staticmethod
    def write(events: Sequence[Event]) -> bytes:
        """Return what events say of the curve."""
        return b"".join(map(_point, events))

    def cues(self, look: Look, now: float) -> bytes:
        """Return the cues that are due."""
        self.is_cue_due = self.is_cue_due or bool(look.events) or look.is_over
        text = b""
        if self.is_cue_due and (look.is_over or now - self._cued_at >= STATUS_SECONDS):
            text = self._cue("status")
            self._cued_at, self.is_cue_due = now, False
        return text + self._cue("end") if look.is_over else text

    @property
    def patience(self) -> float:
        """A cue that is due comes soon, whatever else does."""
        return STATUS_SECONDS if self.is_cue_due else super().patience

    def _cue(self, event: str) -> bytes:
        return format_sse_event(event=event, data_str=str(self.after), id=str(self.after))


@router.get("/runs/{run_id}/events", name="runs.events", response_class=EventStream)
async def stream_events(
    run_id: WatchedRun, after: FirstEvent, permit: Annotated[Permit, Depends(permit_of)], _place: StreamPlace
) -> EventStream:
    """Stream a run's events after one to its page."""
    return stream_to(Page(after), run_id, permit)


@router.get("/runs/{run_id}/metrics.json", name="runs.metrics")
def show_metrics(run_id: Id, session: ReadSession) -> dict[str, Any]:
    """Answer with a run's curve so far: `points` are (iteration, loss, learning rate)."""
    run = get_run(session, run_id)
    metrics = metrics_of(session, run_id)
    points = [[metric.iteration, metric.loss, metric.learning_rate] for metric in metrics]
    return {"iterations": run.iterations, "points": thinned(points, MOST_POINTS)}
