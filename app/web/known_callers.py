"""
Who holds a secret, remembered while the database is as it was.

A login that is ended or a role that is changed is a commit, and what was remembered before a commit is
not believed after it. Only what the clock alone ends, a login's own time, is noticed `KNOWN_SECONDS` later.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from threading import Lock

from app.domain import db
from app.domain.accounts import Caller, CredentialKind
from app.domain.reads import DataVersion

KNOWN_SECONDS = 5.0
MOST_CALLERS = 10_000  # memory stays flat whoever comes

Look = Callable[[CredentialKind, str], tuple[Caller | None, bool]]
"""Finds who holds a secret, and says whether their time was lengthened."""


@dataclass(frozen=True)
class KnownCaller:
    """Who held a secret when that was last looked up."""

    caller: Caller
    version: DataVersion
    found_at: float


@dataclass
class KnownCallers:
    """Those of this process, by the hash of their secret; the one seen longest ago first."""

    lock: Lock = field(default_factory=Lock)
    known: OrderedDict[tuple[CredentialKind, bytes], KnownCaller] = field(default_factory=OrderedDict)

    def find(self, kind: CredentialKind, secret: str, look: Look) -> tuple[Caller | None, bool]:
        """Return who holds a secret, looked up only where it may be somebody else than before."""
        version, now = db.data_version(), time.monotonic()
        key = kind, hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
        with self.lock:
            found = self.known.get(key)
        if found is not None and found.version == version and now - found.found_at < KNOWN_SECONDS:
            return found.caller, False
        caller, is_renewed = look(kind, secret)
        with self.lock:
            self.known.pop(key, None)
            if caller is not None:
                self.known[key] = KnownCaller(caller, version, now)
            if len(self.known) > MOST_CALLERS:
                self.known.popitem(last=False)
        return caller, is_renewed


@cache
def known_callers() -> KnownCallers:
    """Return the callers that this process remembers."""
    return KnownCallers()
