"""
Who holds a secret, remembered while the database is as it was.

A login that is ended or a role that is changed is a commit, and what was remembered before a commit of this
process is not believed after it; one of another process is noticed within `TRUSTED_SECONDS`. What the clock
alone ends, a login's own time, is noticed `KNOWN_SECONDS` later.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from threading import Lock

from app.domain import db
from app.domain.accounts import Caller, CredentialKind
from app.domain.reads import DataVersion, own_commits

KNOWN_SECONDS = 5.0
TRUSTED_SECONDS = 1.0  # without a look at whether another process, such as the command, has changed something
MOST_CALLERS = 10_000  # memory stays flat whoever comes

Look = Callable[[CredentialKind, str], tuple[Caller | None, bool]]
"""Finds who holds a secret, and says whether their time was lengthened."""


@dataclass(frozen=True)
class KnownCaller:
    """Who held a secret when that was last looked up."""

    caller: Caller
    version: DataVersion
    found_at: float
    commits: int
    """Of this process, when it was last looked at whether anything had changed."""
    looked_at: float

    def is_trusted(self, now: float) -> bool:
        """Whether nobody has to look again."""
        is_recent = now - self.looked_at < TRUSTED_SECONDS and now - self.found_at < KNOWN_SECONDS
        return is_recent and self.commits == own_commits()


@dataclass
class KnownCallers:
    """Those of this process, by the hash of their secret; the one seen longest ago first."""

    lock: Lock = field(default_factory=Lock)
    known: OrderedDict[tuple[CredentialKind, bytes], KnownCaller] = field(default_factory=OrderedDict)

    def find(self, kind: CredentialKind, secret: str, look: Look) -> tuple[Caller | None, bool]:
        """Return who holds a secret, looked up only where it may be somebody else than before."""
        key, now, commits = _key(kind, secret), time.monotonic(), own_commits()
        found = self.known.get(key)
        if found is not None and found.is_trusted(now):
            return found.caller, False
        version = db.data_version()
        if found is not None and found.version == version and now - found.found_at < KNOWN_SECONDS:
            self._keep(key, replace(found, commits=commits, looked_at=now))
            return found.caller, False
        caller, is_renewed = look(kind, secret)
        self._keep(key, KnownCaller(caller, version, now, commits, now) if caller is not None else None)
        return caller, is_renewed

    def is_trusted(self, kind: CredentialKind, secret: str) -> bool:
        """Whether `find` would look nothing up."""
        found = self.known.get(_key(kind, secret))
        return found is not None and found.is_trusted(time.monotonic())

    def _keep(self, key: tuple[CredentialKind, bytes], known: KnownCaller | None) -> None:
        with self.lock:
            self.known.pop(key, None)
            if known is not None:
                self.known[key] = known
            if len(self.known) > MOST_CALLERS:
                self.known.popitem(last=False)


def _key(kind: CredentialKind, secret: str) -> tuple[CredentialKind, bytes]:
    return kind, hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


@cache
def known_callers() -> KnownCallers:
    """Return the callers that this process remembers."""
    return KnownCallers()
