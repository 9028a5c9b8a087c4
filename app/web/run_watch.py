"""
Everybody who watches one run: one subscription and one look at the ledger, however many they are.

A turn ends when Redis says that the ledger has grown, or after a while without it. All watchers that
have read as far as each other share the look of a turn, so that 500 cost hardly more than one. They are woken a few
at a time: to write to 500 takes a quarter of a second, for which no page would be answered.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, TypeVar

import redis.asyncio
from fastapi.concurrency import run_in_threadpool
from redis.exceptions import RedisError

from app.config import settings
from app.domain.presence import run_channel

GATHER_SECONDS = 0.25  # a burst of wake-ups is one turn
REDIS_WAIT_SECONDS = 1.0
WOKEN_AT_ONCE = 20
WOKEN_EVERY = 0.02  # seconds: the last of 500 hears of something half a second after the first

Seen = TypeVar("Seen")


class RunWatch(Generic[Seen]):
    """The watchers of one run in this process."""

    def __init__(self, run_id: int, *, look: Callable[[int, int], Seen], every: float) -> None:
        """
        Begin with the first turn; `listen` ends it.

        Args:
            look: returns what is in a run's ledger after an id.
            every: seconds of a turn in which nobody says anything.
        """
        self.run_id, self.every, self.watchers, self.turn = run_id, every, 0, 0
        self._look, self._looks = look, dict[int, asyncio.Task[Seen]]()
        self._waiting: list[asyncio.Event] = []
        """One for each few that wait for the end of the turn."""
        self._waiters = 0
        self.is_over = False

    async def look(self, after: int) -> Seen:
        """Return what is in the ledger after an id, as one of this turn's watchers has found it."""
        if after not in self._looks:
            looking = run_in_threadpool(self._look, self.run_id, after)
            self._looks[after] = asyncio.ensure_future(looking)
        return await asyncio.shield(self._looks[after])  # one that leaves must not end it for the others

    async def wait(self, turn: int, seconds: float) -> None:
        """Wait until a turn is over, or for a time."""
        if turn == self.turn:
            if self._waiters % WOKEN_AT_ONCE == 0:
                self._waiting.append(asyncio.Event())
            self._waiters += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._waiting[-1].wait(), seconds)

    async def end_turn(self) -> None:
        """Begin the next turn, and wake who waits for it."""
        waiting, self._waiting, self._waiters = self._waiting, [], 0
        self.turn += 1
        self._looks.clear()
        for turned in waiting:
            turned.set()
            await asyncio.sleep(WOKEN_EVERY if turned is not waiting[-1] else 0)

    async def listen(self) -> None:
        """End a turn whenever the run's channel says something, or nobody has for a while."""
        while not self.is_over:
            try:
                async with _subscription(self.run_id, most_seconds=self.every) as pubsub:
                    while not self.is_over:
                        if await pubsub.get_message(timeout=self.every):
                            await asyncio.sleep(min(self.every, GATHER_SECONDS))
                            while await pubsub.get_message():
                                pass
                        await self.end_turn()
            except (RedisError, OSError):
                await asyncio.sleep(self.every)
                await self.end_turn()


_watches: dict[tuple[asyncio.AbstractEventLoop, int], tuple[RunWatch[Any], asyncio.Task[None]]] = {}

_ending: set[asyncio.Task[None]] = set()


@asynccontextmanager
async def watching(run_id: int, *, look: Callable[[int, int], Seen], every: float) -> AsyncIterator[RunWatch[Seen]]:
    """Join the watchers of a run; the last one to leave ends the subscription."""
    key = asyncio.get_running_loop(), run_id
    if key not in _watches:
        made = RunWatch(run_id, look=look, every=every)
        _watches[key] = made, asyncio.ensure_future(made.listen())
    watch, listening = _watches[key]
    watch.watchers += 1
    try:
        yield watch
    finally:
        watch.watchers -= 1
        if not watch.watchers:
            del _watches[key]
            watch.is_over = True  # the client of Redis loses a cancellation now and then
            listening.cancel()
            _ending.add(listening)  # nobody waits for it, and nobody else holds it
            listening.add_done_callback(_ending.discard)


@asynccontextmanager
async def _subscription(run_id: int, *, most_seconds: float) -> AsyncIterator[Any]:
    client = redis.asyncio.Redis.from_url(
        settings().redis, socket_connect_timeout=REDIS_WAIT_SECONDS, socket_timeout=most_seconds + REDIS_WAIT_SECONDS
    )
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    try:
        await pubsub.subscribe(run_channel(run_id))
        yield pubsub
    finally:
        with suppress(RedisError, OSError):
            await pubsub.aclose()  # type: ignore[no-untyped-call]
        with suppress(RedisError, OSError):
            await client.aclose()
