"""
How often a password may be tried: a few times a minute from one address.

Counted in the memory of this process, so that a door needs nothing but itself. Does not cover:
several web processes count apart, and behind a proxy that hides addresses all share one count.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from app.domain.errors import TooManyError
from app.domain.messages import message

TRIES = 5
WINDOW_SECONDS = 60.0
MOST_ADDRESSES = 10_000  # memory stays flat whoever knocks


@dataclass
class LoginTries:
    """The wrong passwords of the last minute, by address."""

    clock: Callable[[], float] = time.monotonic
    _tried: dict[str, list[float]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def take(self, address: str) -> int:
        """
        Count one try and return how many are left.

        Raises:
            TooManyError: none was left.
        """
        with self._lock:
            now = self.clock()
            recent = [moment for moment in self._tried.get(address, ()) if now - moment < WINDOW_SECONDS]
            if len(recent) >= TRIES:
                raise TooManyError(message("Too many wrong passwords. Wait a minute and try again."))
            if len(self._tried) >= MOST_ADDRESSES:
                self._forget_old(now)
            self._tried[address] = [*recent, now]
            return TRIES - len(recent) - 1

    def forget(self, address: str) -> None:
        """Start over for an address that gave the right password."""
        with self._lock:
            self._tried.pop(address, None)

    def _forget_old(self, now: float) -> None:
        self._tried = {
            address: moments for address, moments in self._tried.items() if now - moments[-1] < WINDOW_SECONDS
        }
        while len(self._tried) >= MOST_ADDRESSES:
            self._tried.pop(next(iter(self._tried)))
