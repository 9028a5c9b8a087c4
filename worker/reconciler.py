"""
Put right what a crash left: work whose worker is gone, and work whose message was lost.

Every worker does this every few seconds. Each step is a compare-and-set on one row, so that two
reconcilers at once, or one that is killed in the middle, do no harm.
"""

import logging
import math
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime

from app.domain import claims, db, presence
from app.domain.askings import TASK, put_asking_back, waiting_askings
from app.domain.attempts import Ending, claimed_runs, end_attempt
from app.domain.checkpoints import TASK_OF, claimed_artifacts, put_artifact_back, queued_artifacts
from app.domain.models import ArtifactState, Asking, ReasonKind, RunState
from app.domain.preparations import release_preparation, unprepared_models
from app.domain.queue import enqueue
from app.domain.runs import id_of
from app.domain.waiting import startable_run_ids
from app.domain.webhooks import deliveries, outbox
from worker import processes
from worker.gpus import devices
from worker.leases import Watch
from worker.recording import settle_ended

log = logging.getLogger(__name__)

ROUND_SECONDS = 2.0  # a worker that died on this host is noticed so soon
HEARTBEAT_SECONDS = 5.0
FORGET_SECONDS = 3_600.0
RESEND_SECONDS = 6.0  # a message that was lost costs a run this long; one that was not costs a no-op

LOST = Ending(RunState.FAILED, ReasonKind.WORKER_LOST)


@dataclass(frozen=True)
class Claim:
    """A run that some worker holds, as it was read."""

    run_id: int
    attempt: int
    supervisor: str
    renewed_at: datetime | None


@dataclass
class Reconciliation:
    """One watcher of all claims; it must have watched a claim for a lease before it calls it lost."""

    watch: Watch = field(default_factory=Watch)

    def reconcile(self) -> None:
        """Put back the runs, artifacts, askings and models whose worker is gone."""
        with db.reading() as session:
            runs = [
                Claim(id_of(run), run.attempt, attempt.supervisor, run.renewed_at)
                for run, attempt in claimed_runs(session)
            ]
            artifacts = [(row.id or 0, row.attempt, row.renewed_at) for row in claimed_artifacts(session)]
            askings = [(id_of(row), row.attempt, row.renewed_at) for row in claims.claimed(session, Asking)]
            models = [(id_of(row), row.renewed_at) for row in unprepared_models(session) if row.renewed_at]
        lost = self.watch.lost(
            [
                *((("run", claim.run_id, claim.attempt), claim.renewed_at) for claim in runs),
                *((("artifact", artifact_id, attempt), renewed_at) for artifact_id, attempt, renewed_at in artifacts),
                *((("asking", asking_id, attempt), renewed_at) for asking_id, attempt, renewed_at in askings),
                *((("model", model_id), renewed_at) for model_id, renewed_at in models),
            ]
        )
        for claim in runs:
            if ("run", claim.run_id, claim.attempt) in lost or processes.is_gone(claim.supervisor):
                _put_back(claim)
        with db.unit_of_work() as session:
            for artifact_id, attempt, _ in artifacts:
                if ("artifact", artifact_id, attempt) in lost:
                    put_artifact_back(session, artifact_id, attempt=attempt)
            for model_id, _ in models:
                if ("model", model_id) in lost:
                    release_preparation(session, model_id)
        for asking_id, attempt, _ in askings:
            if ("asking", asking_id, attempt) in lost:
                _put_asking_back(asking_id, attempt)


def _put_back(claim: Claim) -> None:
    log.warning("run %s lost its worker in attempt %s", claim.run_id, claim.attempt)
    with db.unit_of_work() as session:
        end_attempt(session, claim.run_id, attempt=claim.attempt, ending=LOST, unless_renewed_since=claim.renewed_at)
    presence.wake_watchers(claim.run_id)


def _put_asking_back(asking_id: int, attempt: int) -> None:
    with db.unit_of_work() as session:  # one asking at a time: each locks its run
        put_asking_back(session, asking_id, attempt=attempt)
        asking = session.get_one(Asking, asking_id)
    if asking.state is ArtifactState.FAILED:
        settle_ended(asking.run_id)  # what only stayed to be asked


def resend() -> None:
    """Send the messages of all that waits once more; a row that is taken meanwhile ignores its message."""
    with db.unit_of_work() as session:
        for run_id in startable_run_ids(session)[: len(devices())]:
            enqueue("runs.train", run_id=run_id)
        for asking in waiting_askings(session)[: len(devices())]:
            enqueue(TASK, asking_id=id_of(asking))
        for artifact in queued_artifacts(session):
            enqueue(TASK_OF[artifact.kind], artifact_id=artifact.id or 0)
        for model in unprepared_models(session):
            if model.renewed_at is None:
                enqueue("models.prepare", model_id=id_of(model))
        if (delivery_id := deliveries.due_id(session)) is not None:
            enqueue(outbox.TASK, delivery_id=delivery_id)


_round = threading.Lock()
"""
Held during a round, and by whoever forks.

A pool process that was forked in the middle of one would inherit SQLite's note in memory that this
process holds the write lock, and find its database locked for as long as it lives.
"""
os.register_at_fork(before=_round.acquire, after_in_parent=_round.release, after_in_child=_round.release)


class Reconciler(threading.Thread):
    """The thread of a worker that says it is alive and puts right what others left."""

    def __init__(self) -> None:
        """Prepare the thread; it is a daemon, since Celery ends without asking threads."""
        super().__init__(name="reconciler", daemon=True)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until stopped; an error is logged and the next round tries again."""
        rounds = _Rounds()
        while not self._stopping.is_set():
            with _round:
                try:
                    rounds.take()
                except Exception:
                    log.exception("reconciling failed; it is tried again")
                finally:
                    db.engine().dispose()  # nor may a pool process inherit an open connection
            self._stopping.wait(ROUND_SECONDS)

    def stop(self) -> None:
        """End the thread after its present round, and take the worker off the pages."""
        self._stopping.set()
        presence.withdraw_worker(socket.gethostname())


@dataclass
class _Rounds:
    """What a worker does every few seconds, some of it less often."""

    reconciliation: Reconciliation = field(default_factory=Reconciliation)
    sent_at: float = -math.inf  # what waited is sent at once
    said_at: float = -math.inf
    forgot_at: float = -math.inf

    def take(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        if now - self.said_at >= HEARTBEAT_SECONDS:
            _announce()
            self.said_at = now
        self.reconciliation.reconcile()
        if now - self.sent_at >= RESEND_SECONDS:
            resend()
            self.sent_at = now
        if now - self.forgot_at >= FORGET_SECONDS:
            with db.unit_of_work() as session:
                deliveries.forget_old(session)
            self.forgot_at = now


def _announce() -> None:
    names = sorted({device.name for device in devices()})
    presence.announce_worker(
        presence.WorkerPresence(
            name=socket.gethostname(), device=", ".join(names), slots=len(devices()), seen=time.time()
        )
    )
