"""
Server-sent events of one run, for its page and for the API: what many who watch share, and what each is sent.

The id of an event is the id of its row in the ledger. A reader who comes back says which one it
had last, and everything after it is read from the database, so that neither a reload nor a
hidden tab loses anything. Redis only says that it is time to look; without it the ledger is
looked at every two seconds. What a look found is written out once for all who watch, and each is
sent it in one piece.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Header, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT

from app.domain import db
from app.domain.events import events_after, last_event_id
from app.domain.models import Event
from app.domain.runs import get_run
from app.web.addresses import id_in
from app.web.deps import LARGEST_ID, Id
from app.web.permits import Permit
from app.web.run_watch import watching

LOOK_SECONDS = 2.0  # between two looks at the ledger when nobody wakes us
LIFE_SECONDS = 600.0  # then the reader comes back: no connection outlives its server for long
SILENCE_SECONDS = 15.0  # then a comment is sent: whoever has gone is noticed, and no proxy gives the connection up
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # the latter for nginx, which would hold events back

Write = Callable[[Sequence[Event]], bytes]


@dataclass(frozen=True)
class Look:
    """What one look at the ledger found."""

    run_id: int
    events: Sequence[Event]
    has_more: bool
    """There are events beyond these already."""
    is_over: bool
    """The run has ended, and these are the last of its events."""
    _written: dict[Write, asyncio.Task[bytes]] = field(default_factory=dict)

    async def written(self, write: Write) -> bytes:
        """Return the events as they are sent; written once, in a thread: a replay has a thousand of them."""
        if not self.events:
            return b""
        if write not in self._written:
            self._written[write] = asyncio.ensure_future(run_in_threadpool(write, self.events))
        return await asyncio.shield(self._written[write])  # one that leaves must not end it for the others


def look_at(run_id: int, after: int) -> Look:
    """Read a run's ledger after an event."""
    with db.reading() as session:
        is_final = get_run(session, run_id).state.is_final  # before the events: none can follow it then
        events = events_after(session, run_id, after)
        has_more = bool(events) and events[-1].id != last_event_id(session, run_id)
        return Look(run_id, events, has_more, is_over=is_final and not has_more)


@dataclass
class Reader(ABC):
    """How far one who watches has been told, and when last."""

    after: int
    clock: Callable[[], float] = time.monotonic
    told_at: float = field(init=False)

    def __post_init__(self) -> None:
        """Count silence from now."""
        self.told_at = self.clock()

    def told(self, look: Look, written: bytes) -> bytes:
        """Return what to send of a look, whose events are written: nothing without news, now and then a comment."""
        now = self.clock()
        self.after = look.events[-1].id or self.after if look.events else self.after
        text = written + self.cues(look, now)
        if not text and now - self.told_at < SILENCE_SECONDS:
            return b""
        self.told_at = now
        return text or KEEPALIVE_COMMENT

    @staticmethod
    @abstractmethod
    def write(events: Sequence[Event]) -> bytes:
        """Return events in the form of readers of this kind."""

    @abstractmethod
    def cues(self, look: Look, now: float) -> bytes:
        """Return what comes after a look's events; `after` is the id of the last one."""

    @property
    def patience(self) -> float:
        """For how many seconds nothing need be told unless there is news."""
        return LOOK_SECONDS


class EventStream(StreamingResponse):
    """An answer of server-sent events."""

    media_type = "text/event-stream"


def stream_to(reader: Reader, run_id: int, permit: Permit) -> EventStream:
    """Send a reader a run's events, until the run ends, the login does, or the connection is old."""
    # FastAPI's own stream takes each event through two queues, two tasks and a timer: of 500 who watch a quick run,
    # the server then does nothing else (docs/security.md, under load).
    return EventStream(_told(reader, run_id, permit), headers=HEADERS)


async def _told(reader: Reader, run_id: int, permit: Permit) -> AsyncIterator[bytes]:
    ends_at = time.monotonic() + LIFE_SECONDS
    async with watching(run_id, look=look_at, every=LOOK_SECONDS) as watch:
        while time.monotonic() < ends_at and await permit.holds():
            turn = watch.turn
            look = await watch.look(reader.after)
            if text := reader.told(look, await look.written(reader.write)):
                yield text
            if look.is_over:
                return
            if not look.has_more:
                await watch.wait(turn, reader.patience)


# ── What a request for a stream says ───────────────────────────────────────


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
