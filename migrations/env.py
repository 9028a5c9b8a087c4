"""
How migrations run, on SQLite and on Postgres: every migration is one transaction on both.

`app/domain/migrate.py` opens the database and says what else each of them needs.
"""

from typing import Literal

from alembic import context
from sqlalchemy import Connection, DateTime, Enum, String, TypeDecorator
from sqlmodel import SQLModel

from app.config import settings
from app.domain import approval_models, audit_models, models, request_models  # noqa: F401 - fill the metadata
from app.domain.answer_search import is_of_models
from app.domain.migrate import opened
from app.domain.webhooks import models as webhook_models  # noqa: F401 - the same


def migrate() -> None:
    """Run what was asked for: by `app/domain/migrate.py`, or by the `alembic` command."""
    connection: Connection | None = context.config.attributes.get("connection")
    if connection is not None:
        _run(connection)
        return
    with opened(settings().database) as connection:
        _run(connection)


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=True,
        transactional_ddl=True,  # SQLite can, and Alembic does not count on it
        compare_type=True,
        include_name=is_of_models,
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


migrate()
