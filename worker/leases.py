"""
How long a claim holds, and how often whoever works renews it.

A claim is lost when it has not changed for a lease by the clock of whoever watches. Times that
others wrote are compared with each other only, never with the time of now: clocks jump.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from app.config import settings

log = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 6  # five renewals may fail in a row before the work counts as lost


class Renewal:
    """Says when a claim is due to be renewed, and when it has not been for so long that it is lost."""

    def __init__(self) -> None:
        """Start with a claim that was just made."""
        self._renewed = time.monotonic()

    def is_due(self) -> bool:
        """Whether to renew now."""
        return time.monotonic() - self._renewed >= settings().lease_seconds / RENEWALS_PER_LEASE

    def succeeded(self, asked_at: float) -> None:
        """Count a renewal from when it was asked for: others saw it no earlier."""
        self._renewed = asked_at

    @property
    def is_lost(self) -> bool:
        """Whether others may take the work by now."""
        return time.monotonic() - self._renewed >= settings().lease_seconds


@dataclass
class Watch:
    """Finds the claims that were not renewed for a lease, as long as it is asked every few seconds."""

    _seen: dict[Hashable, tuple[Hashable, float]] = field(default_factory=dict)

    def lost(self, claims: Iterable[tuple[Hashable, Hashable]]) -> set[Hashable]:
        """
        Look at all claims that are held now.

        Args:
            claims: what is claimed, and what changes when the claim is renewed.
        """
        now = time.monotonic()
        self._seen = {
            key: seen if (seen := self._seen.get(key)) and seen[0] == mark else (mark, now) for key, mark in claims
        }
        return {key for key, (_, since) in self._seen.items() if now - since >= settings().lease_seconds}


@contextmanager
def renewing(renew: Callable[[], object]) -> Iterator[None]:
    """Renew a claim from a thread while the block does something that cannot be interrupted."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(settings().lease_seconds / RENEWALS_PER_LEASE):
            try:
                renew()
            except SQLAlchemyError as error:
                log.warning("a claim could not be renewed: %s", error)

    thread = threading.Thread(target=work, name="renewing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
