"""How columns store what the two databases store differently: times, words, and the names of constraints."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, Enum, TypeDecorator
from sqlalchemy.engine import Dialect

# A constraint without a name cannot be dropped by a later migration on both databases.
CONSTRAINT_NAMES = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def utc_now() -> datetime:
    """Return the time as it is stored everywhere: aware, in UTC."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A time with its zone on both databases; SQLite alone would hand it back without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Put the zone back that SQLite drops."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def words_of(kind: type[StrEnum]) -> Any:  # noqa: ANN401 - SQLModel asks for a class here and takes a type as well
    """Store an enum as its own words: a new word then needs no migration, unlike Postgres' enum types."""
    return Enum(kind, native_enum=False, length=32, values_callable=lambda words: [word.value for word in words])
