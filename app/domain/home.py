"""The home: one Temper works in it at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from app.config import settings


class HomeInUseError(Exception):
    """Somebody else works in this home."""


@contextmanager
def home_to_itself() -> Iterator[None]:
    """Hold the home's lock; the kernel lets go of it however its holder ends."""
    home = settings().home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeInUseError(f"Temper runs already in {home}. Stop it, or set TEMPER_HOME.") from None
        yield
