"""
Put right what a crash left: work whose worker is gone, and work whose message was lost.

Every worker does this every few seconds. Each step is a compare-and-set on one row, so that
two reconcilers at once do no more than one.
"""

import logging
import math
import socket
import threading
import time

from app.domain import db, presence
from app.domain.checkpoints import TASK_OF, fail_artifact, lost_artifacts, queued_artifacts
from app.domain.models import ReasonKind, RunState
from app.domain.preparations import unclaimed_preparations
from app.domain.queue import enqueue
from app.domain.runs import end_run, id_of, lost_runs, queued_run_ids
from worker.gpus import devices

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
RESEND_SECONDS = 15.0  # a message that was lost costs a run this long; one that was not costs a no-op


def reconcile() -> None:
    """Fail the runs and artifacts whose worker is gone."""
    with db.unit_of_work() as session:
        for run in lost_runs(session):
            log.warning("run %s lost its worker %s", run.id, run.worker)
            end_run(session, id_of(run), attempt=run.attempt, state=RunState.FAILED, reason=ReasonKind.WORKER_LOST)
        for artifact in lost_artifacts(session):
            fail_artifact(session, artifact.id or 0, reason=ReasonKind.WORKER_LOST, detail="")


def resend() -> None:
    """Send the messages of all that waits once more; a row that is taken meanwhile ignores its message."""
    with db.unit_of_work() as session:
        for run_id in queued_run_ids(session)[: len(devices())]:
            enqueue("runs.train", run_id=run_id)
        for artifact in queued_artifacts(session):
            enqueue(TASK_OF[artifact.kind], artifact_id=artifact.id or 0)
        for model in unclaimed_preparations(session):
            enqueue("models.prepare", model_id=id_of(model))


class Reconciler(threading.Thread):
    """The thread of a worker that says it is alive and puts right what others left."""

    def __init__(self) -> None:
        """Prepare the thread; it is a daemon, since Celery ends without asking threads."""
        super().__init__(name="reconciler", daemon=True)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until stopped; an error is logged and the next round tries again."""
        resent_at = -math.inf  # what waited while no worker was there is sent at once
        while True:
            _announce()
            try:
                reconcile()
                if time.monotonic() - resent_at > RESEND_SECONDS:
                    resend()
                    resent_at = time.monotonic()
            except Exception:
                log.exception("reconciling failed; it is tried again")
            if self._stopping.wait(HEARTBEAT_SECONDS):
                return

    def stop(self) -> None:
        """End the thread after its present round, and take the worker off the pages."""
        self._stopping.set()
        presence.withdraw_worker(socket.gethostname())


def _announce() -> None:
    names = sorted({device.name for device in devices()})
    presence.announce_worker(
        presence.WorkerPresence(
            name=socket.gethostname(), device=", ".join(names), slots=len(devices()), seen=time.time()
        )
    )
