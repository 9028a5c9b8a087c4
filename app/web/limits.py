"""
How much one caller may have going at a time: requests under way, and streams that stay open.

Counted in the memory of this process, on its event loop, so that no lock and no database is
needed. Does not cover: several web processes count apart.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Request

from app.config import settings
from app.domain.errors import TooManyError
from app.domain.messages import Message, message


class Places:
    """Places that callers take for a while."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.taken_by: Counter[int] = Counter()

    @contextmanager
    def taken(self, caller_id: int, *, most: int, most_in_all: int | None = None) -> Iterator[None]:
        """
        Take a place and give it back in the end.

        Raises:
            TooManyError: the caller has as many as one may have, or all are taken.
        """
        if self.taken_by[caller_id] >= most:
            raise TooManyError(_all_yours(most))
        if most_in_all is not None and self.taken_by.total() >= most_in_all:
            raise TooManyError(message("This server has no place left. Try again in a moment."))
        self.taken_by[caller_id] += 1
        try:
            yield
        finally:
            self.taken_by[caller_id] -= 1
            if not self.taken_by[caller_id]:
                del self.taken_by[caller_id]


def _all_yours(most: int) -> Message:
    return message("You have {most} of these open already, and no more fit. Close one, then try again.", most=most)


requests, streams = Places(), Places()


async def stream_place(request: Request) -> AsyncIterator[None]:
    """Hold a place for a stream until it has ended; TooManyError where there is none."""
    limits, caller_id = settings(), request.state.user.user_id
    with streams.taken(caller_id, most=limits.streams_per_user, most_in_all=limits.streams_in_all):
        yield


StreamPlace = Annotated[None, Depends(stream_place)]
