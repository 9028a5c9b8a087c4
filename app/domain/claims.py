"""
A worker's hold on what is made beside training: artifacts and askings.

A claim is a compare-and-set that raises the attempt's number; whoever writes with an older number
writes nothing. Work whose worker leaves or is lost waits again, a few times, and then has failed.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import update
from sqlmodel import Session, col, select

from app.domain.columns import utc_now
from app.domain.models import Artifact, ArtifactState, Asking, ReasonKind
from app.domain.texts import storable

MOST_ATTEMPTS = 3  # a worker that dies of some work would die of it again

Work = TypeVar("Work", Artifact, Asking)


def claim(session: Session, table: type[Work], work_id: int, **values: Any) -> Work | None:  # noqa: ANN401 - columns
    """Take what is queued for one worker; None when somebody else has it."""
    claimed = session.exec(
        update(table)
        .where(col(table.id) == work_id, col(table.state) == ArtifactState.QUEUED)
        .values(state=ArtifactState.RUNNING, attempt=table.attempt + 1, renewed_at=utc_now(), **values)
    )
    return session.get_one(table, work_id, populate_existing=True) if claimed.rowcount == 1 else None


def write(session: Session, table: type[Work], work_id: int, *, attempt: int, **values: Any) -> bool:  # noqa: ANN401
    """Write to what is claimed; False, and nothing written, when this attempt no longer holds it."""
    written = session.exec(
        update(table)
        .where(col(table.id) == work_id, col(table.state) == ArtifactState.RUNNING, col(table.attempt) == attempt)
        .values(**values)
    )
    return written.rowcount == 1


def renew(session: Session, table: type[Work], work_id: int, *, attempt: int) -> bool:
    """Keep a claim; False when it is no longer this attempt's."""
    return write(session, table, work_id, attempt=attempt, renewed_at=utc_now())


def finish(session: Session, table: type[Work], work_id: int, *, attempt: int, **values: Any) -> bool:  # noqa: ANN401
    """Write down that work is done, unless another attempt has it."""
    ended = {"state": ArtifactState.FINISHED, "ended_at": utc_now(), "renewed_at": None}
    return write(session, table, work_id, attempt=attempt, **ended, **values)


def fail(session: Session, table: type[Work], work_id: int, *, attempt: int, reason: ReasonKind, detail: str) -> bool:
    """Write down why work failed, unless another attempt has it."""
    return write(
        session,
        table,
        work_id,
        attempt=attempt,
        state=ArtifactState.FAILED,
        reason=reason,
        reason_detail=storable(detail),
        ended_at=utc_now(),
        renewed_at=None,
    )


def put_back(session: Session, table: type[Work], work_id: int, *, attempt: int) -> bool:
    """Let another worker do what this one leaves; True when it waits again, False when it has failed too often."""
    if attempt >= MOST_ATTEMPTS:
        fail(session, table, work_id, attempt=attempt, reason=ReasonKind.WORKER_LOST, detail="")
        return False
    return write(session, table, work_id, attempt=attempt, state=ArtifactState.QUEUED, renewed_at=None)


def withdraw_askings(session: Session, run_id: int) -> None:
    """Let what is asked of a run wait again; its worker finds the claim lost when it next renews it."""
    held = (col(Asking.run_id) == run_id, col(Asking.state) == ArtifactState.RUNNING)
    session.exec(update(Asking).where(*held).values(state=ArtifactState.QUEUED, renewed_at=None))


def queued(session: Session, table: type[Work]) -> Sequence[Work]:
    """Return what waits, the oldest first."""
    return session.exec(select(table).where(table.state == ArtifactState.QUEUED).order_by(col(table.id))).all()


def claimed(session: Session, table: type[Work]) -> Sequence[Work]:
    """Return what some worker holds."""
    return session.exec(select(table).where(table.state == ArtifactState.RUNNING)).all()
