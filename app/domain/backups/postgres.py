"""
Saving and putting back a Postgres database, with nothing but a connection to it.

Each table is a file of JSON lines. A line holds a row, every value in the words of Postgres
itself: what is read back is then what was there, to the last digit of a number, and a JSON null
is not taken for no value.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Text,
    cast,
    column,
    func,
    insert,
    inspect,
    literal,
    make_url,
    select,
    table,
    text,
)
from sqlalchemy.schema import CreateSchema, DropSchema

from app.domain.backups.manifest import BackupError, DatabaseKind
from app.domain.db import make_engine
from app.domain.migrate import LOCK_WAIT, revision_of, upgrade

STAGING = "temper_restoring"
VERSION_TABLE = "alembic_version"  # the manifest says what is in it
ROWS_AT_ONCE = 1_000


class PostgresDatabase:
    """The Postgres database of the settings: every table of its schema is taken for Temper's."""

    kind: DatabaseKind = "postgresql"

    def __init__(self, url: str) -> None:
        """Take the database that a URL names."""
        self._url = url

    def save(self, folder: Path) -> str:
        """Write every table as it is at one moment, while others write to them; return the revision."""
        with _snapshot(self._url) as connection:
            revision = revision_of(connection)
            if revision is None:
                raise BackupError("The database has no tables yet.")
            for name in _tables(connection):
                _write_table(connection, name, folder / f"{name}.jsonl")
        return revision

    def holds_runs(self) -> bool:
        """Whether there are runs in it."""
        with _transaction(self._url) as connection:
            if not inspect(connection).has_table("run"):
                return False
            return connection.execute(select(literal(1)).select_from(table("run")).limit(1)).first() is not None

    def stage(self, files: Sequence[Path], revision: str) -> None:
        """Make a database of the saved tables in a schema of its own, brought up to date."""
        self.discard()
        url = _in_schema(self._url, STAGING)
        with _transaction(self._url) as connection:
            connection.execute(CreateSchema(STAGING))
        upgrade(url, revision)
        with _transaction(url) as connection:
            _fill(connection, {path.stem: path for path in files})
        upgrade(url)

    def staged_runs(self) -> set[int]:
        """Return the ids of the runs in the staged database."""
        with _transaction(_in_schema(self._url, STAGING)) as connection:
            return set(connection.scalars(select(column("id", Integer)).select_from(table("run"))))

    def swap(self, stamp: str, undo: ExitStack) -> str | None:  # noqa: ARG002 - one transaction undoes itself
        """Put the staged tables in force; return where those before are kept."""
        kept = f"before_restore_{stamp.lower()}"
        with _transaction(self._url) as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'"))
            here = inspect(connection).default_schema_name
            before = inspect(connection).get_table_names()
            if before:
                connection.execute(CreateSchema(kept))
            _move(connection, before, str(here), kept)
            _move(connection, inspect(connection).get_table_names(STAGING), STAGING, str(here))
            connection.execute(DropSchema(STAGING))
        return f"schema {kept} of the database" if before else None

    def discard(self) -> None:
        """Delete what was staged and not put in force."""
        with _transaction(self._url) as connection:
            connection.execute(DropSchema(STAGING, cascade=True, if_exists=True))


@contextmanager
def _transaction(url: str, **options: Any) -> Iterator[Connection]:  # noqa: ANN401 - SQLAlchemy's own options
    engine = make_engine(url)
    try:
        with engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _snapshot(url: str) -> Iterator[Connection]:
    """Open a database that stays as it is now, and says every value in words that do not depend on its settings."""
    with _transaction(url, isolation_level="REPEATABLE READ", postgresql_readonly=True) as connection:
        for setting in ("datestyle = 'ISO'", "timezone = 'UTC'", "extra_float_digits = 1"):
            connection.execute(text(f"SET LOCAL {setting}"))
        yield connection


def _in_schema(url: str, schema: str) -> str:
    """Return the URL of a database whose tables are looked for in a schema."""
    parsed = make_url(url)
    options = f"{parsed.query.get('options', '')} -csearch_path={schema}".strip()
    return parsed.update_query_dict({"options": options}).render_as_string(hide_password=False)


def _tables(connection: Connection) -> list[str]:
    return sorted(set(inspect(connection).get_table_names()) - {VERSION_TABLE})


def _columns(connection: Connection, name: str) -> list[str]:
    return [each["name"] for each in inspect(connection).get_columns(name)]


# ── Out ────────────────────────────────────────────────────────────────────


def _write_table(connection: Connection, name: str, path: Path) -> None:
    columns = [cast(column(each), Text).label(each) for each in _columns(connection, name)]
    rows = connection.execute(
        select(*columns).select_from(table(name)), execution_options={"yield_per": ROWS_AT_ONCE}
    ).mappings()
    with path.open("x", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(dict(row), ensure_ascii=False) + "\n")


# ── Back ───────────────────────────────────────────────────────────────────


def _fill(connection: Connection, files: dict[str, Path]) -> None:
    """Load every table; their references to each other are checked once all rows are there."""
    if sorted(files) != _tables(connection):
        raise BackupError("The backup does not hold the tables of its schema.")
    references = _drop_references(connection)
    for name, path in files.items():
        _load_table(connection, name, path)
        _go_on_counting(connection, name)
    for owner, name, definition in references:
        connection.execute(text(f"ALTER TABLE {owner} ADD CONSTRAINT {name} {definition}"))


def _drop_references(connection: Connection) -> list[tuple[str, str, str]]:
    """Take the foreign keys off; return each with its table and its definition, quoted as SQL needs them."""
    query = text(
        "SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype = 'f' AND connamespace = current_schema()::regnamespace"
    )
    references = [(owner, name, definition) for owner, name, definition in connection.execute(query)]
    for owner, name, _ in references:
        connection.execute(text(f"ALTER TABLE {owner} DROP CONSTRAINT {name}"))
    return references


def _load_table(connection: Connection, name: str, path: Path) -> None:
    # Columns without a type: Postgres reads each word as the value that its column needs.
    target = insert(table(name, *map(column, _columns(connection, name))))
    with path.open(encoding="utf-8") as file:
        while lines := list(islice(file, ROWS_AT_ONCE)):
            connection.execute(target, [json.loads(line) for line in lines])


def _go_on_counting(connection: Connection, name: str) -> None:
    """Let the next row get the id after the last."""
    quoted = connection.dialect.identifier_preparer.quote(name)
    for each in _columns(connection, name):
        counter = connection.scalar(select(func.pg_get_serial_sequence(quoted, each)))
        if counter is not None:
            last = func.max(column(each, Integer))
            set_counter = func.setval(counter, func.coalesce(last, 1), last.is_not(None))
            connection.execute(select(set_counter).select_from(table(name)))


def _move(connection: Connection, tables: Sequence[str], source: str, target: str) -> None:
    """Move tables to another schema, with their indexes and counters."""
    quote = connection.dialect.identifier_preparer.quote
    for name in tables:
        moved = f"{quote(source)}.{quote(name)}"
        connection.execute(text(f"ALTER TABLE {moved} SET SCHEMA {quote(target)}"))
