"""
Sweeps: several runs whose recipes differ in named settings, created together, listed, and stopped.

Its runs are runs like any other. What a sweep adds is how many of them may train at once, which
`waiting.py` and the claim in `attempts.py` hold, and whether parrots are stopped early.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, func, select

from app.domain import audit
from app.domain.audit import before_and_after
from app.domain.errors import ConflictError, FieldError, InvalidError, NotFoundError
from app.domain.messages import message
from app.domain.models import Run, RunState, StopCause, Sweep
from app.domain.queue import enqueue
from app.domain.recipes import Recipe
from app.domain.registry import model_to_train
from app.domain.runs import LIVE_STATES, create_run, get_run, id_of, request_stop
from app.domain.sweep_plans import MOST_RUNS, SweepAxis, SweepPlan, checked_plan, planned_runs
from app.domain.waiting import next_rank


@dataclass(frozen=True)
class SweepProgress:
    """How many runs of a sweep are in each state."""

    by_state: dict[RunState, int]
    parrots: int
    """Runs that were stopped because they had become parrots."""

    @property
    def total(self) -> int:
        """All of its runs."""
        return sum(self.by_state.values())

    @property
    def ended(self) -> int:
        """Runs that have ended, in whatever way."""
        return sum(count for state, count in self.by_state.items() if state.is_final)

    @property
    def is_live(self) -> bool:
        """Whether a run of it waits or trains."""
        return self.ended < self.total


@dataclass(frozen=True)
class SweepList:
    """One page of sweeps with their progress, and how many there are in all."""

    sweeps: Sequence[tuple[Sweep, SweepProgress]]
    total: int


def create_sweep(
    session: Session, plan: SweepPlan, *, cloned_from_id: int | None = None, request_key: str | None = None
) -> Sweep:
    """
    Store a sweep with all of its runs, or nothing of it, and ask the workers to look.

    Args:
        cloned_from_id: the run whose recipe the sweep's was made from.
        request_key: the caller's own name of this request; a second one with it gets the first one's sweep.

    Raises:
        InvalidError: a value, or what follows from it, cannot be trained; at its axis and value.
        NotFoundError: there is no run that it could be made from.
    """
    if request_key is not None and (made := _made_by(session, request_key)):
        return made
    plan, problems = checked_plan(plan)
    if problems:
        raise InvalidError(problems)
    if cloned_from_id is not None:
        get_run(session, cloned_from_id)
    if request_key is None:
        return _store(session, plan, cloned_from_id=cloned_from_id, request_key=None)
    return _store_once(session, plan, cloned_from_id=cloned_from_id, request_key=request_key)


def _store_once(session: Session, plan: SweepPlan, *, cloned_from_id: int | None, request_key: str) -> Sweep:
    """Store the sweep of a request; where the same request came twice at once, the first one's is that of both."""
    try:
        with session.begin_nested():
            return _store(session, plan, cloned_from_id=cloned_from_id, request_key=request_key)
    except IntegrityError:
        if made := _made_by(session, request_key):
            return made
        raise


def _made_by(session: Session, request_key: str) -> Sweep | None:
    return session.exec(select(Sweep).where(Sweep.request_key == request_key)).first()


def _store(session: Session, plan: SweepPlan, *, cloned_from_id: int | None, request_key: str | None) -> Sweep:
    sweep = Sweep(
        name=plan.name,
        recipe=plan.recipe.model_dump(mode="json"),
        axes=[axis.model_dump(mode="json") for axis in plan.axes],
        at_once=plan.at_once,
        stops_parrots=plan.stops_parrots,
        request_key=request_key,
    )
    session.add(sweep)
    session.flush()  # the runs need the sweep's id
    audit.note("sweep", sweep.id, name=sweep.name)
    first = next_rank(session)
    try:
        model_to_train(session, plan.recipe.model)
        for number, planned in enumerate(planned_runs(plan)):
            create_run(session, planned.recipe, cloned_from_id=cloned_from_id, sweep_id=sweep.id, rank=first + number)
    except InvalidError as error:
        raise InvalidError([FieldError(f"recipe.{each.field}", each.message) for each in error.fields]) from None
    return sweep


# ── Found and listed ───────────────────────────────────────────────────────


def get_sweep(session: Session, sweep_id: int) -> Sweep:
    """Return a sweep; NotFoundError when there is none."""
    sweep = session.get(Sweep, sweep_id)
    if sweep is None:
        raise NotFoundError(message("There is no sweep {id}.", id=sweep_id))
    return sweep


def locked_sweep(session: Session, sweep_id: int) -> Sweep:
    """Return a sweep whose row nobody else writes to until this unit of work ends."""
    sweep = get_sweep(session, sweep_id)
    session.refresh(sweep, with_for_update=True)
    return sweep


def sweep_id_of(sweep: Sweep) -> int:
    """Return the id of a sweep that is in the database."""
    if sweep.id is None:
        raise RuntimeError("a sweep has no id before it is flushed")
    return sweep.id


def plan_of(sweep: Sweep) -> SweepPlan:
    """Return what a sweep was started with, as typed data."""
    return SweepPlan(
        name=sweep.name,
        recipe=Recipe.model_validate(sweep.recipe),
        axes=tuple(SweepAxis.model_validate(axis) for axis in sweep.axes),
        at_once=sweep.at_once,
        stops_parrots=sweep.stops_parrots,
    )


def runs_of_sweep(session: Session, sweep_id: int) -> Sequence[Run]:
    """Return the runs of a sweep in the order in which they were planned."""
    return session.exec(select(Run).where(Run.sweep_id == sweep_id).order_by(col(Run.id))).all()


def list_sweeps(session: Session, *, before_id: int | None = None, offset: int = 0, limit: int = 25) -> SweepList:
    """
    Return one page of sweeps, the newest first.

    Args:
        before_id: the page begins behind this sweep.
    """
    wanted = select(Sweep) if before_id is None else select(Sweep).where(col(Sweep.id) < before_id)
    found = session.exec(wanted.order_by(col(Sweep.id).desc()).offset(offset).limit(limit)).all()
    progress = progress_of(session, [sweep_id_of(sweep) for sweep in found])
    total = session.exec(select(func.count(col(Sweep.id)))).one()
    return SweepList([(sweep, progress[sweep_id_of(sweep)]) for sweep in found], total)


def progress_of(session: Session, sweep_ids: Sequence[int]) -> dict[int, SweepProgress]:
    """Count the runs of some sweeps by their state, in one statement."""
    counted = (
        select(Run.sweep_id, Run.state, Run.stopped_by, func.count())
        .where(col(Run.sweep_id).in_(sweep_ids))
        .group_by(col(Run.sweep_id), col(Run.state), col(Run.stopped_by))
    )
    states: dict[int, dict[RunState, int]] = {sweep_id: defaultdict(int) for sweep_id in sweep_ids}
    parrots: dict[int, int] = defaultdict(int)
    for sweep_id, state, cause, count in session.exec(counted):
        states[sweep_id or 0][RunState(state)] += count
        parrots[sweep_id or 0] += count if cause is StopCause.PARROT else 0
    return {sweep_id: SweepProgress(dict(states[sweep_id]), parrots[sweep_id]) for sweep_id in sweep_ids}


# ── Changed and stopped ────────────────────────────────────────────────────


def change_at_once(session: Session, sweep_id: int, *, at_once: int) -> Sweep:
    """
    Let more or fewer runs of a sweep train at the same time; what trains already goes on.

    Raises:
        InvalidError: the number is none that a sweep may have.
    """
    sweep = get_sweep(session, sweep_id)
    if not 1 <= at_once <= MOST_RUNS:
        raise InvalidError([FieldError("at_once", message("Give 1 to {most} runs.", most=MOST_RUNS))])
    audit.note("sweep", sweep_id, name=sweep.name, at_once=before_and_after(sweep.at_once, at_once))
    sweep.at_once = at_once
    session.add(sweep)
    waiting = select(Run.id).where(Run.sweep_id == sweep_id, Run.state == RunState.QUEUED)
    for run_id in session.exec(waiting.order_by(col(Run.rank), col(Run.id)).limit(at_once)):
        enqueue("runs.train", run_id=run_id or 0)
    return sweep


def stop_sweep(session: Session, sweep_id: int) -> Sweep:
    """
    Stop every run of a sweep that waits or trains: at once when it waits, by its worker when it trains.

    Raises:
        ConflictError: all of them have ended.
    """
    sweep = get_sweep(session, sweep_id)
    audit.note("sweep", sweep_id, name=sweep.name)
    live = select(Run).where(Run.sweep_id == sweep_id, col(Run.state).in_(LIVE_STATES))
    runs = sorted(session.exec(live), key=lambda run: run.state is RunState.RUNNING)  # none starts in another's place
    if not runs:
        raise ConflictError(message("Sweep {id} has already ended.", id=sweep_id))
    for run in runs:
        _stop(session, id_of(run))
    return sweep


def _stop(session: Session, run_id: int) -> None:
    try:
        request_stop(session, run_id)
    except ConflictError:  # it ended in between
        return
