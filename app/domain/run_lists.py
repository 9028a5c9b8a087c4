"""Lists of runs: filtered, ordered, and cut into pages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, cast, func, null, true
from sqlalchemy import select as sa_select
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, select

from app.domain.models import Checkpoint, Model, Run, RunState, StoredScore
from app.domain.paging import Mark, Value, is_behind
from app.domain.run_search import matching
from app.domain.runs import id_of

SORTS: dict[str, Mapped[Any] | ColumnElement[Any]] = {
    "created": col(Run.created_at),
    "name": func.lower(Run.name),
    "loss": col(Run.loss),
    "state": col(Run.state),
    "queue": col(Run.rank),
}


@dataclass(frozen=True)
class RunFilter:
    """What runs of a list have in common, beside the words that are searched for."""

    name: str = ""
    model: str = ""
    sweep_id: int | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    verdict: str = ""
    """One of their checkpoints has it, as it was scored last."""

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield what a run joined with its model must fulfil."""
        if self.name:
            yield col(Run.name) == self.name
        if self.model:
            yield col(Model.name) == self.model
        if self.sweep_id is not None:
            yield col(Run.sweep_id) == self.sweep_id
        if self.created_after is not None:
            yield col(Run.created_at) > self.created_after
        if self.created_before is not None:
            yield col(Run.created_at) < self.created_before
        if self.verdict:
            judged = select(Checkpoint.run_id).join(StoredScore).where(StoredScore.verdict == self.verdict)
            yield col(Run.id).in_(judged)


@dataclass(frozen=True)
class RunPage:
    """One page of runs, and how many there are in all and in each state."""

    runs: Sequence[Run]
    total: int
    by_state: dict[RunState, int] = field(default_factory=dict)


def list_runs(  # noqa: PLR0913 - what lists are cut and ordered by
    session: Session,
    *,
    query: str = "",
    state: RunState | None = None,
    chosen: RunFilter = RunFilter(),
    sort: str = "-created",
    after: Mark | None = None,
    offset: int = 0,
    limit: int = 25,
) -> RunPage:
    """
    Return one page of runs whose name, model or answers hold each word of `query`; `sweep:3` are a sweep's.

    Args:
        after: the page begins behind this run; counts are of all that fit.
    """
    matches = [*matching(query, session.get_bind().dialect.name), *chosen.conditions()]
    place = func.row_number().over(order_by=_order(sort)).label("place")
    # Searched once, for the counts and the page: what stands in every answer takes a while to find.
    found = (
        sa_select(col(Run.id), col(Run.state), _key(sort).label("key"), place).join(Model).where(*matches).cte("found")
    )
    counts = sa_select(cast(null(), Integer), found.c.state, func.count()).group_by(found.c.state)
    page = sa_select(found.c.id, found.c.state, found.c.place).where(found.c.state == state if state else true())
    if after is not None:
        ways = {"falls": _falls(sort), "ids_fall": _ids_fall(sort)}
        page = page.where(is_behind(after, key=found.c.key, row_id=found.c.id, **ways))
    page = page.order_by(found.c.place).offset(offset).limit(limit)
    by_state, places = dict[RunState, int](), dict[int, int]()
    for run_id, its_state, number in session.execute(counts.union_all(sa_select(page.subquery()))):
        if run_id is None:
            by_state[RunState(its_state)] = number
        else:
            places[run_id] = number
    runs = session.exec(select(Run).where(col(Run.id).in_(places))).all()
    total = by_state.get(state, 0) if state else sum(by_state.values())
    return RunPage(sorted(runs, key=lambda run: places[id_of(run)]), total, by_state)


def mark_of(session: Session, run: Run, sort: str) -> Mark:
    """Return where a page ended whose last run this is, as the database itself sees its place."""
    value: Value = session.execute(sa_select(_key(sort)).where(col(Run.id) == run.id)).scalar_one()
    return Mark(value, id_of(run))


def _key(sort: str) -> Any:  # noqa: ANN401 - a column, or a function of one
    return SORTS.get(sort.removeprefix("-"), SORTS["created"])


def _falls(sort: str) -> bool:
    return sort.startswith("-")


def _ids_fall(sort: str) -> bool:
    return sort != "queue"


def _order(sort: str) -> list[ColumnElement[Any]]:
    key = _key(sort)
    direction = key.desc() if _falls(sort) else key.asc()
    among_equals = col(Run.id).desc() if _ids_fall(sort) else col(Run.id).asc()
    return [direction.nulls_last(), among_equals]  # the two databases disagree about where nothing sorts
