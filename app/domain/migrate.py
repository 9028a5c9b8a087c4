"""
Bring a database to the tables this version of Temper works with.

The migrations are beside the packages, in `migrations/`: a source checkout or an editable
install has them.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, make_url, text

from app.domain.db import make_engine

MIGRATIONS = Path(__file__).parents[2] / "migrations"
LOCK_WAIT = "5s"  # a table that is busy for longer is migrated at a quieter time
STATEMENT_WAIT = "10min"  # longer than any migration of a database that fits one host should take
ONE_AT_A_TIME = 7_352_001  # a number of our own: who holds Postgres' advisory lock of it migrates


class SchemaError(Exception):
    """The database is at a revision that this version of Temper does not know."""


def upgrade(url: str, revision: str = "head", *, before: Callable[[str], object] = lambda _found: None) -> None:
    """
    Migrate a database up; it is made when it is an SQLite file that is not there yet.

    Args:
        before: Called with the revision of a database that is about to be changed.

    Raises:
        SchemaError: The database is of a newer Temper; nothing was changed.
    """
    with opened(url) as connection:
        found = _known_revision(connection)
        if found not in {None, _scripts().as_revision_number(revision)}:
            before(str(found))
        command.upgrade(_config(connection), revision)


def downgrade(url: str, revision: str) -> None:
    """Migrate a database back to an older revision; `base` empties it."""
    with opened(url) as connection:
        _known_revision(connection)
        command.downgrade(_config(connection), revision)


def is_current(url: str) -> bool:
    """Whether a database is at the newest migration."""
    engine = make_engine(url)
    with engine.connect() as connection:
        found = revision_of(connection)
    engine.dispose()
    return found == _scripts().get_current_head()


def is_known(revision: str) -> bool:
    """Whether this version of Temper has the migration to a revision."""
    return revision in {script.revision for script in _scripts().walk_revisions()}


def revision_of(connection: Connection) -> str | None:
    """Return the revision that a database is at; None when it has no tables yet."""
    return MigrationContext.configure(connection).get_current_revision()


def _known_revision(connection: Connection) -> str | None:
    with connection.begin():  # Alembic joins a transaction that is open, and leaves it open
        found = revision_of(connection)
    if found is not None and not is_known(found):
        raise SchemaError(
            f"The database is of a newer Temper: its schema is {found}, and this version knows them up to "
            f"{_scripts().get_current_head()}. Nothing was changed. Install the newer version, or restore a backup."
        )
    return found


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


# ── Opening a database for its migrations ──────────────────────────────────


@contextmanager
def opened(url: str) -> Iterator[Connection]:
    """
    Open a database for migrating it, once nobody else does.

    Postgres gives up soon instead of making the whole site wait behind a lock. SQLite changes a
    table by copying it, with foreign keys off meanwhile: otherwise dropping the old copy would
    drop what refers to it.
    """
    engine = make_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _leave_foreign_keys_alone)
    try:
        with _one_at_a_time(url), engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                _be_careful(connection)
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _one_at_a_time(url: str) -> Iterator[None]:
    """Keep two processes from migrating one SQLite file at once; Postgres has its own lock, see `_be_careful`."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        yield
        return
    path = Path(parsed.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.migrating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _leave_foreign_keys_alone(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own connection
    connection.execute("PRAGMA foreign_keys=OFF")


def _be_careful(connection: Connection) -> None:
    with connection.begin():  # settings of a transaction that is rolled back are rolled back with it
        # The advisory lock comes first: waiting for another migrator is no reason to give up.
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": ONE_AT_A_TIME})
        connection.execute(text(f"SET lock_timeout = '{LOCK_WAIT}'"))
        connection.execute(text(f"SET statement_timeout = '{STATEMENT_WAIT}'"))
