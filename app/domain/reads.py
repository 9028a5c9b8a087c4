"""
What was read of the database, and whether it would read the same now.

`data_version` changes with every commit of anybody and costs next to nothing to ask for. Where it has
changed, `Reads` tells whether the change is one of those that matter: it repeats the statements that
were noted, and compares what they return. What is made of rows alone is then as it was.

Does not cover: what is neither in the database nor in a noted file, nor a time that somebody noted.
"""

import hashlib
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from math import inf
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Engine, event
from sqlmodel import Session

Statement = tuple[str, Any]
"""As the driver gets it, and its parameters."""
FileState = tuple[int, int] | None
"""When a file was last written to, in nanoseconds, and its bytes; None where there is none."""

DataVersion = tuple[int, int | str]

_openings = count()
READING = ("SELECT", "WITH")
NOT_READ = ("BEGIN", "COMMIT", "ROLLBACK")
DIGEST_BYTES = 16
MOST_DIGESTS = 5_000


# ── Whether anything has changed ───────────────────────────────────────────


class _SqliteVersion:
    """Asks on a connection of its own, as SQLite counts the commits of all others."""

    def __init__(self, engine: Engine) -> None:
        self.lock, self.path = Lock(), engine.url.database or ""
        self.connection: sqlite3.Connection | None = None
        self.opening = 0
        event.listen(engine, "engine_disposed", lambda _engine: self.close())

    def ask(self) -> DataVersion:
        with self.lock:
            if self.connection is None:  # which counts from the start again
                self.connection = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
                self.opening = next(_openings)
            return self.opening, self.connection.execute("PRAGMA data_version").fetchone()[0]

    def close(self) -> None:
        with self.lock:
            if self.connection is not None:
                self.connection.close()
                self.connection = None


class _PostgresVersion:
    """The transactions that a reader sees: with the same ones, every row is the same."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.opening = engine.execution_options(isolation_level="AUTOCOMMIT"), next(_openings)

    def ask(self) -> DataVersion:
        with self.engine.connect() as connection:
            return self.opening, connection.exec_driver_sql("SELECT pg_current_snapshot()::text").scalar_one()


@lru_cache(maxsize=1)  # a process has one engine at a time
def _versions(engine: Engine) -> _SqliteVersion | _PostgresVersion:
    return _SqliteVersion(engine) if engine.dialect.name == "sqlite" else _PostgresVersion(engine)


def data_version(engine: Engine) -> DataVersion:
    """Return what is another value after any commit; ask before reading what it is to stand for."""
    return _versions(engine).ask()


_own_commits = count()
_own = [0]


def own_commits() -> int:
    """Return what is another number after any commit of this process."""
    return _own[0]


def _count_commit(_connection: Any) -> None:  # noqa: ANN401 - the event's argument
    _own[0] = next(_own_commits) + 1


# ── Whether what was read has changed ──────────────────────────────────────


@dataclass
class Reads:
    """The statements and files that something was made of."""

    statements: list[Statement] = field(default_factory=list)
    files: dict[Path, FileState] = field(default_factory=dict)
    digest: bytes = b""
    """Of all rows that the statements returned."""
    is_plain: bool = True
    """Nothing but reading was seen."""
    good_for: float = inf
    """Seconds until the time alone changes what was written."""

    def seal(self, session: Session) -> None:
        """Remember what the statements return, in the session whose snapshot they were made in."""
        self.digest = self._rows(session, None) if self.is_plain else b""

    def files_hold(self) -> bool:
        """Whether the files are as they were."""
        return all(_state_of(path) == state for path, state in self.files.items())

    def hold(self, session: Session, version: DataVersion) -> bool:
        """
        Whether the statements return what they did.

        Args:
            version: the database's, asked before the session began. What another page repeated since then, such as
                the one of another role, is not repeated again.
        """
        return self._rows(session, version) == self.digest

    def _rows(self, session: Session, version: DataVersion | None) -> bytes:
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        cursor = session.connection().connection.cursor()
        try:
            for statement, parameters in self.statements:
                digest.update(_repeated(cursor, statement, parameters, version=version))
        finally:
            cursor.close()
        return digest.digest()


def _repeated(cursor: Any, statement: str, parameters: Any, *, version: DataVersion | None) -> bytes:  # noqa: ANN401 - the driver's own
    """Return the digest of what a statement returns: remembered, where it was repeated in this version already."""
    key = statement, repr(parameters)
    known = _known_digests.get(key)
    if known is not None and known[0] == version:
        return known[1]
    cursor.execute(statement, parameters)
    rows = repr(cursor.fetchall()).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(rows, digest_size=DIGEST_BYTES).digest()
    if version is not None:
        _known_digests.put(key, (version, digest))
    return digest


class _KnownDigests:
    """What statements returned in the version that was looked at last; the oldest are forgotten."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.digests: OrderedDict[tuple[str, str], tuple[DataVersion, bytes]] = OrderedDict()

    def get(self, key: tuple[str, str]) -> tuple[DataVersion, bytes] | None:
        return self.digests.get(key)

    def put(self, key: tuple[str, str], known: tuple[DataVersion, bytes]) -> None:
        with self.lock:
            self.digests.pop(key, None)
            self.digests[key] = known
            if len(self.digests) > MOST_DIGESTS:
                self.digests.popitem(last=False)


_known_digests = _KnownDigests()


_noting: ContextVar[Reads | None] = ContextVar("noting", default=None)


@contextmanager
def noting() -> Iterator[Reads]:
    """Note every statement that this thread executes, and every file that says it is read."""
    reads = Reads()
    token = _noting.set(reads)
    try:
        yield reads
    finally:
        _noting.reset(token)


def note_file(path: Path) -> None:
    """Say that a file is about to be read."""
    reads = _noting.get()
    if reads is not None:
        reads.files[path] = _state_of(path)


def note_change(seconds: float) -> None:
    """Say that what is being written will read otherwise after so long, as `3 min ago` does."""
    reads = _noting.get()
    if reads is not None:
        reads.good_for = min(reads.good_for, seconds)


def watch(engine: Engine) -> None:
    """Let `noting` see what this engine executes, and `own_commits` what it commits."""
    event.listen(engine, "before_cursor_execute", _note)
    event.listen(engine, "commit", _count_commit)


def count_statements(engine: Engine) -> None:
    """Let `own_commits` count each statement of an engine that commits every one by itself."""
    event.listen(engine, "after_cursor_execute", lambda *_: _count_commit(None))


def _note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:  # noqa: ANN401 - the event's arguments
    reads = _noting.get()
    if reads is None or statement.startswith(NOT_READ):
        return
    if not statement.startswith(READING):
        reads.is_plain = False
    elif (statement, parameters) not in reads.statements:
        reads.statements.append((statement, parameters))


def _state_of(path: Path) -> FileState:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size
