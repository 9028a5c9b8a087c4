"""The audit log, for admins: searched by words, user, action, object and time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.domain.audit_models import AuditEntry, Outcome
from app.domain.audit_search import AuditQuery, known_names, list_entries
from app.domain.messages import N_
from app.web.deps import LARGEST_ID, ReadSession
from app.web.formats import NONE, clock
from app.web.i18n import gettext
from app.web.render import render

router = APIRouter(include_in_schema=False)

PAGE_SIZE = 50
PAGES_OF = {  # where an object of a kind is shown
    "run": "/runs/{}", "sweep": "/sweeps/{}", "dataset": "/datasets/{}", "model": "/models", "thresholds": "/verdicts",
    "user": "/users", "token": "/users",
}  # fmt: skip
ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", re.ASCII)  # as entries hold times
DETAILS = (  # what entries tell, in the order of the alphabet; what else they hold is shown as it is called
    N_("address"), N_("at once"), N_("ended"), N_("entries left out before"), N_("events"), N_("expires at"),
    N_("is enabled"), N_("keep"), N_("made at"), N_("name"), N_("reason"), N_("role"), N_("rows"), N_("scope"),
    N_("source"), N_("user"),
)  # fmt: skip
Text = Annotated[str, Query(max_length=200)]


@dataclass(frozen=True)
class AuditFilters:
    """What of the log is asked for, as it stands in the address."""

    q: str = ""
    user: str = ""
    action: str = ""
    about: str = ""
    """A kind, and after a space an id."""
    outcome: str = ""
    since: str = ""
    """A date."""
    until: str = ""
    """The last date of which entries are shown."""

    @property
    def is_any(self) -> bool:
        """Whether anything narrows the log."""
        return any(vars(self).values())

    def url(self, **changes: object) -> str:
        """Return the address of the log with some of it changed."""
        values = {name: value for name, value in (vars(self) | changes).items() if value}
        return f"/audit?{urlencode(values)}" if values else "/audit"

    def query(self) -> AuditQuery:
        """Return what the log is searched for; what cannot be read does not count."""
        kind, _, number = self.about.strip().partition(" ")
        until = _midnight(self.until)
        return AuditQuery(
            words=self.q,
            user=self.user,
            action=self.action,
            object_kind=kind,
            object_id=number.strip(),
            outcome=Outcome(self.outcome) if self.outcome in set(Outcome) else None,
            since=_midnight(self.since),
            until=until + timedelta(days=1) if until else None,
        )


@dataclass(frozen=True)
class Detail:
    """One thing that an entry says: a value, or what it was before and after."""

    name: str
    value: str
    before: str | None = None


@dataclass(frozen=True)
class AuditRow:
    """One entry as it is shown."""

    entry: AuditEntry
    details: Sequence[Detail]
    href: str
    """Where its object is shown; empty where nowhere."""


@dataclass(frozen=True)
class AuditLogPage:
    """A page of the log, and what it was asked for."""

    filters: AuditFilters
    rows: Sequence[AuditRow]
    users: Sequence[str]
    actions: Sequence[str]
    outcomes: Sequence[Outcome]
    next_before: int | None
    is_first: bool


@router.get("/audit", name="audit.index")
def show_audit_log(  # noqa: PLR0913 - what can be asked for
    request: Request,
    session: ReadSession,
    q: Text = "",
    *,
    user: Text = "",
    action: Text = "",
    about: Text = "",
    outcome: Text = "",
    since: Text = "",
    until: Text = "",
    before: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
) -> Response:
    """Show the log, the newest entries first."""
    filters = AuditFilters(q, user, action, about, outcome, since, until)
    found = list_entries(session, filters.query(), before=before, limit=PAGE_SIZE)
    users, actions = known_names(session)
    page = AuditLogPage(
        filters=filters,
        rows=[AuditRow(entry, _details(entry), _href(entry)) for entry in found.entries],
        users=users,
        actions=actions,
        outcomes=tuple(Outcome),
        next_before=found.next_before,
        is_first=before is None,
    )
    return render(request, "audit/index.html", page, partial="audit/_entries.html")


def _midnight(text: str) -> datetime | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return datetime.combine(found, time(), UTC) if found.year < MAXYEAR else None  # there must be a day after it


def _href(entry: AuditEntry) -> str:
    page = PAGES_OF.get(entry.object_kind, "")
    if "{}" in page and not entry.object_id:
        return ""
    return page.format(entry.object_id)


def _details(entry: AuditEntry) -> list[Detail]:
    return [_detail(_word(name.replace("_", " ")), value) for name, value in entry.details.items()]


def _word(name: str) -> str:
    return gettext(name) if name in DETAILS else name


def _detail(name: str, value: Any) -> Detail:  # noqa: ANN401 - whatever an entry holds
    if isinstance(value, dict) and value.keys() == {"before", "after"}:
        return Detail(name, _text(value["after"]), _text(value["before"]))
    return Detail(name, _text(value))


def _text(value: Any) -> str:  # noqa: ANN401 - whatever an entry holds
    if value is None:
        return NONE
    if isinstance(value, float):
        return f"{value:g}"
    return clock(datetime.fromisoformat(value)) if ISO_TIME.fullmatch(str(value)) else str(value)
