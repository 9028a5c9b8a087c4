"""The audit log on a terminal. Reads the database itself."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from app.cli.here import here
from app.cli.listings import Listing
from app.cli.output import AsJson, console, write_json
from app.domain import db
from app.domain.audit_models import AuditEntry, Means, Outcome
from app.domain.audit_search import AuditQuery, list_entries

DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit")(here(show_audit_log))


def show_audit_log(  # noqa: PLR0913 - what can be asked for
    words: Annotated[list[str] | None, typer.Argument(help="Words that an entry must hold.")] = None,
    *,
    user: Annotated[str, typer.Option(help="Whose entries.")] = "",
    action: Annotated[str, typer.Option(help="run.stop, or run for all of them.")] = "",
    about: Annotated[str, typer.Option(help="An object, such as 'run 7'.")] = "",
    outcome: Annotated[Outcome | None, typer.Option(help="What came of it.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=DATES, help="From this moment on, in UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=DATES, help="Before this moment, in UTC.")] = None,
    before: Annotated[int | None, typer.Option(min=1, help="Entries older than the one of this id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show who asked for which change, the newest first."""
    kind, _, number = about.strip().partition(" ")
    query = AuditQuery(
        " ".join(words or ()), user, action, kind, number, outcome, since and _utc(since), until and _utc(until)
    )
    with db.reading() as session:
        entries = list_entries(session, query, before=before, limit=limit).entries
    if as_json:
        write_json([entry.model_dump(mode="json") for entry in entries])
    else:
        console().print(_listing(entries))


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


def _listing(entries: Sequence[AuditEntry]) -> Listing:
    made = Listing("id", "when", "who", "by", "action", "object", "outcome", "details", numbers=("id",))
    for entry in entries:
        made.add(*_cells(entry))
    return made


def _cells(entry: AuditEntry) -> tuple[object, ...]:
    when = entry.at.strftime("%Y-%m-%d %H:%M:%S")
    about = f"{entry.object_kind} {entry.object_id}".strip()
    details = ", ".join(f"{name}: {_words(value)}" for name, value in entry.details.items())
    who = entry.user_name or "a stranger"
    means = f"{entry.means} {entry.credential_id}" if entry.means is Means.TOKEN else entry.means.value
    return (entry.id, when, who, means, entry.action, about, entry.outcome.value, details)


def _words(value: Any) -> str:  # noqa: ANN401 - whatever an entry holds
    if isinstance(value, dict) and value.keys() == {"before", "after"}:
        return f"{value['before']} → {value['after']}"
    return str(value)
