"""
How many requests are worked on at a time: as many as there are threads for, so that none waits inside.

A request goes from thread to thread, and may hold a connection of the database while it waits for the next one.
With more requests inside than threads, all threads can come to wait for connections that those hold who wait for
a thread. Here they wait outside, where they hold nothing. A slot is given back once the answer begins, so that
slow readers and streams take none; what is sent here may come slowly, too, and takes none.
"""

from asyncio import Semaphore
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_AT_ONCE = 32  # of 40 threads; `app.domain.db` has two connections for each
READING = frozenset({"GET", "HEAD"})


class Slots:
    """Let so many requests in, and the others wait their turn."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an ASGI application."""
        self.app, self.free = app, Semaphore(MOST_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on when it is its turn."""
        if scope["type"] != "http" or scope["method"] not in READING:
            await self.app(scope, receive, send)
            return
        await self.free.acquire()
        slot = _Slot(send, self.free.release)
        try:
            await self.app(scope, receive, slot)
        finally:
            slot.give_back()


class _Slot:
    """A slot, and what sends the answer that ends its use."""

    def __init__(self, send: Send, give: Callable[[], None]) -> None:
        self.send, self._give, self.is_taken = send, give, True

    async def __call__(self, message: Message) -> None:
        self.give_back()
        await self.send(message)

    def give_back(self) -> None:
        """Give it back, once."""
        if self.is_taken:
            self.is_taken = False
            self._give()
