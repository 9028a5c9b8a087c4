"""F1, F5, F13, F20 to F23, F25, F28: what may happen to a trainer, and what becomes of its run."""

import random
import signal
import time

import psutil
import pytest
from sqlmodel import Session, select

from app.domain.models import Checkpoint, Event, ReasonKind, RunState
from app.domain.retention import LEAST_KEPT
from tests.conftest import wait_until
from tests.faults.measuring import Fault
from tests.faults.processes import kill_if_there
from tests.faults.site import (
    ITERATIONS,
    Site,
    attempts,
    check_so_far,
    check_whole,
    now,
    trainer_of,
    wait_for_iteration,
    wait_for_state,
)

LOST_MOST = 5  # iterations that a killed trainer costs: the interval between two checkpoints


def test_f01_a_killed_trainer(site: Site, session: Session, fault: Fault, moment: random.Random) -> None:
    """Whenever it is killed, the run goes on from its last checkpoint by itself."""
    run_id = site.start_run("brisk")
    wait_for_iteration(session, run_id, moment.randrange(1, ITERATIONS))
    time.sleep(moment.uniform(0, 0.05))

    fault.strike(session, run_id)
    was_there = kill_if_there(trainer_of(session, run_id))
    fault.wait(session)

    check_whole(session, site, run_id)
    fault.count(session, site, run_id)
    assert fault.repeated <= LOST_MOST
    first = attempts(session, run_id)[0]
    assert first.exit_code in {-9, 0}
    assert not was_there or first.exit_code == 0 or first.reason is ReasonKind.KILLED


def test_f05_killed_while_it_saves(site: Site, session: Session, fault: Fault, moment: random.Random) -> None:
    """Half a checkpoint is never gone on from, and the one before it is whole."""
    run_id = site.start_run("brisk slow-saving")
    wait_for_iteration(session, run_id, moment.choice([5, 10, 15]))
    folder = site.home / "runs" / str(run_id)
    wait_until(lambda: [*folder.glob(".*.part"), *folder.glob("states/.*.part")], "nothing is being saved")
    time.sleep(moment.uniform(0, 0.8))

    fault.strike(session, run_id)
    kill_if_there(trainer_of(session, run_id), moment.choice([signal.SIGKILL, signal.SIGTERM]))
    fault.wait(session)

    check_whole(session, site, run_id)
    fault.count(session, site, run_id)
    assert fault.repeated <= LOST_MOST
    resumed = session.exec(select(Event).where(Event.run_id == run_id, Event.kind == "resumed")).one()
    assert resumed.data["damaged"] == []
    assert not list(folder.rglob(".*.part"))


def test_f13_no_gpu_memory(site: Site, session: Session, fault: Fault) -> None:
    """The run fails with that word, is not tried again, and its worker goes on."""
    fault.strike(session)
    run_id = site.start_run("gpu-memory")
    run = wait_for_state(session, run_id, RunState.FAILED)
    fault.over()

    assert (run.reason, run.attempt) == (ReasonKind.OUT_OF_GPU_MEMORY, 1)
    check_so_far(session, site, run_id)
    check_whole(session, site, site.start_run("plain"))


@pytest.mark.long
def test_f20_a_hanging_trainer(site: Site, session: Session, fault: Fault) -> None:
    """One that was stopped in its tracks is called stalled, then ended, and its run goes on."""
    run_id = site.start_run("brisk")
    wait_for_iteration(session, run_id, 7)

    fault.strike(session, run_id)
    kill_if_there(trainer_of(session, run_id), signal.SIGSTOP)
    wait_until(lambda: now(session, run_id).phase == "stalled", "it is not called stalled", seconds=20)
    fault.wait(session)

    check_whole(session, site, run_id)
    fault.count(session, site, run_id)
    assert attempts(session, run_id)[0].reason is ReasonKind.STALLED


@pytest.mark.parametrize("words", ["early", "crash"])
def test_f21_a_crash(site: Site, session: Session, fault: Fault, words: str) -> None:
    """Before its first line or after it: the run has failed within seconds, with the log's last lines."""
    fault.strike(session)
    run_id = site.start_run(words)
    run = wait_for_state(session, run_id, RunState.FAILED)
    fault.over()

    assert (run.reason, run.attempt) == (ReasonKind.CRASHED, 1)
    assert "RuntimeError" in run.log_tail
    check_so_far(session, site, run_id)


def test_f22_an_end_without_a_result(site: Site, session: Session, fault: Fault) -> None:
    """An exit with 0 that made nothing is a failure."""
    fault.strike(session)
    run_id = site.start_run("silent")
    run = wait_for_state(session, run_id, RunState.FAILED)
    fault.over()

    assert (run.reason, attempts(session, run_id)[0].exit_code) == (ReasonKind.NO_OUTPUT, 0)
    check_so_far(session, site, run_id)


@pytest.mark.parametrize("harm", ["truncated", "empty", "garbage", "all"])
def test_f23_a_damaged_checkpoint(site: Site, session: Session, fault: Fault, harm: str) -> None:
    """It is passed over for the one before it, and the page can say so; without any, the run begins anew."""
    run_id = site.start_run("brisk")
    wait_for_iteration(session, run_id, 17)
    site.ask("POST", f"/runs/{run_id}/stop")
    wait_for_state(session, run_id, RunState.CANCELLED)
    saved = resumable(session, run_id)

    for iteration in saved if harm == "all" else saved[-1:]:
        damage(site, run_id, iteration, harm)
    fault.strike(session, run_id)
    site.ask("POST", f"/runs/{run_id}/resume")
    fault.wait(session)

    check_whole(session, site, run_id)
    fault.count(session, site, run_id)
    assert attempts(session, run_id)[1].resumed_from == (0 if harm == "all" else saved[-2])
    resumed = session.exec(select(Event).where(Event.run_id == run_id, Event.kind == "resumed")).one()
    assert [each["iteration"] for each in resumed.data["damaged"]] == (saved[::-1] if harm == "all" else saved[-1:])


def resumable(session: Session, run_id: int) -> list[int]:
    """Return the iterations that a run may go on from."""
    rows = session.exec(select(Checkpoint.iteration).where(Checkpoint.run_id == run_id, Checkpoint.state_file != ""))
    found = sorted(rows)
    assert len(found) == LEAST_KEPT
    return found


def damage(site: Site, run_id: int, iteration: int, harm: str) -> None:
    """Do to a checkpoint what disks and crashes do."""
    file = site.home / "runs" / str(run_id) / f"iter_{iteration}.pth"
    content = file.read_bytes()
    file.write_bytes({"truncated": content[: len(content) // 2], "empty": b""}.get(harm, b"garbage" * 50))


def test_f25_what_a_trainer_started(site: Site, session: Session, fault: Fault) -> None:
    """A child in a session of its own does not outlive a stop."""
    run_id = site.start_run("escapes hang")
    wait_for_iteration(session, run_id, 3)
    wait_until(lambda: len(site.trainers()) == 2, "it has started nothing")

    fault.strike(session)
    site.ask("POST", f"/runs/{run_id}/stop")
    wait_until(lambda: not site.trainers(), "a process is left", seconds=15)
    fault.over()

    wait_for_state(session, run_id, RunState.CANCELLED)
    check_so_far(session, site, run_id)


def test_f28_a_flood(site: Site, session: Session, fault: Fault) -> None:
    """100 MB of log, a line of 10 MB, bytes that are no text and a loss that is no number cost the run nothing."""
    fault.strike(session)
    run_id = site.start_run("flood endless garbage nan")
    check_whole(session, site, run_id)
    fault.over()

    fault.count(session, site, run_id)
    metrics = site.ask("GET", f"/runs/{run_id}/metrics").json()["metrics"]
    assert [metric["loss"] for metric in metrics[:3]] == [None] * 3
    worker = psutil.Process(site.workers[0].popen.pid)
    assert all(each.memory_info().rss < 400 << 20 for each in (worker, *worker.children(recursive=True)))
