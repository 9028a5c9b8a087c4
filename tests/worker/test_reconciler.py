"""What a crash leaves is found in the database and put right."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlmodel import Session

from app.domain import claims, queue
from app.domain.attempts import renew_claim
from app.domain.models import Artifact, ArtifactKind, ArtifactState, Asking, ModelState, ReasonKind, Run, RunState
from app.domain.runs import id_of, request_stop
from tests.conftest import ROOT, forget_settings
from tests.factories import attempt_of, make_checkpoint, make_model, make_recipe, make_run
from worker import leases, processes
from worker.reconciler import Reconciliation, resend


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[queue.QueueMessage]:
    """Collect what would go to the broker, which is the edge of this process."""
    messages: list[queue.QueueMessage] = []
    monkeypatch.setattr(queue, "send", messages.extend)
    return messages


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        """Return the time, as `time.monotonic` does."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Clock:
    """Let the test say how much time passes for whoever watches claims."""
    clock = Clock()
    monkeypatch.setattr(leases, "time", clock)
    return clock


def running(session: Session, supervisor: str = "elsewhere/1/1") -> Run:
    """Make a run that a worker of this name holds."""
    run = make_run(session, state=RunState.RUNNING)
    attempt = attempt_of(session, run)
    attempt.supervisor = supervisor
    session.add(attempt)
    session.commit()
    return run


def state_of(session: Session, run: Run) -> RunState:
    """Return a run's state as it is now."""
    session.refresh(run)
    return run.state


def test_a_run_that_is_not_renewed_for_a_lease_is_tried_again(session: Session, clock: Clock) -> None:
    """As the watcher's own clock has it, and not before."""
    run, watcher = running(session), Reconciliation()

    watcher.reconcile()
    clock.now += 14
    watcher.reconcile()
    assert state_of(session, run) is RunState.RUNNING

    clock.now += 2
    watcher.reconcile()
    assert state_of(session, run) is RunState.QUEUED
    assert attempt_of(session, run).reason is ReasonKind.WORKER_LOST


def test_a_run_that_is_renewed_stays(session: Session, clock: Clock) -> None:
    """However long it trains, and whatever time the renewals say."""
    run, watcher = running(session), Reconciliation()

    for _ in range(5):
        watcher.reconcile()
        clock.now += 10
        renew_claim(session, id_of(run), attempt=1)
        session.commit()

    assert state_of(session, run) is RunState.RUNNING


def test_a_watcher_that_just_began_calls_nothing_lost(session: Session, clock: Clock) -> None:
    """It has not seen the claim before; its worker may renew it in the next moment."""
    run = running(session)

    Reconciliation().reconcile()
    clock.now += 100
    Reconciliation().reconcile()

    assert state_of(session, run) is RunState.RUNNING


def test_a_run_whose_supervisor_died_on_this_host_is_tried_again_at_once(session: Session) -> None:
    """Nobody has to wait for a claim to run out when its process is not there."""
    dead = running(session, f"{processes.host()}/{2**22 + 1}/123")
    alive = running(session, processes.own_name())

    Reconciliation().reconcile()

    assert state_of(session, dead) is RunState.QUEUED
    assert state_of(session, alive) is RunState.RUNNING


def test_a_process_id_that_is_used_again_is_another_process() -> None:
    """The start tells them apart; a dead one that nobody has waited for is dead."""
    with subprocess.Popen(["sleep", "30"]) as child:
        name = processes.own_name().replace(f"/{os.getpid()}/", f"/{child.pid}/")
        started = processes._started(child.pid)
        named = f"{processes.host()}/{child.pid}/{started}"
        assert processes.is_gone(name) is True
        assert processes.is_gone(named) is False
        child.kill()
        while processes._started(child.pid):
            pass
        assert processes.is_gone(named) is True
    assert processes.is_gone("another host/1/1") is None


def test_a_lost_run_that_was_to_stop_is_cancelled(session: Session) -> None:
    """Nobody wants it tried again."""
    run = running(session, f"{processes.host()}/{2**22 + 1}/123")
    request_stop(session, id_of(run))
    session.commit()

    Reconciliation().reconcile()

    assert state_of(session, run) is RunState.CANCELLED


def test_two_reconcilers_do_what_one_does(session: Session) -> None:
    """Each step is a compare-and-set."""
    run = running(session, f"{processes.host()}/{2**22 + 1}/123")

    Reconciliation().reconcile()
    Reconciliation().reconcile()

    assert state_of(session, run) is RunState.QUEUED
    assert run.restarts == 1


def test_an_asking_whose_worker_is_gone_is_gone_on_with_by_another(
    session: Session, clock: Clock, sent: list[queue.QueueMessage]
) -> None:
    """A claim that is not renewed for a lease is lost; what waits is sent again, unless its run goes on."""
    ended, resumed = (make_run(session, state=state) for state in (RunState.FINISHED, RunState.RUNNING))
    lost, waiting = Asking(run_id=id_of(ended), state=ArtifactState.RUNNING, attempt=1), Asking(run_id=id_of(resumed))
    session.add_all([lost, waiting])
    session.commit()
    watcher = Reconciliation()

    watcher.reconcile()
    clock.now += 16
    watcher.reconcile()

    session.refresh(lost)
    assert lost.state is ArtifactState.QUEUED
    assert queue.QueueMessage("probes.ask", {"asking_id": lost.id or 0}) in sent
    sent.clear()
    resend()
    assert [message.ids for message in sent if message.task == "probes.ask"] == [{"asking_id": lost.id}]


def test_an_asking_that_is_lost_for_good_holds_no_files_back(session: Session, clock: Clock) -> None:
    """Retention has its way then, as it has when one ends by itself."""
    run = make_run(session, state=RunState.FINISHED, recipe=make_recipe(checkpoints={"keep": 1}), iterations=10)
    old, new = (make_checkpoint(session, run, iteration=at, texts=["a", "b", "c"]) for at in (5, 10))
    asking = Asking(run_id=id_of(run), state=ArtifactState.RUNNING, attempt=claims.MOST_ATTEMPTS)
    session.add(asking)
    session.commit()
    watcher = Reconciliation()

    watcher.reconcile()
    clock.now += 16
    watcher.reconcile()

    for row in (asking, old, new):
        session.refresh(row)
    assert (asking.state, asking.reason) == (ArtifactState.FAILED, ReasonKind.WORKER_LOST)
    assert (bool(old.deleted_at), bool(new.deleted_at)) == (True, False)


def test_an_artifact_whose_worker_is_gone_is_made_by_another(
    session: Session, clock: Clock, sent: list[queue.QueueMessage]
) -> None:
    """Twice; then it has failed, and can be asked for again."""
    checkpoint = make_checkpoint(session)
    again, too_often = (
        Artifact(checkpoint_id=id_of(checkpoint), kind=kind, state=ArtifactState.RUNNING, attempt=attempt)
        for kind, attempt in ((ArtifactKind.MERGED, 1), (ArtifactKind.ADAPTER, 3))
    )
    session.add_all([again, too_often])
    session.commit()
    watcher = Reconciliation()

    watcher.reconcile()
    clock.now += 20
    watcher.reconcile()

    session.refresh(again)
    session.refresh(too_often)
    assert again.state is ArtifactState.QUEUED
    assert (too_often.state, too_often.reason) == (ArtifactState.FAILED, ReasonKind.WORKER_LOST)
    assert queue.QueueMessage("checkpoints.merge", {"artifact_id": again.id or 0}) in sent


def test_a_model_whose_worker_is_gone_is_prepared_by_another(
    session: Session, clock: Clock, sent: list[queue.QueueMessage]
) -> None:
    """Its claim is given up, and its message sent again."""
    from app.domain.columns import utc_now

    model = make_model(session, name="later", state=ModelState.PREPARING, renewed_at=utc_now())
    watcher = Reconciliation()
    watcher.reconcile()
    clock.now += 20
    watcher.reconcile()
    resend()

    session.refresh(model)
    assert model.renewed_at is None
    assert sent == [queue.QueueMessage("models.prepare", {"model_id": id_of(model)})]


def test_a_waiting_run_is_sent_again(session: Session, sent: list[queue.QueueMessage]) -> None:
    """The one that is to start first is sent again; one that has ended is not."""
    make_run(session, state=RunState.FINISHED)
    waiting = make_run(session)

    resend()

    assert sent == [queue.QueueMessage("runs.train", {"run_id": id_of(waiting)})]


def test_reconciling_without_redis_works(session: Session) -> None:
    """The database alone is enough to put a lost run right."""
    forget_settings()
    lost = running(session, f"{processes.host()}/{2**22 + 1}/123")

    Reconciliation().reconcile()

    assert state_of(session, lost) is RunState.QUEUED


FORK = """
import os, sys, threading, time
from sqlalchemy import text
from app.domain import db
from worker import reconciler

def write():
    with db.unit_of_work() as session:
        session.exec(text("UPDATE model SET reason = ''"))

in_the_middle = threading.Event()

def resend():
    with db.unit_of_work() as session:
        session.exec(text("SELECT 1"))
        in_the_middle.set()
        time.sleep(0.3)

reconciler.resend = resend
reconciler.Reconciler().start()
in_the_middle.wait()
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
db.engine.cache_clear()
write()
os._exit(0)
"""


def test_a_process_forked_in_the_middle_of_a_round_can_write(home: Path, database_url: str) -> None:
    """SQLite's locks are kept in memory too: a copy of a locked one would stay locked for ever."""
    done = subprocess.run([sys.executable, "-c", FORK], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
