"""Reading the audit log: by words, user, action, object and time, the newest first, a page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Text, or_, type_coerce
from sqlmodel import Session, col, select

from app.domain.audit_models import AuditEntry, Outcome

MOST_WORDS = 16  # a search of a hundred words is no search


@dataclass(frozen=True)
class AuditQuery:
    """What of the log is asked for; what is empty does not count."""

    words: str = ""
    user: str = ""
    action: str = ""
    """A whole action such as `run.stop`, or the part before the dot."""
    object_kind: str = ""
    object_id: str = ""
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Entries of before this moment."""


@dataclass(frozen=True)
class AuditPage:
    """A page of the log."""

    entries: Sequence[AuditEntry]
    next_before: int | None
    """The next page holds what is older than this entry; None on the last one."""


def list_entries(session: Session, query: AuditQuery, *, before: int | None = None, limit: int = 50) -> AuditPage:
    """Return the newest entries that fit, or those older than one: new entries never move a page."""
    statement = select(AuditEntry).where(*_conditions(query))
    if before is not None:
        statement = statement.where(col(AuditEntry.id) < before)
    found = session.exec(statement.order_by(col(AuditEntry.id).desc()).limit(limit + 1)).all()
    entries = found[:limit]
    return AuditPage(entries, entries[-1].id if len(found) > limit else None)


def known_names(session: Session) -> tuple[Sequence[str], Sequence[str]]:
    """Return whose entries there are, and which actions."""
    users = session.exec(select(AuditEntry.user_name).distinct().order_by(AuditEntry.user_name)).all()
    actions = session.exec(select(AuditEntry.action).distinct().order_by(AuditEntry.action)).all()
    return [name for name in users if name], actions


def _conditions(query: AuditQuery) -> list[ColumnElement[bool]]:
    found = [_holds(word) for word in query.words.replace("\x00", " ").split()[:MOST_WORDS]]
    for column, value in (
        (AuditEntry.user_name, query.user),
        (AuditEntry.object_kind, query.object_kind),
        (AuditEntry.object_id, query.object_id),
    ):
        if value:
            found.append(col(column) == value.replace("\x00", ""))
    if query.action:
        action = query.action.replace("\x00", "")
        is_part = col(AuditEntry.action).startswith(f"{action}.", autoescape=True)
        found.append(or_(col(AuditEntry.action) == action, is_part))
    if query.outcome is not None:
        found.append(col(AuditEntry.outcome) == query.outcome)
    if query.since is not None:
        found.append(col(AuditEntry.at) >= query.since)
    if query.until is not None:
        found.append(col(AuditEntry.at) < query.until)
    return found


def _holds(word: str) -> ColumnElement[bool]:
    columns = (
        col(AuditEntry.user_name),
        col(AuditEntry.action),
        col(AuditEntry.object_kind),
        col(AuditEntry.object_id),
        col(AuditEntry.address),
        type_coerce(col(AuditEntry.details), Text),
    )
    return or_(*(column.icontains(word, autoescape=True) for column in columns))
