"""
Runs: created, found, stopped and resumed by the people who want them.

The database row is the job. What workers do to it is in `attempts.py`, the order in which runs
start in `waiting.py`.
"""

from collections.abc import Sequence

from sqlalchemy import func, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from app.config import settings
from app.domain import audit, claims
from app.domain.datasets.uses import note_uses
from app.domain.errors import ConflictError, NotFoundError, TooManyError
from app.domain.messages import message
from app.domain.models import Asking, Checkpoint, Dataset, Event, Model, Run, RunProbe, RunState, StopCause
from app.domain.queue import enqueue
from app.domain.recipe_checks import check_saved
from app.domain.recipes import Recipe
from app.domain.registry import model_to_train
from app.domain.stop_requests import ask_to_stop, withdraw
from app.domain.waiting import hold_sweep_of, next_rank
from app.domain.webhooks import outbox

LIVE_STATES = (RunState.QUEUED, RunState.RUNNING)
RESUMABLE_STATES = (RunState.FAILED, RunState.CANCELLED)


def create_run(  # noqa: PLR0913 - what a run is told beside its recipe
    session: Session,
    recipe: Recipe,
    *,
    cloned_from_id: int | None = None,
    after_run_id: int | None = None,
    sweep_id: int | None = None,
    rank: int | None = None,
    request_key: str | None = None,
) -> Run:
    """
    Store a run and ask the workers to look at it.

    Args:
        after_run_id: the run that must have ended before this one starts.
        rank: its place in the order; behind what waits when it is left out.
        request_key: the caller's own name of this request; a second one with it gets the first one's run.

    Raises:
        InvalidError: the recipe names a model that is not registered, or not ready, or a set that is not saved.
        NotFoundError: there is no run to wait for.
        TooManyError: as many wait as may.
    """
    if request_key is not None and (made := _made_by(session, request_key)):
        return made
    if after_run_id is not None:
        get_run(session, after_run_id)
    check_saved(session, recipe.mix.files)
    run = Run(
        name=recipe.name,
        model_id=id_of(model_to_train(session, recipe.model)),
        recipe=recipe.model_dump(mode="json"),
        cloned_from_id=cloned_from_id,
        iterations=recipe.training.iterations or 0,
        rank=next_rank(session) if rank is None else rank,
        after_run_id=after_run_id,
        sweep_id=sweep_id,
        request_key=request_key,
    )
    return _store(session, run, recipe) if request_key is None else _store_once(session, run, recipe)


def _check_room(session: Session) -> None:
    most = settings().queued_runs
    if count_runs(session, RunState.QUEUED) >= most:
        raise TooManyError(message("{most} runs wait already, and no more fit. Stop some, or wait.", most=most))


def _store_once(session: Session, run: Run, recipe: Recipe) -> Run:
    """Store the run of a request; where the same request came twice at once, the first one's is the run of both."""
    try:
        with session.begin_nested():
            return _store(session, run, recipe)
    except IntegrityError:
        if made := _made_by(session, run.request_key or ""):
            return made
        raise


def _made_by(session: Session, request_key: str) -> Run | None:
    return session.exec(select(Run).where(Run.request_key == request_key)).first()


def _store(session: Session, run: Run, recipe: Recipe) -> Run:
    _check_room(session)
    session.add(run)
    session.flush()  # the probes and the message need the run's id
    audit.note("run", run.id, name=run.name)
    _store_probes(session, id_of(run), recipe)
    note_uses(session, id_of(run), {file.sha256 for file in recipe.mix.files})
    record_state(session, run)
    enqueue("runs.train", run_id=id_of(run))
    return run


def _store_probes(session: Session, run_id: int, recipe: Recipe) -> None:
    for position, probe in enumerate(recipe.probes):
        session.add(RunProbe(run_id=run_id, position=position, **probe.model_dump()))


def id_of(row: Run | Checkpoint | Dataset | Model | RunProbe | Asking) -> int:
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


def get_runs(session: Session, run_ids: Sequence[int]) -> list[Run]:
    """Return some runs in the order asked for; NotFoundError when one does not exist."""
    found = {run.id: run for run in session.exec(select(Run).where(col(Run.id).in_(run_ids)))}
    return [found.get(run_id) or get_run(session, run_id) for run_id in run_ids]


def locked_run(session: Session, run_id: int) -> Run:
    """
    Return a run whose row nobody else writes to until this unit of work ends.

    Whoever adds to a run's ledger holds it, so that its events are visible in the order of their ids.
    """
    run = get_run(session, run_id)
    session.refresh(run, with_for_update=True)
    return run


def recipe_of(run: Run) -> Recipe:
    """Return a run's recipe as typed data."""
    return Recipe.model_validate(run.recipe)


def live_runs(session: Session) -> Sequence[tuple[int | None, str]]:
    """Return the id and the name of each run that waits or trains, the oldest first."""
    return session.exec(select(Run.id, Run.name).where(col(Run.state).in_(LIVE_STATES)).order_by(col(Run.id))).all()


def count_runs(session: Session, state: RunState | None = None) -> int:
    """Count the runs, or those in one state."""
    counted = select(func.count(col(Run.id)))
    return session.exec(counted if state is None else counted.where(Run.state == state)).one()


# ── Stopped and resumed ────────────────────────────────────────────────────


def request_stop(session: Session, run_id: int, *, keep: bool = False) -> Run:
    """
    Stop a run: at once when it waits, by its worker when it trains.

    Asking twice is the same as asking once, except that a stop at once overtakes one that keeps.

    Args:
        keep: Save a checkpoint and answer it first.

    Raises:
        ConflictError: the run has already ended.
    """
    run = get_run(session, run_id)
    hold_sweep_of(session, run_id)
    audit.note("run", run_id, name=run.name, keep=keep or None)
    is_news = withdraw(session, run_id) or ask_to_stop(session, run_id, cause=StopCause.PERSON, keep=keep)
    session.refresh(run)
    if run.state.is_final and not is_news:
        raise ConflictError(message("Run {id} has already ended: it is {state}.", id=run_id, state=run.state))
    if is_news:
        record_state(session, run)
    return run


def resume_run(session: Session, run_id: int) -> Run:
    """
    Let a run that failed or was stopped go on from its newest whole checkpoint; its asking waits for the end.

    Raises:
        ConflictError: it has not ended, or has finished.
    """
    run = get_run(session, run_id)
    audit.note("run", run_id, name=run.name)
    if run.imported_from:
        raise ConflictError(
            message("Run {id} was imported: only xtuner can go on with it. Clone it to train it here.", id=run_id)
        )
    resumed = session.exec(
        update(Run)
        .where(col(Run.id) == run_id, col(Run.state).in_(RESUMABLE_STATES))
        .values(
            state=RunState.QUEUED,
            reason=None,
            reason_detail="",
            log_tail="",
            ended_at=None,
            stop_requested_at=None,
            stop_keeps=False,
            stopped_by=None,
            restarts=0,
            not_before=None,
            rank=next_rank(session),
        )
    )
    session.refresh(run)
    if resumed.rowcount == 0:
        raise ConflictError(
            message("Run {id} is {state}: only one that failed or was stopped resumes.", id=run_id, state=run.state)
        )
    claims.withdraw_askings(session, run_id)
    record_state(session, run)
    enqueue("runs.train", run_id=run_id)
    return run


def record_state(session: Session, run: Run) -> None:
    """Put the run's present state into its ledger, for whoever watches, and into the outbox if it has ended."""
    session.add(
        Event(run_id=id_of(run), attempt=run.attempt, kind="state", iteration=run.iteration, data={"state": run.state})
    )
    outbox.tell_state(session, run)
