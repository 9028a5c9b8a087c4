"""
Asking a run to stop, whoever asks: each a compare-and-set on its row, so that the first cause stays.

Who trains it sees the request within moments and ends it; how it has ended then is in `attempts.py`.
"""

from sqlalchemy import update
from sqlmodel import Session, col

from app.domain.columns import utc_now
from app.domain.models import Run, RunState, StopCause


def withdraw(session: Session, run_id: int) -> bool:
    """End a run that waits, as its owner wants; False when it does not wait."""
    now = utc_now()
    withdrawn = session.exec(
        update(Run)
        .where(col(Run.id) == run_id, col(Run.state) == RunState.QUEUED)
        .values(
            state=RunState.CANCELLED,
            stop_requested_at=now,
            stopped_by=StopCause.PERSON,
            ended_at=now,
            phase="",
            not_before=None,
        )
    )
    return withdrawn.rowcount == 1


def ask_to_stop(session: Session, run_id: int, *, cause: StopCause, keep: bool = False) -> bool:
    """
    Ask the worker of a run that trains to end it.

    Args:
        keep: Save a checkpoint and answer it first.

    Returns:
        False when it does not train, or was asked before; a person's stop at once is still news to one that keeps.
    """
    running = (col(Run.id) == run_id, col(Run.state) == RunState.RUNNING)
    first = session.exec(
        update(Run)
        .where(*running, col(Run.stop_requested_at).is_(None))
        .values(stop_requested_at=utc_now(), stop_keeps=keep, stopped_by=cause)
    )
    if first.rowcount == 1 or keep or cause is not StopCause.PERSON:
        return first.rowcount == 1
    hurried = session.exec(update(Run).where(*running, col(Run.stop_keeps).is_(True)).values(stop_keeps=False))
    return hurried.rowcount == 1
