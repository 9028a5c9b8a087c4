"""The table of the audit log, and the words in it."""

import json
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Dialect, Index, Text, TypeDecorator
from sqlmodel import Field, SQLModel

from app.domain.columns import UtcDateTime, utc_now, words_of


class Outcome(StrEnum):
    """What came of what was asked for."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class Means(StrEnum):
    """What somebody came with."""

    SESSION = "session"
    TOKEN = "token"  # noqa: S105 - a name
    LINK = "link"
    PASSWORD = "password"  # noqa: S105 - a name
    OIDC = "oidc"
    COMMAND = "command"
    """The `temper` command on the server's own machine, which works on the database itself."""
    NOTHING = "nothing"


class PlainJson(TypeDecorator[dict[str, Any]]):
    """JSON as text that can be searched: every letter as it is, on both databases."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Write it."""
        return None if value is None else json.dumps(value, ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any] | None:  # noqa: ARG002
        """Read it."""
        return None if value is None else json.loads(value)


class AuditEntry(SQLModel, table=True):
    """
    One change that somebody asked for, made or refused.

    It names users and objects without referring to their rows: it stays as it was written when
    they have other names or are gone. The database refuses to change or delete it.
    """

    __tablename__ = "audit_entry"
    __table_args__ = (Index("ix_audit_entry_object", "object_kind", "object_id"),)

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime, index=True)
    user_id: int | None = None
    user_name: str = Field(default="", index=True)
    """As it was then; of the command, the name on the machine; empty for a stranger."""
    means: Means = Field(default=Means.NOTHING, sa_type=words_of(Means))
    credential_id: int | None = None
    """Which session or token it was."""
    address: str = ""
    """Where the request came from, or the name of the machine."""
    action: str = Field(index=True)
    """`run.stop`: stable, whichever page or program asked."""
    object_kind: str = ""
    object_id: str = ""
    outcome: Outcome = Field(sa_type=words_of(Outcome))
    status: int = 0
    """Of the answer, in HTTP's numbers; 0 for the command."""
    details: dict[str, Any] = Field(default_factory=dict, sa_type=PlainJson)
    """Names, and values before and after; never a secret."""
