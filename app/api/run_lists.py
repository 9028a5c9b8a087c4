"""Lists of runs over the API: what may be asked for, a page of it, and all of it as lines."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from sqlmodel import Session

from app.api.paging import cursor_at, mark_in
from app.api.run_replies import RunList, RunSummary, run_summary
from app.api.types import LARGEST_ID, MOST_LISTED
from app.domain import db
from app.domain.models import RunState
from app.domain.paging import Mark
from app.domain.run_lists import RunFilter, RunPage, list_runs, mark_of
from app.domain.verdicts import Verdict

SORT_PATTERN = "^-?(created|name|loss|state|queue)$"
PATH = "/runs"


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("This time is too far off") from None


def _is_written_out(value: object) -> object:
    """Refuse a number, which pydantic would take for seconds since 1970."""
    if isinstance(value, str) and "T" in value.upper():
        return value
    raise ValueError("Write a time such as 2026-11-26T09:00:00Z")


Moment = Annotated[AwareDatetime, BeforeValidator(_is_written_out), AfterValidator(_in_utc)]


@dataclass(frozen=True)
class AskedRuns:
    """Which runs a list holds, and in which order."""

    q: Annotated[str, Query(max_length=200, description="Words in the name, the model or an answer.")] = ""
    state: RunState | None = None
    name: Annotated[str, Query(max_length=200, description="The whole name.")] = ""
    model: Annotated[str, Query(max_length=200, description="The whole name of the base model.")] = ""
    sweep: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Runs of this sweep.")] = None
    verdict: Annotated[Verdict | None, Query(description="Runs with a checkpoint of this verdict.")] = None
    created_after: Annotated[Moment | None, Query(examples=["2026-11-26T09:00:00Z"])] = None
    created_before: Annotated[Moment | None, Query(examples=["2026-11-27T09:00:00Z"])] = None
    sort: Annotated[str, Query(pattern=SORT_PATTERN, description="`-` before it: falling.")] = "-created"

    def page(self, session: Session, *, after: Mark | None, limit: int) -> RunPage:
        """Return one page."""
        chosen = RunFilter(
            name=self.name.replace("\x00", " "),  # Postgres knows no NUL
            model=self.model.replace("\x00", " "),
            sweep_id=self.sweep,
            created_after=self.created_after,
            created_before=self.created_before,
            verdict=self.verdict or "",
        )
        return list_runs(
            session, query=self.q, state=self.state, chosen=chosen, sort=self.sort, after=after, limit=limit
        )


def page_of_runs(session: Session, asked: AskedRuns, *, cursor: str, limit: int) -> RunList:
    """Return one page as the API shows it."""
    after = mark_in(cursor, PATH, asked, is_time=asked.sort.endswith("created"))
    page = asked.page(session, after=after, limit=limit + 1)
    runs, more = page.runs[:limit], page.runs[limit:]
    return RunList(
        runs=[run_summary(run) for run in runs],
        total=page.total,
        by_state=page.by_state,
        next_cursor=cursor_at(mark_of(session, runs[-1], asked.sort), PATH, asked) if more else None,
    )


def all_runs(asked: AskedRuns) -> Iterator[RunSummary]:
    """Yield every run that fits, a page at a time."""
    after: Mark | None = None
    while True:
        with db.reading() as session:
            runs = asked.page(session, after=after, limit=MOST_LISTED).runs
            replies = [run_summary(run) for run in runs]
            after = mark_of(session, runs[-1], asked.sort) if runs else None
        yield from replies
        if len(runs) < MOST_LISTED:
            return
