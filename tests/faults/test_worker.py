"""F2 to F4, F9, F12, F24, F26, F27: what may happen to workers, and to all of Temper at once."""

import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import Session, col, select

from app.domain import db, queue
from app.domain.models import Attempt, Checkpoint, Event, ReasonKind, Run, RunState
from app.domain.runs import id_of
from tests.conftest import ROOT, wait_until
from tests.factories import make_run
from tests.faults.measuring import Fault
from tests.faults.processes import LEAVE_SECONDS, kill_if_there
from tests.faults.site import (
    ITERATIONS,
    Site,
    attempts,
    check_so_far,
    check_whole,
    now,
    wait_for_iteration,
    wait_for_state,
)
from worker.processes import host

GONE_SECONDS = 15.0  # a stopped run has no process after these


def test_f02_a_killed_worker(site: Site, session: Session, fault: Fault, moment: random.Random) -> None:
    """Its trainer dies with it, and another worker goes on with the run."""
    run_id = site.start_run("brisk")
    wait_for_iteration(session, run_id, moment.randrange(1, ITERATIONS))
    other = site.start_worker() if not moment.randrange(2) else None

    fault.strike(session, run_id)
    site.workers[0].kill()
    if other is None:
        site.start_worker()
    fault.wait(session)

    check_whole(session, site, run_id)
    fault.count(session, site, run_id)


LONG_ITERATIONS = 90  # not over before a second worker has started, however busy the machine is


@pytest.mark.long
def test_f02_a_worker_of_another_host(site: Site, session: Session, fault: Fault) -> None:
    """Whose processes cannot be seen: its claim runs out by the clock of those that watch."""
    site.kill_workers()
    elsewhere = site.start_worker(apart=True)
    run_id = site.start_run("slow", training={"iterations": LONG_ITERATIONS})
    wait_for_iteration(session, run_id, 7)
    site.start_worker()
    assert not attempts(session, run_id)[0].supervisor.startswith(host())

    fault.strike(session, run_id)
    elsewhere.kill()
    fault.wait(session)

    check_whole(session, site, run_id, iterations=LONG_ITERATIONS)
    fault.count(session, site, run_id)
    assert attempts(session, run_id)[0].reason is ReasonKind.WORKER_LOST


def test_f03_a_killed_pool_process(site: Site, session: Session, fault: Fault, moment: random.Random) -> None:
    """The one that supervises the trainer: its worker lives, notices, and goes on."""
    run_id = site.start_run("brisk")
    wait_for_iteration(session, run_id, moment.randrange(1, ITERATIONS))
    supervisor = int(attempts(session, run_id)[0].supervisor.split("/")[-2])

    fault.strike(session, run_id)
    kill_if_there(supervisor)
    fault.wait(session)

    check_whole(session, site, run_id)
    fault.count(session, site, run_id)
    assert site.workers[0].is_alive


@pytest.mark.long
def test_f04_a_deploy(site: Site, session: Session, fault: Fault) -> None:
    """A worker that is asked to end saves, gives its run back and is gone; the next one goes on from there."""
    run_id = site.start_run("slow")
    wait_for_iteration(session, run_id, 7)

    fault.strike(session, run_id)
    assert site.workers[0].end() < LEAVE_SECONDS
    given_back = now(session, run_id)
    assert (given_back.state, given_back.restarts, given_back.reason) == (RunState.QUEUED, 0, None)
    newest = max(session.exec(select(Checkpoint.iteration).where(Checkpoint.state_file != "")))
    site.start_worker()
    fault.wait(session)

    check_whole(session, site, run_id)
    fault.count(session, site, run_id)
    assert (attempts(session, run_id)[1].resumed_from, fault.repeated) == (newest, 0)


def test_f09_a_doubled_message(site: Site, session: Session, fault: Fault) -> None:
    """A hundred messages about one run, and two workers that read them, train it once."""
    site.start_worker()
    run_id = site.start_run("brisk")

    fault.strike(session, run_id)
    queue.send([queue.QueueMessage("runs.train", {"run_id": run_id})] * 100)
    check_whole(session, site, run_id)
    fault.over()

    fault.count(session, site, run_id)
    assert now(session, run_id).attempt == 1


def test_f12_two_workers_and_one_device(site: Site, session: Session, fault: Fault) -> None:
    """One run waits until the device is free, also when its holder is killed."""
    site.start_worker()
    first, second = site.start_run("brisk first"), site.start_run("brisk second")
    wait_for_iteration(session, first, 7)
    assert now(session, second).state is RunState.QUEUED

    fault.strike(session, first)
    holder = next(worker for worker in site.workers if worker.popen.pid == worker_of(session, first))
    holder.kill()
    fault.wait(session)

    for run_id in (first, second):
        check_whole(session, site, run_id)
        fault.count(session, site, run_id)
    assert not overlap(session)


def worker_of(session: Session, run_id: int) -> int:
    """Return the id of the worker's process whose pool process holds a run."""
    import psutil

    supervisor = int(attempts(session, run_id)[-1].supervisor.split("/")[-2])
    return psutil.Process(supervisor).ppid()


def overlap(session: Session) -> list[Event]:
    """Return what was measured while a trainer of another attempt was at work, of the two newest runs."""
    events = select(Event).where(Event.kind == "metric").order_by(col(Event.id).desc()).limit(3 * ITERATIONS)
    rows = sorted(session.exec(events), key=lambda event: event.data["time"])
    holders = [(event.run_id, event.attempt) for event in rows]
    turns = [holder for at, holder in enumerate(holders) if at == 0 or holders[at - 1] != holder]
    return [] if len(turns) == len(set(turns)) else list(rows)


@pytest.mark.parametrize("keep", [False, True], ids=["at once", "keeping"])
def test_f24_ten_stops(site: Site, session: Session, fault: Fault, moment: random.Random, *, keep: bool) -> None:
    """Ten at once are one transition; the whole tree is gone in time; a stop after the end is refused."""
    run_id = site.start_run("brisk", training={"iterations": 1_000})  # it cannot come to its end by itself
    wait_for_iteration(session, run_id, moment.randrange(1, ITERATIONS))

    fault.strike(session, run_id)
    with ThreadPoolExecutor(10) as together:
        path = f"/runs/{run_id}/stop?keep={str(keep).lower()}"
        replies = list(together.map(lambda _: site.ask("POST", path).status_code, range(10)))
    wait_until(lambda: not site.trainers(), "a process is left", seconds=GONE_SECONDS)
    wait_for_state(session, run_id, RunState.CANCELLED)
    fault.over()

    assert set(replies) <= {200, 409}
    assert site.ask("POST", f"/runs/{run_id}/stop").status_code == 409
    assert states(session, run_id)[-1] == "cancelled"
    assert states(session, run_id).count("cancelled") == 1
    check_so_far(session, site, run_id)
    fault.count(session, site, run_id)


def test_f24_a_stop_while_it_waits(site: Site, session: Session, fault: Fault) -> None:
    """It is never started."""
    first, waiting = site.start_run("slow"), site.start_run("plain")
    wait_for_iteration(session, first, 1)

    fault.strike(session, waiting)
    site.ask("POST", f"/runs/{waiting}/stop")
    site.ask("POST", f"/runs/{first}/stop")
    wait_for_state(session, first, RunState.CANCELLED)
    fault.over()

    assert (now(session, waiting).state, now(session, waiting).attempt) == (RunState.CANCELLED, 0)


def states(session: Session, run_id: int) -> list[str]:
    """Return the states in a run's ledger, in order."""
    statement = select(Event).where(Event.run_id == run_id, Event.kind == "state").order_by(col(Event.id))
    return [event.data["state"] for event in session.exec(statement)]


def test_f26_the_power_fails(site: Site, session: Session, fault: Fault, moment: random.Random) -> None:
    """Everything is killed at once; started again, the run that trained goes on and the one that waited begins."""
    training, waiting = site.start_run("brisk"), site.start_run("brisk")
    wait_for_iteration(session, training, moment.randrange(1, ITERATIONS))

    fault.strike(session, training, waiting)
    assert site.redis is not None
    assert site.web is not None
    for process in (site.redis, *site.workers, site.web):
        os.kill(process.popen.pid, signal.SIGKILL)
    for process in (site.redis, *site.workers, site.web):
        process.popen.wait()
    wait_until(lambda: not site.trainers(), "a trainer outlived its worker", seconds=10)
    site.heal()
    fault.wait(session)

    for run_id in (training, waiting):
        check_whole(session, site, run_id)
        fault.count(session, site, run_id)


RECONCILE = "from worker.reconciler import Reconciliation; print('begins', flush=True); Reconciliation().reconcile()"


def test_f27_two_reconcilers_and_one_is_killed(site: Site, session: Session, fault: Fault) -> None:
    """Each lost run is put back once, whoever comes first and whoever dies over it."""
    site.kill_workers()
    with db.unit_of_work() as work:
        lost = [lost_run(work) for _ in range(20)]

    fault.strike(session)
    reconcilers = [reconciler(), reconciler()]
    wait_until(lambda: any(now(session, run_id).state is RunState.QUEUED for run_id in lost), "none is put back")
    reconcilers[0].kill()
    for process in reconcilers:
        process.wait()
    fault.over()

    assert {(now(session, run_id).state, now(session, run_id).restarts) for run_id in lost} == {(RunState.QUEUED, 1)}
    assert all(states(session, run_id).count("queued") == 2 for run_id in lost)


def lost_run(session: Session) -> int:
    """Store a run that a process of this host held, which is gone."""
    run: Run = make_run(session, state=RunState.RUNNING)
    attempt = session.exec(select(Attempt).where(Attempt.run_id == run.id)).one()
    attempt.supervisor = f"{host()}/{2**22 + 1}/123"
    session.add(attempt)
    return id_of(run)


def reconciler() -> "subprocess.Popen[str]":
    """Start a process that reconciles once, and wait until it begins."""
    process = subprocess.Popen([sys.executable, "-c", RECONCILE], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process
