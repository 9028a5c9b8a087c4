"""How long a claim holds, and how often whoever works renews it."""

import time
from datetime import timedelta

from app.config import settings

RENEWALS_PER_LEASE = 6  # five renewals may fail in a row before the work counts as lost


def lease() -> timedelta:
    """Return how long a claim holds unless it is renewed."""
    return timedelta(seconds=settings().lease_seconds)


class Renewal:
    """Says when a claim is due to be renewed; it is due at once, and then several times in a lease."""

    def __init__(self) -> None:
        """Start with a renewal that is due."""
        self._next = 0.0

    def is_due(self) -> bool:
        """Whether to renew now; one that is due counts as made."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + settings().lease_seconds / RENEWALS_PER_LEASE
        return True
