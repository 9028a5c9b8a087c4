"""
What a route asks for: a session that writes, or one that only reads, the settings, and ids.

A route that changes something takes `WriteSession`, which is committed before the answer is
sent; every other route takes `ReadSession`, which never waits for a writer.
"""

from collections.abc import AsyncIterator
from functools import cache
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Path
from fastapi.concurrency import run_in_threadpool
from pydantic import BeforeValidator
from sqlmodel import Session

from app.config import Settings, settings
from app.domain import db, queue

ENDING_THREADS = 8


@cache
def _ends() -> CapacityLimiter:
    """Return the threads that end units of work: of their own, as those of the routes may all wait for one to end."""
    return CapacityLimiter(ENDING_THREADS)


async def write_session() -> AsyncIterator[Session]:
    """
    Open the request's unit of work.

    It is `db.unit_of_work` taken apart: what `enqueue` collects is in a context variable, which a
    route's thread inherits only from the request's own task, while the commit must not hold up
    that task's event loop.
    """
    with queue.collecting() as messages:
        session = Session(db.engine(), expire_on_commit=False)
        try:
            yield session
            await to_thread.run_sync(session.commit, limiter=_ends())
        finally:
            await to_thread.run_sync(session.close, limiter=_ends())
    await run_in_threadpool(queue.send, messages)


async def read_session() -> AsyncIterator[Session]:
    """
    Open a session that only reads.

    It takes its connection in the route's own thread and gives it back at once: a request that waits for a
    thread must hold no connection, or all threads could wait for the connections of those that wait for a thread.
    """
    session = db.lazy_reader()
    try:
        yield session
    finally:
        session.close()


# "function": left before the answer is sent, so that whoever follows a redirect sees the change
WriteSession = Annotated[Session, Depends(write_session, scope="function")]
ReadSession = Annotated[Session, Depends(read_session, scope="function")]
LARGEST_ID = 2**31 - 1  # Postgres counts rows in 32 bits, and takes no larger number to look for


def _written_plainly(value: object) -> object:
    """Take digits alone: `1.0`, `+1` and `1_000` are no id, though Python reads them as numbers."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError(value)
    return value


Id = Annotated[int, BeforeValidator(_written_plainly), Path(ge=1, le=LARGEST_ID)]
CurrentSettings = Annotated[Settings, Depends(settings)]
