"""Saving and putting back an SQLite database."""

import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from sqlalchemy import make_url

from app.domain.backups.files import copy_file
from app.domain.backups.manifest import BackupError, DatabaseKind
from app.domain.disk import put_on_disk
from app.domain.migrate import upgrade

NAME = "temper.db"


class SqliteDatabase:
    """The database file of the settings."""

    kind: DatabaseKind = "sqlite"

    def __init__(self, url: str) -> None:
        """Take the file that a URL names."""
        self._path = Path(make_url(url).database or "").absolute()
        self._staged = self._path.with_name(f"{self._path.name}.restoring")

    def save(self, folder: Path) -> str:
        """Copy the database as it is at one moment, while others write to it; return its revision."""
        if not self._path.exists():
            raise BackupError(f"There is no database at {self._path} yet.")
        with closing(_connect(self._path)) as source, closing(sqlite3.connect(folder / NAME)) as copy:
            source.backup(copy)
            problem = copy.execute("PRAGMA integrity_check").fetchone()[0]
            if problem != "ok":
                raise BackupError(f"The database {self._path} is damaged: {problem}")
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it
            return _revision_of(copy)

    def holds_runs(self) -> bool:
        """Whether there are runs in it, or whatever cannot be read."""
        if not self._path.exists():
            return False
        try:
            with closing(_connect(self._path)) as connection:
                return _has_table(connection, "run") and bool(connection.execute("SELECT 1 FROM run").fetchone())
        except sqlite3.DatabaseError:
            return True

    def stage(self, files: Sequence[Path], revision: str) -> None:  # noqa: ARG002 - the file knows its revision
        """Put a saved database beside the one in force, brought up to date."""
        self.discard()
        if [path.name for path in files] != [NAME]:
            raise BackupError("The backup holds no database.")
        copy_file(files[0], self._staged, f"database/{NAME}")
        upgrade(f"sqlite:///{self._staged}")
        _close(self._staged)

    def staged_runs(self) -> set[int]:
        """Return the ids of the runs in the staged database."""
        with closing(_connect(self._staged)) as connection:
            return {run_id for (run_id,) in connection.execute("SELECT id FROM run")}

    def swap(self, stamp: str, undo: ExitStack) -> str | None:
        """Put the staged database in force; return where the one before is kept."""
        kept = self._path.with_name(f"{self._path.name}.before-restore-{stamp}")
        was_there = self._path.exists()
        if was_there:
            _close(self._path)
            for suffix in ("-wal", "-shm", ""):  # the first two are there only beside a damaged database
                self._rename(f"{self._path}{suffix}", f"{kept}{suffix}", undo)
        self._rename(str(self._staged), str(self._path), undo)
        put_on_disk(self._path.parent)
        return str(kept) if was_there else None

    @staticmethod
    def _rename(source: str, target: str, undo: ExitStack) -> None:
        if Path(source).exists():
            Path(source).rename(target)
            undo.callback(Path(target).rename, source)

    def discard(self) -> None:
        """Delete what was staged and not put in force."""
        for suffix in ("", "-wal", "-shm", "-journal", ".migrating"):
            Path(f"{self._staged}{suffix}").unlink(missing_ok=True)


def _connect(path: Path) -> sqlite3.Connection:
    """Open a database file that is there."""
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(query, (name,)).fetchone() is not None


def _revision_of(connection: sqlite3.Connection) -> str:
    found = None
    if _has_table(connection, "alembic_version"):
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if found is None:
        raise BackupError("The database has no tables yet.")
    return str(found[0])


def _close(path: Path) -> None:
    """Merge the write-ahead log into its database: beside another database it would spoil that one."""
    try:
        with closing(_connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise BackupError(f"Somebody works with the database {path}. Stop them first.") from error
        # A damaged database is what a restore is for: it is kept as it is.
