"""
How often a password may be tried: a few times a minute from one address, and for one name.

Whoever uses the tries of a minute up waits it out, and after the next round twice as long. The
right password starts over, for its name and its address alone. Counted in the memory of this
process, so that a door needs nothing but itself. Does not cover: several web processes count
apart, behind a proxy that is not among TEMPER_TRUSTED_PROXIES all share one count, and who tries names on purpose
keeps their users waiting; a one-time link always lets in.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from app.domain.errors import TooManyError
from app.domain.messages import message

TRIES = 5
WINDOW_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 900.0
FORGET_SECONDS = 3_600.0  # a count is dropped when nobody has tried for so long
MOST_COUNTS = 10_000  # memory stays flat whoever knocks


@dataclass
class _Count:
    """The tries of one address, or for one name."""

    tried: list[float] = field(default_factory=list)
    """Those of the round that is going on."""
    rounds: int = 0
    closed_until: float = 0.0
    last: float = 0.0

    def left(self, now: float) -> int:
        recent = [moment for moment in self.tried if now - moment < WINDOW_SECONDS]
        return 0 if now < self.closed_until else TRIES - len(recent)

    def take(self, now: float) -> None:
        self.tried = [moment for moment in self.tried if now - moment < WINDOW_SECONDS] + [now]
        self.last = now
        if len(self.tried) >= TRIES:
            wait = min(LONGEST_WAIT_SECONDS, WINDOW_SECONDS * 2**self.rounds)
            self.closed_until, self.rounds, self.tried = self.tried[0] + wait, self.rounds + 1, []


@dataclass
class LoginTries:
    """The wrong passwords of late, by address and by name."""

    clock: Callable[[], float] = time.monotonic
    _counts: dict[tuple[str, str], _Count] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def take(self, address: str, name: str = "") -> int:
        """
        Count one try and return how many are left.

        Args:
            name: The user's, whether there is one of this name or not.

        Raises:
            TooManyError: none was left; it says in how many seconds there is one.
        """
        with self._lock:
            now = self.clock()
            counts = [self._count(key, now) for key in _keys(address, name)]
            if any(count.left(now) == 0 for count in counts):
                raise _too_many(max(count.closed_until for count in counts) - now)
            for count in counts:
                count.take(now)
            return min(count.left(now) for count in counts)

    def forget(self, address: str, name: str = "") -> None:
        """Start over for an address and a name that gave the right password."""
        with self._lock:
            for key in _keys(address, name):
                self._counts.pop(key, None)

    def _count(self, key: tuple[str, str], now: float) -> _Count:
        count = self._counts.get(key)
        if count is None or now - count.last > FORGET_SECONDS:
            if len(self._counts) >= MOST_COUNTS:
                self._forget_old(now)
            count = self._counts[key] = _Count(last=now)
        return count

    def _forget_old(self, now: float) -> None:
        self._counts = {key: count for key, count in self._counts.items() if now < count.closed_until}
        while len(self._counts) >= MOST_COUNTS:
            self._counts.pop(next(iter(self._counts)))


def _keys(address: str, name: str) -> list[tuple[str, str]]:
    return [("address", address)] + ([("name", name.casefold())] if name else [])


def _too_many(seconds: float) -> TooManyError:
    wait = math.ceil(seconds)
    if wait <= WINDOW_SECONDS:
        return TooManyError(message("Too many wrong passwords. Wait a minute and try again."), retry_seconds=wait)
    text = message("Too many wrong passwords. Wait {minutes} minutes and try again.", minutes=math.ceil(wait / 60))
    return TooManyError(text, retry_seconds=wait)
