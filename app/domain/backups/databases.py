"""What a backup asks of a database, and the database that is in force."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.config import settings
from app.domain.backups.manifest import BackupError, DatabaseKind
from app.domain.backups.postgres import PostgresDatabase
from app.domain.backups.sqlite import SqliteDatabase


class Database(Protocol):
    """A database that can be saved, and replaced by a saved one in one step."""

    kind: DatabaseKind

    def save(self, folder: Path) -> str:
        """Write everything it holds, as it is at one moment, into a folder; return its revision."""

    def holds_runs(self) -> bool:
        """Whether restoring would put something out of force that somebody made."""

    def stage(self, files: Sequence[Path], revision: str) -> None:
        """Make a database of saved files beside the one in force, brought up to date."""

    def staged_runs(self) -> set[int]:
        """Return the ids of the runs in the staged database."""

    def swap(self, stamp: str, undo: ExitStack) -> str | None:
        """Put the staged database in force; return where the one before is kept, if there was one."""

    def discard(self) -> None:
        """Delete what was staged and not put in force."""


def database_in_force() -> Database:
    """Return the database of the settings."""
    is_postgres = make_url(settings().database).get_backend_name() == "postgresql"
    return (PostgresDatabase if is_postgres else SqliteDatabase)(settings().database)


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Say in one sentence what prevents a piece of work."""
    try:
        yield
    except OSError as error:
        raise BackupError(f"{what}: {error.strerror}: {error.filename or settings().home}") from error
    except sqlite3.Error as error:
        raise BackupError(f"{what}: {error}") from error
    except SQLAlchemyError as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise BackupError(f"{what}: {str(reason).splitlines()[0]}") from error
