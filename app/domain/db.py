"""
The database: one engine, one unit of work for each request or task, and one way to write a row that may be there.

Whoever opens a unit of work commits it by leaving it; nothing else in the project commits.
Queue messages wait in the unit of work and are sent after the commit, so that a worker never
hears of a row that is not there yet.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import orjson
from sqlalchemy import Engine, event, func, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, create_engine

from app.config import settings
from app.domain import queue, reads

KEPT_CONNECTIONS, MORE_CONNECTIONS = 10, 70  # two for each of 32 requests and 8 other threads: see `app.web.slots`
SQLITE_BUSY_MS = 5_000  # SQLite has one writer; a writer waits so long for the one before it


Row = TypeVar("Row", bound=SQLModel)


def make_engine(url: str) -> Engine:
    """Open an engine with what this project needs of each database."""
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_size=KEPT_CONNECTIONS,
        max_overflow=MORE_CONNECTIONS,
        json_deserializer=_from_json,
    )
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediately)
    reads.watch(engine)
    return engine


def _from_json(text: str | bytes) -> Any:  # noqa: ANN401 - what JSON holds
    """Read a column of JSON: a list of runs reads some hundred of them."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # Python writes NaN and infinities, which JSON has not
        return json.loads(text)


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own connection
    connection.isolation_level = None  # this module says BEGIN itself; the driver would say it too late
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={SQLITE_BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediately(connection: Any) -> None:  # noqa: ANN401 - either of SQLAlchemy's connections
    # A transaction that reads first and writes later fails at once with "database is locked"
    # if somebody wrote in between; taking the write lock first makes it wait its turn instead.
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@cache
def engine() -> Engine:
    """Return this process's engine."""
    return make_engine(settings().database)


@contextmanager
def unit_of_work() -> Iterator[Session]:
    """Open a session, commit it at the end, then send the messages it left; on an error, neither."""
    with queue.collecting() as messages, Session(engine(), expire_on_commit=False) as session:
        yield session
        session.commit()
    queue.send(messages)


@contextmanager
def reading() -> Iterator[Session]:
    """Open a session that only reads: it never waits for a writer."""
    with engine().connect().execution_options(read_only=True) as connection, Session(connection) as session:
        yield session


def lazy_reader() -> Session:
    """Return a session that only reads, and takes a connection when it first does; whoever asks closes it."""
    return Session(engine().execution_options(read_only=True))


@contextmanager
def reading_one_state() -> Iterator[Session]:
    """Open a session that only reads, and whose every statement sees the same state of the database."""
    options: dict[str, Any] = {"read_only": True}  # SQLite's readers see one state in any case
    if engine().dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ"}
    with engine().connect().execution_options(**options) as connection, Session(connection) as session:
        yield session


def data_version() -> reads.DataVersion:
    """Return what is another value after any commit of anybody; ask before reading what it is to stand for."""
    return reads.data_version(engine())


def is_local() -> bool:
    """Whether the database is a file of this machine: its version is known in microseconds, without waiting."""
    return engine().dialect.name == "sqlite"


def upsert(session: Session, table: type[SQLModel], *, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """
    Write a row in one statement, whether it is there or not: two that write it at once both succeed.

    Args:
        key: the columns that no two rows share, with this row's values.
    """
    made = _insert(session)(table).values(**key, **values)
    session.execute(made.on_conflict_do_update(index_elements=list(key), set_=dict(values)))


def add_once(session: Session, row: Row, *, key: Sequence[str]) -> Row | None:
    """
    Store a row; None where another has its key, in a transaction that ends meanwhile too.

    Args:
        key: the columns that no two rows share.
    """
    table = type(row)
    made = _insert(session)(table).values(**row.model_dump(exclude={"id"})).on_conflict_do_nothing(index_elements=key)
    stored = session.execute(made.returning(*inspect(table).primary_key)).one_or_none()
    return None if stored is None else session.get(table, tuple(stored))


def take_turns(session: Session, what: int) -> None:
    """
    Let one transaction at a time do something; on SQLite each that writes is alone anyway.

    Args:
        what: a number of our own, of Postgres' advisory lock; no two things share one.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(what)))


def _insert(session: Session) -> Any:  # noqa: ANN401 - of either dialect, which share no type
    return postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
