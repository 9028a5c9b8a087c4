"""
How migrations run, on SQLite and on Postgres.

Every migration is one transaction on both. Postgres gives up soon instead of making the whole
site wait behind a lock. SQLite changes a table by copying it, with foreign keys off meanwhile:
otherwise dropping the old copy would drop what refers to it.
"""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, DateTime, Enum, String, TypeDecorator, event, text
from sqlmodel import SQLModel

from app.config import settings
from app.domain import models  # noqa: F401 - fills the metadata
from app.domain.db import make_engine

LOCK_WAIT = "5s"  # a table that is busy for longer is migrated at a quieter time
STATEMENT_WAIT = "10min"  # longer than any migration of a database that fits one host should take
ONE_AT_A_TIME = 7_352_001  # a number of our own: who holds Postgres' advisory lock of it migrates


def migrate(url: str) -> None:
    """Open the database and run what was asked for."""
    engine = make_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _leave_foreign_keys_alone)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            _be_careful(connection)
        _run(connection)
    engine.dispose()


def _leave_foreign_keys_alone(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own connection
    connection.execute("PRAGMA foreign_keys=OFF")


def _be_careful(connection: Connection) -> None:
    # The advisory lock comes first: waiting for another migrator is no reason to give up.
    connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": ONE_AT_A_TIME})
    connection.execute(text(f"SET lock_timeout = '{LOCK_WAIT}'"))
    connection.execute(text(f"SET statement_timeout = '{STATEMENT_WAIT}'"))
    connection.commit()  # settings of a transaction that is rolled back are rolled back with it


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=True,
        transactional_ddl=True,  # SQLite can, and Alembic does not count on it
        compare_type=True,
        render_item=_plain_type,
    )
    with context.begin_transaction():
        context.run_migrations()


def _plain_type(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Write down what the database holds: a migration must mean the same when the code's own types have moved on."""
    if kind == "type" and isinstance(item, TypeDecorator):
        item = item.impl_instance
    if kind == "type" and isinstance(item, DateTime):
        return f"sa.DateTime(timezone={item.timezone})"
    if kind == "type" and isinstance(item, String | Enum):
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    return False


migrate(context.config.attributes.get("url") or settings().database)
