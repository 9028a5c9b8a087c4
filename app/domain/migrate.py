"""
Bring a database to the tables this version of Temper works with.

The migrations are beside the packages, in `migrations/`: a source checkout or an editable
install has them.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import make_url

from app.domain.db import make_engine

MIGRATIONS = Path(__file__).parents[2] / "migrations"


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate a database up; it is made when it is an SQLite file that is not there yet."""
    with _one_at_a_time(url):
        command.upgrade(_config(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Migrate a database back to an older revision; `base` empties it."""
    with _one_at_a_time(url):
        command.downgrade(_config(url), revision)


def is_current(url: str) -> bool:
    """Whether a database is at the newest migration."""
    engine = make_engine(url)
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_heads()
    engine.dispose()
    return set(found) == set(ScriptDirectory(str(MIGRATIONS)).get_heads())


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = url
    return config


@contextmanager
def _one_at_a_time(url: str) -> Iterator[None]:
    """Keep two processes from migrating one SQLite file at once; Postgres has its own lock, see `migrations/env.py`."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        yield
        return
    path = Path(parsed.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.migrating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
