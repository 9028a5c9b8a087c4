"""
The runs that wait: in which order they start, and which of them may start now.

The lowest rank goes first. A run that is put back keeps its rank, so that it goes on before those
that came later; one that waits for another run, or for its next try, is passed over until then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, func, or_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from app.domain.columns import utc_now
from app.domain.errors import ConflictError
from app.domain.messages import message
from app.domain.models import Run, RunState

LONGEST_DELAY = timedelta(minutes=1)  # before a next try; one that is further off is a clock that jumped

_IN_ORDER = (col(Run.rank), col(Run.id))


def next_rank(session: Session) -> int:
    """Return the rank behind everything that waits."""
    return (session.exec(select(func.max(Run.rank))).one() or 0) + 1


@dataclass(frozen=True)
class Place:
    """Where a run stands in the queue."""

    number: int
    """Counted from 1."""
    waiting: int
    """Runs in the queue."""
    behind: Run | None
    """What must end before it starts, or is likely to: the run it was told to wait for, the one before it in the
    queue, or one that trains."""


def waiting_run_ids(session: Session) -> Sequence[int]:
    """Return the ids of the runs that wait, in the order in which they will start."""
    return session.exec(select(col(Run.id)).where(Run.state == RunState.QUEUED).order_by(*_IN_ORDER)).all()  # type: ignore[return-value]


def place_of(session: Session, run: Run) -> Place | None:
    """Return where a run stands in the queue; None unless it waits."""
    if run.state is not RunState.QUEUED:
        return None
    waiting = waiting_run_ids(session)
    ahead = waiting[: waiting.index(run.id or 0)]
    return Place(len(ahead) + 1, len(waiting), _behind(session, run, ahead))


def _behind(session: Session, run: Run, ahead: Sequence[int]) -> Run | None:
    wanted = session.get(Run, run.after_run_id) if run.after_run_id is not None else None
    if wanted is not None and not wanted.state.is_final:
        return wanted
    if ahead:
        return session.get(Run, ahead[-1])
    return session.exec(select(Run).where(Run.state == RunState.RUNNING).order_by(col(Run.id))).first()


def startable_run_ids(session: Session) -> Sequence[int]:
    """Return the ids of the runs that may start now, the first one first."""
    other = aliased(Run)
    unfinished = select(other.id).where(other.id == Run.after_run_id, col(other.state).in_(_UNFINISHED)).exists()
    statement = select(col(Run.id)).where(Run.state == RunState.QUEUED, _is_due(), ~unfinished).order_by(*_IN_ORDER)
    return session.exec(statement).all()  # type: ignore[return-value]


_UNFINISHED = [state for state in RunState if not state.is_final]


def _is_due() -> ColumnElement[bool]:
    now, at = utc_now(), col(Run.not_before)
    return or_(at.is_(None), at <= now, at > now + LONGEST_DELAY)


def move_in_queue(session: Session, run_id: int, *, place: int) -> None:
    """
    Give a waiting run another place in the order.

    Args:
        place: Counted from 1; one beyond the end is the end.

    Raises:
        ConflictError: the run does not wait.
    """
    statement = select(Run).where(Run.state == RunState.QUEUED).order_by(*_IN_ORDER)
    waiting = list(session.exec(statement))
    moved = next((run for run in waiting if run.id == run_id), None)
    if moved is None:
        raise ConflictError(message("Run {id} does not wait: it has no place in the queue.", id=run_id))
    waiting.remove(moved)
    waiting.insert(place - 1, moved)
    ranks = sorted(run.rank for run in waiting)
    distinct = ranks if len(set(ranks)) == len(ranks) else range(1, len(ranks) + 1)
    for run, rank in zip(waiting, distinct, strict=True):
        run.rank = rank
        session.add(run)
