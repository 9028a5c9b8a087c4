"""The audit log: every change that somebody asked for, made or refused. Reading it takes an admin."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BeforeValidator
from pydantic_core import PydanticKnownError

from app.api.types import LARGEST_ID, Limit, Reply
from app.domain.audit_models import Means, Outcome
from app.domain.audit_search import AuditQuery, list_entries
from app.web.deps import ReadSession

router = APIRouter(prefix="/audit", tags=["audit"])


class AuditReply(Reply):
    """One entry. It never changes."""

    id: int
    at: datetime
    user_id: int | None
    user_name: str
    """As it was then; of the command, the name on the machine; empty for a stranger."""
    means: Means
    """What they came with."""
    credential_id: int | None
    """Which token or login."""
    address: str
    action: str
    """`run.stop`: the same whichever page or program asked."""
    object_kind: str
    object_id: str
    outcome: Outcome
    status: int
    """Of the answer; 0 for the command."""
    details: dict[str, Any]
    """Names, and values before and after; never a secret."""


class AuditList(Reply):
    """Entries, the newest first."""

    entries: list[AuditReply]
    next_before: int | None
    """Give it as `before` to read on; null at the end."""


def _written_as_a_date(value: object) -> object:
    """Refuse a bare number, which pydantic takes for the seconds since 1970."""
    if isinstance(value, str) and not _DATE.match(value):
        raise PydanticKnownError("datetime_parsing", {"error": "it must begin with a date, such as 2026-01-31"})
    return value


_DATE = re.compile(r"\s*\d{4}-\d\d-\d\d")
Moment = Annotated[datetime, BeforeValidator(_written_as_a_date)]
Text = Annotated[str, Query(max_length=200)]


@router.get("", summary="Search the audit log")
def list_audit_entries(  # noqa: PLR0913 - what can be asked for
    session: ReadSession,
    q: Annotated[str, Query(max_length=200, description="Words that an entry must hold.")] = "",
    *,
    user: Text = "",
    action: Annotated[str, Query(max_length=200, description="`run.stop`, or `run` for all of them.")] = "",
    object_kind: Text = "",
    object_id: Text = "",
    outcome: Outcome | None = None,
    since: Annotated[Moment | None, Query(description="Entries from this moment on.")] = None,
    until: Annotated[Moment | None, Query(description="Entries of before this moment.")] = None,
    before: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Entries older than this one.")] = None,
    limit: Limit = 50,
) -> AuditList:
    """Return entries that fit, the newest first; what comes in meanwhile moves no page."""
    query = AuditQuery(q, user, action, object_kind, object_id, outcome, _aware(since), _aware(until))
    page = list_entries(session, query, before=before, limit=limit)
    return AuditList(entries=[AuditReply.model_validate(entry) for entry in page.entries], next_before=page.next_before)


def _aware(moment: datetime | None) -> datetime | None:
    """Return a time in UTC, as all times are stored; one without a zone is taken for such a one."""
    if moment is None or moment.tzinfo is None:
        return moment and moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # hours before the first day there is, or after the last
        return moment.replace(tzinfo=UTC)
