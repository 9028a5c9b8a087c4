"""F1, F2, F4, F5, F12, F15, F20 and F24 with the real engine: one run suffers most of them, one is left alone."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import Session, select

from app.domain import db
from app.domain.events import metrics_of
from app.domain.models import Model, ReasonKind, RunState
from tests.conftest import wait_until
from tests.faults.disks import fill, free, small_disk
from tests.faults.processes import kill_if_there
from tests.faults.site import (
    PLAIN,
    Site,
    attempts,
    check_so_far,
    check_whole,
    doubled,
    measured_after,
    now,
    trainer_of,
    wait_for_iteration,
    wait_for_state,
)
from tests.faults.test_worker import overlap, worker_of
from tests.worker.engine.conftest import PROBES, small_model, small_recipe

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.filterwarnings("ignore")]

__all__ = ["small_model"]  # pytest finds the fixture by its name here

ITERATIONS, EVERY = 16, 4


@pytest.fixture
def real(site: Site, small_model: Path) -> Iterator[Site]:
    """Let the site's only worker be a plain one with the real engine and the small model."""
    with db.unit_of_work() as session:
        model = session.exec(select(Model)).one()
        before, model.path = model.path, str(small_model)
    site.kill_workers()
    start(site)
    yield site
    site.clear()
    wait_until(lambda: not site.trainers(), "a process is left", seconds=30)
    site.kill_workers()
    with db.unit_of_work() as session:
        session.exec(select(Model)).one().path = before


def start(site: Site) -> None:
    """Start a worker with the real engine."""
    site.start_worker(
        PLAIN, TEMPER_ENGINE="worker.engine.launch", TEMPER_STALL_SECONDS="4", TEMPER_LOADING_SECONDS="120"
    )


def start_real_run(site: Site, name: str, *, rank: int = 4) -> int:
    """Start a run that trains for real; the rank of its adapter says how long a save takes."""
    recipe = small_recipe(
        training={"iterations": ITERATIONS, "lora": {"r": rank, "dropout": 0.1}},
        checkpoints={"every": EVERY, "keep": -1, "max_new_tokens": 4},
    )
    reply = site.ask("POST", "/runs", json=recipe.model_dump(mode="json") | {"name": name})
    assert reply.status_code == 201, reply.text
    return int(reply.json()["id"])


def test_one_run_survives_it_all(real: Site, session: Session) -> None:
    """Killed, hung, its worker killed and deployed anew: the losses are those of a run that was left alone."""
    plain, hit = start_real_run(real, "left alone"), start_real_run(real, "hit")
    wait_for_iteration(session, plain, 1)
    assert now(session, hit).state is RunState.QUEUED  # F12: one device
    check_whole(session, real, plain, iterations=ITERATIONS, every=EVERY)

    wait_for_iteration(session, hit, 5)
    kill_if_there(trainer_of(session, hit))  # F1
    wait_for_attempt(session, hit, 2, 6)
    kill_if_there(trainer_of(session, hit), signal.SIGSTOP)  # F20
    wait_for_attempt(session, hit, 3, 9)
    real.kill_workers()  # F2
    start(real)
    wait_for_attempt(session, hit, 4, 10)
    real.workers.pop().end()  # F4
    assert now(session, hit).state is RunState.QUEUED
    start(real)

    check_whole(session, real, hit, iterations=ITERATIONS, every=EVERY)
    reasons = [attempt.reason for attempt in attempts(session, hit)]
    assert reasons == [ReasonKind.KILLED, ReasonKind.STALLED, ReasonKind.WORKER_LOST, None, None]
    assert losses(session, hit) == pytest.approx(losses(session, plain), rel=0.01)
    print("equal to the bit:", losses(session, hit) == losses(session, plain))


def wait_for_attempt(session: Session, run_id: int, number: int, iteration: int) -> None:
    """Wait until an attempt has come so far."""
    wait_until(
        lambda: measured_after(session, run_id, number - 1) and now(session, run_id).iteration >= iteration,
        f"attempt {number} did not come to iteration {iteration}",
        seconds=300,  # loading takes most of it where other things run too
    )


def losses(session: Session, run_id: int) -> list[float]:
    """Return a run's losses."""
    return [metric.loss or 0.0 for metric in metrics_of(session, run_id)]


def test_a_save_is_cut_off_and_then_the_devices_holder_is_killed(real: Site, session: Session) -> None:
    """F5 and F12: it goes on from the checkpoint before, then under the other worker; one run trains at a time."""
    start(real)
    first = start_real_run(real, "first", rank=128)
    wait_for_attempt(session, first, 1, EVERY + 1)
    kill_in_a_save(real, session, first)
    wait_for_attempt(session, first, 2, EVERY + 1)
    assert attempts(session, first)[1].resumed_from == EVERY
    second = start_real_run(real, "second")
    next(worker for worker in real.workers if worker.popen.pid == worker_of(session, first)).kill()

    for run_id in (first, second):
        check_whole(session, real, run_id, iterations=ITERATIONS, every=EVERY)
    assert not overlap(session)
    assert [attempt.reason for attempt in attempts(session, first)] == [ReasonKind.KILLED, ReasonKind.WORKER_LOST, None]


def kill_in_a_save(site: Site, session: Session, run_id: int) -> None:
    """Wait until the trainer has a checkpoint half written, and kill it."""
    trainer, folder = trainer_of(session, run_id), site.home / "runs" / str(run_id)
    deadline = time.monotonic() + 300
    while not any(path.stat().st_size for path in folder.rglob(".iter_*.part") if path.exists()):
        assert time.monotonic() < deadline, "nothing was saved"
        time.sleep(0.002)
    kill_if_there(trainer)


def test_a_full_disk_and_ten_stops(real: Site, session: Session) -> None:
    """F15 and F24: the word for it and a whole checkpoint to go on from; then everything is gone on a stop."""
    with small_disk(real.home / "runs", size="200m") as disk:
        run_id = start_real_run(real, "no room")
        wait_for_iteration(session, run_id, 5)
        fill(disk)
        run = wait_for_state(session, run_id, RunState.FAILED, seconds=60)
        assert run.reason is ReasonKind.DISK_FULL

        free(disk)
        real.ask("POST", f"/runs/{run_id}/resume")
        wait_for_attempt(session, run_id, 2, 6)
        assert attempts(session, run_id)[1].resumed_from == EVERY
        for _ in range(10):
            real.ask("POST", f"/runs/{run_id}/stop")
        wait_until(lambda: not real.trainers(), "a process is left", seconds=15)
        wait_for_state(session, run_id, RunState.CANCELLED)
        check_so_far(session, real, run_id)
        assert doubled(session, run_id, real.home) == 0
    assert len(PROBES) == 3
