"""
A worker's hold on a run: claimed, renewed, given back, ended.

A claim is a compare-and-set that raises the run's attempt number; whoever writes with an older
number writes nothing. A claim that is no longer renewed is lost: the run is tried again from its
last checkpoint, a few times, and then fails with the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from app.domain.columns import utc_now
from app.domain.models import Attempt, Event, ReasonKind, Run, RunState, StopCause
from app.domain.queue import enqueue
from app.domain.runs import get_run, locked_run, record_state
from app.domain.texts import storable
from app.domain.waiting import LONGEST_DELAY, hold_sweep_of, startable_run_ids, sweep_has_room

MOST_RESTARTS = 3  # in a row without a new checkpoint: what fails so often fails again
FIRST_DELAY = timedelta(seconds=2)  # before the first restart; doubled with each

# What came from outside the run may not come again; everything else would fail in the same way.
WORTH_A_RESTART = frozenset({ReasonKind.KILLED, ReasonKind.STALLED, ReasonKind.WORKER_LOST})


@dataclass(frozen=True)
class Ending:
    """How an attempt ended, and what is known of it."""

    state: RunState
    """`queued` where the run is given back to be gone on with."""
    reason: ReasonKind | None = None
    detail: str = ""
    log_tail: str = ""
    exit_code: int | None = None


def claim_next(session: Session, *, worker: str, supervisor: str = "", device: str = "") -> Attempt | None:
    """Take the first run that may start for one worker; None when there is none."""
    for run_id in startable_run_ids(session):
        attempt = claim_run(session, run_id, worker=worker, supervisor=supervisor, device=device)
        if attempt is not None:
            return attempt
    return None


def claim_run(session: Session, run_id: int, *, worker: str, supervisor: str = "", device: str = "") -> Attempt | None:
    """Take a queued run for one worker; None when somebody else has it, it no longer waits, or its sweep is full."""
    now = utc_now()
    hold_sweep_of(session, run_id)
    claimed = session.exec(
        update(Run)
        .where(col(Run.id) == run_id, col(Run.state) == RunState.QUEUED, sweep_has_room())
        .values(
            state=RunState.RUNNING,
            attempt=Run.attempt + 1,
            worker=worker,
            renewed_at=now,
            not_before=None,
            started_at=func.coalesce(Run.started_at, now),
            phase="loading",
        )
    )
    if claimed.rowcount != 1:
        return None
    run = get_run(session, run_id)
    session.refresh(run)
    attempt = Attempt(run_id=run_id, number=run.attempt, worker=worker, supervisor=supervisor, device=device)
    session.add(attempt)
    record_state(session, run)
    session.flush()  # the attempt's id
    return attempt


def renew_claim(session: Session, run_id: int, *, attempt: int) -> bool:
    """Keep a claim; False when the run is no longer this attempt's."""
    return _write(session, run_id, attempt, renewed_at=utc_now())


def claimed_runs(session: Session) -> Sequence[tuple[Run, Attempt]]:
    """Return every run that a worker holds, with the attempt that it is in."""
    statement = (
        select(Run, Attempt)
        .join(Attempt, (col(Attempt.run_id) == Run.id) & (col(Attempt.number) == Run.attempt))
        .where(Run.state == RunState.RUNNING)
    )
    return session.exec(statement).all()


def earlier_attempts(session: Session, run_id: int, *, before: int) -> Sequence[Attempt]:
    """Return a run's attempts before one, the first one first."""
    statement = select(Attempt).where(Attempt.run_id == run_id, col(Attempt.number) < before)
    return session.exec(statement.order_by(col(Attempt.number))).all()


def outcomes(session: Session, run_id: int) -> Mapping[int, RunState]:
    """Return what the end of each attempt made of the run, by the attempt's number; the live one is not there."""
    told = select(Event).where(Event.run_id == run_id, Event.kind == "state").order_by(col(Event.id))
    found: dict[int, RunState] = {}
    for event in session.exec(told):
        state = RunState(event.data["state"])
        if event.attempt and state is not RunState.RUNNING:
            found.setdefault(event.attempt, state)  # the first: a later one is of a run that waits again
    return found


def end_attempt(
    session: Session, run_id: int, *, attempt: int, ending: Ending, unless_renewed_since: datetime | None = None
) -> bool:
    """
    Write how an attempt ended, and what becomes of its run.

    A run that was lost from outside is queued once more, unless that has happened too often in a
    row or it was asked to stop. One that stops at the sweet spot has finished, however its trainer went.

    Args:
        unless_renewed_since: the renewal after which the claim seemed lost; a newer one proves that it is not.

    Returns:
        False, and nothing written, when the run is no longer this attempt's.
    """
    hold_sweep_of(session, run_id)
    run = locked_run(session, run_id)
    if run.state is not RunState.RUNNING or run.attempt != attempt:
        return False
    if unless_renewed_since is not None and run.renewed_at != unless_renewed_since:
        return False
    _close(session, run, ending)
    if run.stop_requested_at is not None and ending.state is not RunState.FINISHED:
        is_done = run.stopped_by is StopCause.SWEET_SPOT
        _end(session, run, Ending(RunState.FINISHED if is_done else RunState.CANCELLED), stopped_by=run.stopped_by)
    elif ending.state is RunState.QUEUED:
        _put_back(session, run, delay=timedelta(0), restarts=run.restarts)
    elif ending.reason in WORTH_A_RESTART and run.restarts < MOST_RESTARTS:
        delay = min(FIRST_DELAY * 2**run.restarts, LONGEST_DELAY)
        _put_back(session, run, delay=delay, restarts=run.restarts + 1)
    else:
        _end(session, run, ending)
    session.refresh(run)
    record_state(session, run)
    return True


def _close(session: Session, run: Run, ending: Ending) -> None:
    """Write down what became of the attempt itself."""
    closed = select(Attempt).where(Attempt.run_id == run.id, Attempt.number == run.attempt)
    for attempt in session.exec(closed):
        attempt.ended_at, attempt.exit_code = utc_now(), ending.exit_code
        attempt.reason, attempt.reason_detail = ending.reason, storable(ending.detail)
        session.add(attempt)


def _put_back(session: Session, run: Run, *, delay: timedelta, restarts: int) -> None:
    not_before = utc_now() + delay if delay else None
    _write(
        session,
        run.id or 0,
        run.attempt,
        state=RunState.QUEUED,
        renewed_at=None,
        phase="",
        not_before=not_before,
        restarts=restarts,
    )
    enqueue("runs.train", run_id=run.id or 0)


def _end(session: Session, run: Run, ending: Ending, *, stopped_by: StopCause | None = None) -> None:
    _write(
        session,
        run.id or 0,
        run.attempt,
        state=ending.state,
        stopped_by=stopped_by,
        reason=ending.reason,
        reason_detail=storable(ending.detail),
        log_tail=storable(ending.log_tail),
        ended_at=utc_now(),
        renewed_at=None,
        phase="",
    )


def _write(session: Session, run_id: int, attempt: int, **values: Any) -> bool:  # noqa: ANN401 - column values
    """Write to a run if this attempt still holds it."""
    written = session.exec(
        update(Run)
        .where(col(Run.id) == run_id, col(Run.state) == RunState.RUNNING, col(Run.attempt) == attempt)
        .values(**values)
    )
    return written.rowcount == 1
