"""Which repairs somebody chose, and what became of the file; known to whoever asks for them and to the child."""

from collections.abc import Collection
from dataclasses import dataclass

from app.domain.findings.kinds import FindingKind


@dataclass(frozen=True, slots=True)
class Choice:
    """Which proposals are taken: those of some kinds, in all rows or in some."""

    kinds: Collection[FindingKind] = ()
    rows: Collection[int] | None = None
    """Rows, counted from 1, that the kinds are put right in; None takes all rows."""
    drop: Collection[int] = ()
    """Rows, counted from 1, that go whatever was found: conflicts with another source are settled so."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of a file."""

    rows: int
    """How many it has now."""
    dropped: int
    changed: int
    size_bytes: int
    sha256: str
