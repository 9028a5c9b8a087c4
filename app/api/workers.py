"""Who works now."""

from datetime import UTC, datetime

from fastapi import APIRouter

from app.api.types import Reply
from app.domain.models import RunState
from app.domain.runs import count_runs
from app.web.deps import ReadSession
from app.web.workers import live_workers

router = APIRouter(prefix="/workers", tags=["workers"])


class WorkerReply(Reply):
    """One worker, as it last described itself."""

    name: str
    device: str
    """`CPU`, or the GPUs' names."""
    slots: int
    """Runs that it can train at once."""
    seen_at: datetime
    """On the worker's own clock."""


class WorkerList(Reply):
    """The workers heard of lately."""

    workers: list[WorkerReply]
    running: int
    """Runs that are trained now."""
    queued: int
    """Runs that wait."""


@router.get("", summary="List workers")
def list_workers(session: ReadSession) -> WorkerList:
    """Return who works, on what, and how much there is to do; no worker where none was heard of for 15 seconds."""
    workers = [
        WorkerReply(
            name=each.name, device=each.device, slots=each.slots, seen_at=datetime.fromtimestamp(each.seen, UTC)
        )
        for each in live_workers()
    ]
    running, queued = (count_runs(session, state) for state in (RunState.RUNNING, RunState.QUEUED))
    return WorkerList(workers=workers, running=running, queued=queued)
