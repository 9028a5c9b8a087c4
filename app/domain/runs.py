"""
A run's life: created, claimed, renewed, stopped, ended.

The database row is the job. A worker claims it by compare-and-set, which raises the attempt
number; whoever writes with an older number writes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, update
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, select

from app.domain.errors import ConflictError, NotFoundError
from app.domain.messages import message
from app.domain.models import (
    Answer,
    Attempt,
    Checkpoint,
    Event,
    Model,
    ReasonKind,
    Run,
    RunProbe,
    RunState,
    utc_now,
)
from app.domain.queue import enqueue
from app.domain.recipes import Recipe
from app.domain.registry import model_to_train

LIVE_STATES = (RunState.QUEUED, RunState.RUNNING)


@dataclass(frozen=True)
class RunPage:
    """One page of runs, and how many there are in all and in each state."""

    runs: Sequence[Run]
    total: int
    by_state: dict[RunState, int]


def create_run(session: Session, recipe: Recipe, *, cloned_from_id: int | None = None) -> Run:
    """
    Store a run and ask the workers to look at it.

    Raises:
        InvalidError: the recipe names a model that is not registered, or not ready.
    """
    model = model_to_train(session, recipe.model)
    run = Run(
        name=recipe.name,
        model_id=id_of(model),
        recipe=recipe.model_dump(mode="json"),
        cloned_from_id=cloned_from_id,
        iterations=recipe.training.iterations or 0,
    )
    session.add(run)
    session.flush()  # the probes and the message need the run's id
    run_id = id_of(run)
    for position, probe in enumerate(recipe.probes):
        session.add(
            RunProbe(
                run_id=run_id,
                position=position,
                group=probe.group,
                question=probe.question,
                reference=probe.reference,
            )
        )
    record_state(session, run)
    enqueue("runs.train", run_id=run_id)
    return run


def id_of(row: Run | Checkpoint | Model | RunProbe) -> int:
    """Return the id of a row that is in the database."""
    if row.id is None:
        raise RuntimeError(f"{type(row).__name__} has no id before it is flushed")
    return row.id


def get_run(session: Session, run_id: int) -> Run:
    """Return a run; NotFoundError when there is none."""
    run = session.get(Run, run_id)
    if run is None:
        raise NotFoundError(message("There is no run {id}.", id=run_id))
    return run


def recipe_of(run: Run) -> Recipe:
    """Return a run's recipe as typed data."""
    return Recipe.model_validate(run.recipe)


def list_runs(
    session: Session,
    *,
    query: str = "",
    state: RunState | None = None,
    sort: str = "-created",
    offset: int = 0,
    limit: int = 25,
) -> RunPage:
    """Return one page of runs whose name, model or answers hold the words of `query`."""
    matches = _matching(query)
    counts = select(Run.state, func.count()).join(Model).where(*matches).group_by(col(Run.state))
    by_state = {RunState(name): count for name, count in session.exec(counts)}
    if state is not None:
        matches.append(col(Run.state) == state)
    statement = select(Run).join(Model).where(*matches).order_by(*_order(sort)).offset(offset).limit(limit)
    total = by_state.get(state, 0) if state else sum(by_state.values())
    return RunPage(session.exec(statement).all(), total, by_state)


def count_runs(session: Session, state: RunState) -> int:
    """Count the runs in one state."""
    return session.exec(select(func.count()).where(Run.state == state)).one()


def _matching(query: str) -> list[ColumnElement[bool]]:
    matches: list[ColumnElement[bool]] = []
    for word in query.replace("\x00", " ").split():  # Postgres knows no NUL
        answered = (
            select(Checkpoint.run_id).join(Answer).where(col(Answer.text).icontains(word, autoescape=True)).distinct()
        )
        matches.append(
            or_(
                col(Run.name).icontains(word, autoescape=True),
                col(Model.name).icontains(word, autoescape=True),
                col(Run.id).in_(answered),
            )
        )
    return matches


_SORTS: dict[str, Mapped[Any] | ColumnElement[Any]] = {
    "created": col(Run.created_at),
    "name": func.lower(Run.name),
    "loss": col(Run.loss),
    "state": col(Run.state),
}


def _order(sort: str) -> list[ColumnElement[Any]]:
    key = _SORTS.get(sort.removeprefix("-"), _SORTS["created"])
    direction = key.desc() if sort.startswith("-") else key.asc()
    return [direction.nulls_last(), col(Run.id).desc()]  # the two databases disagree about where nothing sorts


# ── Work on a run ──────────────────────────────────────────────────────────


def claim_run(session: Session, run_id: int, *, worker: str, lease: timedelta) -> Attempt | None:
    """Take a queued run for one worker; None when somebody else has it or it is no longer queued."""
    now = utc_now()
    claimed = session.exec(
        update(Run)
        .where(col(Run.id) == run_id, col(Run.state) == RunState.QUEUED)
        .values(
            state=RunState.RUNNING,
            attempt=Run.attempt + 1,
            worker=worker,
            lease_until=now + lease,
            started_at=func.coalesce(Run.started_at, now),
            phase="loading",
        )
    )
    if claimed.rowcount != 1:
        return None
    run = get_run(session, run_id)
    session.refresh(run)
    attempt = Attempt(run_id=run_id, number=run.attempt, worker=worker)
    session.add(attempt)
    record_state(session, run)
    return attempt


def renew_lease(session: Session, run_id: int, *, attempt: int, lease: timedelta) -> bool:
    """Keep a claim; False when the run is no longer this attempt's."""
    renewed = session.exec(
        update(Run)
        .where(col(Run.id) == run_id, col(Run.state) == RunState.RUNNING, col(Run.attempt) == attempt)
        .values(lease_until=utc_now() + lease)
    )
    return renewed.rowcount == 1


def request_stop(session: Session, run_id: int) -> Run:
    """
    Stop a run: at once when it waits, by its worker when it trains.

    Asking twice is the same as asking once.

    Raises:
        ConflictError: the run has already ended.
    """
    run = get_run(session, run_id)
    if run.state.is_final:
        raise ConflictError(message("Run {id} has already ended: it is {state}.", id=run_id, state=run.state))
    now = utc_now()
    withdrawn = session.exec(
        update(Run)
        .where(col(Run.id) == run_id, col(Run.state) == RunState.QUEUED)
        .values(state=RunState.CANCELLED, stop_requested_at=now, ended_at=now, phase="")
    )
    if withdrawn.rowcount == 0:
        session.exec(
            update(Run).where(col(Run.id) == run_id, col(Run.stop_requested_at).is_(None)).values(stop_requested_at=now)
        )
    session.refresh(run)
    record_state(session, run)
    return run


def end_run(  # noqa: PLR0913 - what is known of an end
    session: Session,
    run_id: int,
    *,
    attempt: int,
    state: RunState,
    reason: ReasonKind | None = None,
    detail: str = "",
    log_tail: str = "",
) -> bool:
    """Write a run's end; False, and nothing written, when the run is no longer this attempt's."""
    ended = session.exec(
        update(Run)
        .where(col(Run.id) == run_id, col(Run.state) == RunState.RUNNING, col(Run.attempt) == attempt)
        .values(
            state=state,
            reason=reason,
            reason_detail=storable(detail),
            log_tail=storable(log_tail),
            ended_at=utc_now(),
            lease_until=None,
            phase="",
        )
    )
    if ended.rowcount != 1:
        return False
    run = get_run(session, run_id)
    session.refresh(run)
    record_state(session, run)
    return True


def storable(text: str) -> str:
    """Return a program's text without zero characters, which Postgres cannot store."""
    return text.replace("\x00", "")


def queued_run_ids(session: Session) -> Sequence[int]:
    """Return the ids of the runs that wait, in the order they will start."""
    return session.exec(select(col(Run.id)).where(Run.state == RunState.QUEUED).order_by(col(Run.id))).all()  # type: ignore[return-value]


def lost_runs(session: Session) -> Sequence[Run]:
    """Return the runs whose worker has stopped renewing its claim."""
    statement = select(Run).where(Run.state == RunState.RUNNING, col(Run.lease_until) < utc_now())
    return session.exec(statement).all()


def record_state(session: Session, run: Run) -> None:
    """Put the run's present state into its ledger, for whoever watches."""
    session.add(
        Event(run_id=id_of(run), attempt=run.attempt, kind="state", iteration=run.iteration, data={"state": run.state})
    )
