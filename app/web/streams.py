"""
A run as it happens: server-sent events, and the curve's history as JSON.

The id of an event is the id of its row in the ledger. A reader who comes back says which one it
had last, and everything after it is read from the database, so that neither a reload nor a
hidden tab loses anything. Redis only says that it is time to look; without it the ledger is
looked at every two seconds.

Four named events: `metric` carries one point of the curve, `cut` the iteration after which the
curve is drawn anew since the run went on from there, `status` says that the page's panel should
fetch itself anew, `end` says that nothing more will come.
"""

import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from app.domain import db
from app.domain.events import events_after, last_event_id, metrics_of
from app.domain.models import Event
from app.domain.runs import get_run
from app.web.addresses import id_in
from app.web.curves import thinned
from app.web.deps import LARGEST_ID, Id, ReadSession
from app.web.limits import StreamPlace
from app.web.permits import Permit, permit_of
from app.web.run_watch import watching

LOOK_SECONDS = 2.0  # between two looks at the ledger when nobody wakes us
STATUS_SECONDS = 1.0  # between two cues: each makes the page fetch its panel
SILENCE_SECONDS = 15.0  # then a comment is sent: whoever has gone is noticed, and no proxy gives the connection up
LIFE_SECONDS = 600.0  # then the browser comes back: no connection outlives its server for long
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # the latter for nginx, which would hold events back
MOST_POINTS = 4_000  # of a curve's history; a screen has fewer columns

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Look:
    """What one look at the ledger found."""

    events: Sequence[Event]
    points: bytes
    """What they say of the curve, as it is sent to everybody who watches."""
    has_more: bool
    """There are events beyond these already."""
    is_over: bool
    """The run has ended, and these are the last of its events."""


@dataclass
class Reader:
    """How far one who watches has been told, and when last."""

    after: int
    clock: Callable[[], float] = time.monotonic
    is_cue_due: bool = False
    _cued_at: float = float("-inf")
    _told_at: float = field(init=False)

    def __post_init__(self) -> None:
        """Count silence from now."""
        self._told_at = self.clock()

    def told(self, look: Look) -> bytes:
        """Return what to send of a look, which may be nothing."""
        now = self.clock()
        self.after = look.events[-1].id or self.after if look.events else self.after
        self.is_cue_due = self.is_cue_due or bool(look.events) or look.is_over
        text = look.points
        if self.is_cue_due and (look.is_over or now - self._cued_at >= STATUS_SECONDS):
            text += self._cue("status")
            self._cued_at, self.is_cue_due = now, False
        text += self._cue("end") if look.is_over else b""
        if text or now - self._told_at >= SILENCE_SECONDS:
            self._told_at = now
            return text or KEEPALIVE_COMMENT
        return b""

    def _cue(self, event: str) -> bytes:
        return format_sse_event(event=event, data_str=str(self.after), id=str(self.after))


def watched_run(run_id: Id) -> int:
    """Check that the run exists, in a session that is closed before the stream begins."""
    with db.reading() as session:
        get_run(session, run_id)
    return run_id


def first_event(
    after: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
    last_event_id: Annotated[str, Header()] = "",  # not an int: a browser's garbage must not end the stream
) -> int:
    """Return the id after which to read: the browser's own count wins over the page's."""
    return id_in(last_event_id) or after


WatchedRun = Annotated[int, Depends(watched_run)]
FirstEvent = Annotated[int, Depends(first_event)]


@router.get("/runs/{run_id}/events", name="runs.events")
async def stream_events(
    run_id: WatchedRun, after: FirstEvent, permit: Annotated[Permit, Depends(permit_of)], _place: StreamPlace
) -> StreamingResponse:
    """Stream a run's events after one, until the run ends, the login does, or the connection is old."""
    # FastAPI's own stream takes each event through two queues, two tasks and a timer: too much for 500 who watch.
    return StreamingResponse(_told(run_id, Reader(after), permit), media_type="text/event-stream", headers=HEADERS)


async def _told(run_id: int, reader: Reader, permit: Permit) -> AsyncIterator[bytes]:
    ends_at = time.monotonic() + LIFE_SECONDS
    async with watching(run_id, look=look_at, every=LOOK_SECONDS) as watch:
        while time.monotonic() < ends_at and await permit.holds():
            turn = watch.turn
            look = await watch.look(reader.after)
            if text := reader.told(look):
                yield text
            if look.is_over:
                return
            if not look.has_more:
                await watch.wait(turn, STATUS_SECONDS if reader.is_cue_due else LOOK_SECONDS)


def look_at(run_id: int, after: int) -> Look:
    """Read a run's ledger after an event."""
    with db.reading() as session:
        is_final = get_run(session, run_id).state.is_final  # before the events: none can follow it then
        events = events_after(session, run_id, after)
        has_more = bool(events) and events[-1].id != last_event_id(session, run_id)
        points = b"".join(map(_point, events))
        return Look(events, points, has_more, is_over=is_final and not has_more)


def _point(event: Event) -> bytes:
    """Return what an event says of the curve, as it is sent; nothing of one that says nothing."""
    if event.kind == "metric":
        numbers = [event.data["iteration"], event.data["loss"], event.data["learning_rate"]]
        return format_sse_event(event="metric", data_str=json.dumps(numbers), id=str(event.id))
    if event.kind == "resumed":
        return format_sse_event(event="cut", data_str=json.dumps(event.data["iteration"]), id=str(event.id))
    return b""


@router.get("/runs/{run_id}/metrics.json", name="runs.metrics")
def show_metrics(run_id: Id, session: ReadSession) -> dict[str, Any]:
    """Answer with a run's curve so far: `points` are (iteration, loss, learning rate)."""
    run = get_run(session, run_id)
    metrics = metrics_of(session, run_id)
    points = [[metric.iteration, metric.loss, metric.learning_rate] for metric in metrics]
    return {"iterations": run.iterations, "points": thinned(points, MOST_POINTS)}
