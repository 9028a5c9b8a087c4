"""
The runs that wait: in which order they start, and which of them may start now.

The lowest rank goes first. A run that is put back keeps its rank, so that it goes on before those
that came later; one that waits for another run, or for its next try, or whose sweep trains as many
runs as it may, is passed over until then. Who comes after a sweep waits for as many of its runs as may
train at once, and not for all of them.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, func, not_, or_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from app.domain.columns import utc_now
from app.domain.errors import ConflictError
from app.domain.messages import message
from app.domain.models import Run, RunState, Sweep

LONGEST_DELAY = timedelta(minutes=1)  # before a next try; one that is further off is a clock that jumped

_IN_ORDER = (col(Run.rank), col(Run.id))


def next_rank(session: Session) -> int:
    """
    Return the rank behind everything that waits, but for what a sweep has beyond its first runs.

    These have the rank of the newcomer or a higher one, and of equal ranks the older run goes first: so runs of a
    sweep and what came after it take turns.
    """
    waits_in_sweep = and_(col(Run.state) == RunState.QUEUED, col(Run.sweep_id).is_not(None))
    others = (session.exec(select(func.max(Run.rank)).where(not_(waits_in_sweep))).one() or 0) + 1
    in_sweeps = select(Run.sweep_id, Run.rank, Sweep.at_once).join(Sweep).where(Run.state == RunState.QUEUED)
    ranks: dict[int, list[int]] = defaultdict(list)
    for sweep_id, rank, at_once in session.exec(in_sweeps.order_by(*_IN_ORDER)):
        if len(ranks[sweep_id or 0]) < at_once:
            ranks[sweep_id or 0].append(rank)
    return max([others, *(of_sweep[-1] for of_sweep in ranks.values())])


def hold_sweep_of(session: Session, run_id: int) -> None:
    """
    Let nobody else claim or end a run of the same sweep until this unit of work ends; before its runs are written to.

    Postgres shows a count no write that is not committed yet: without this, two workers at once would both find the
    last place free, and neither of two last runs would find the other one ended. SQLite has one writer anyway.
    """
    of_run = select(Run.sweep_id).where(Run.id == run_id).scalar_subquery()
    session.exec(select(Sweep.id).where(Sweep.id == of_run).with_for_update(key_share=True)).first()


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
    if run.sweep_id is not None and not session.exec(select(Run.id).where(Run.id == run.id, sweep_has_room())).first():
        of_sweep = select(Run).where(Run.sweep_id == run.sweep_id, Run.state == RunState.RUNNING)
        return session.exec(of_sweep.order_by(col(Run.id))).first()
    if ahead:
        return session.get(Run, ahead[-1])
    return session.exec(select(Run).where(Run.state == RunState.RUNNING).order_by(col(Run.id))).first()


def startable_run_ids(session: Session) -> Sequence[int]:
    """Return the ids of the runs that may start now, the first one first."""
    other = aliased(Run)
    unfinished = select(other.id).where(other.id == Run.after_run_id, col(other.state).in_(_UNFINISHED)).exists()
    may_start = (Run.state == RunState.QUEUED, _is_due(), ~unfinished, sweep_has_room())
    return session.exec(select(col(Run.id)).where(*may_start).order_by(*_IN_ORDER)).all()  # type: ignore[return-value]


def sweep_has_room() -> ColumnElement[bool]:
    """Whether a run is in no sweep, or in one that trains fewer runs at this moment than it may at once."""
    other, sweep = aliased(Run), aliased(Sweep)
    training = select(func.count()).where(other.sweep_id == Run.sweep_id, other.state == RunState.RUNNING)
    at_once = select(sweep.at_once).where(sweep.id == Run.sweep_id)
    return or_(col(Run.sweep_id).is_(None), training.scalar_subquery() < at_once.scalar_subquery())


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
