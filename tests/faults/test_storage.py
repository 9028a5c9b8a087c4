"""F15 to F17, F29: full disks, locked and restarted databases, and files that somebody reads."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import Session, create_engine, select

from app.config import settings
from app.domain import db
from app.domain.models import ArtifactKind, Checkpoint, ReasonKind, RunState
from tests import databases
from tests.conftest import forget_settings, wait_until
from tests.faults.conftest import in_earnest
from tests.faults.disks import fill, free, small_disk
from tests.faults.measuring import Fault
from tests.faults.processes import kill_if_there
from tests.faults.site import (
    QUICK,
    SILENCE,
    Site,
    check_so_far,
    check_whole,
    furnish,
    now,
    recipe,
    trainer_of,
    wait_for_iteration,
    wait_for_state,
)
from worker.engine.resume import Candidate, problem_of

BUSY_SECONDS = 5.0  # a writer waits so long for the one before it
LOCK = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE')"


@pytest.mark.long
def test_f15_a_full_disk(site: Site, session: Session, fault: Fault) -> None:
    """The run fails with that word, its last whole checkpoint is there, and it goes on from it once there is room."""
    with small_disk(site.home / "runs", size="16m") as disk:
        run_id = site.start_run("slow large")
        wait_for_iteration(session, run_id, 11)

        fault.strike(session)
        fill(disk)
        run = wait_for_state(session, run_id, RunState.FAILED, seconds=30)
        fault.over()
        assert (run.reason, run.attempt) == (ReasonKind.DISK_FULL, 1)
        rows = session.exec(select(Checkpoint).where(Checkpoint.run_id == run_id, Checkpoint.state_file != "")).all()
        newest = max(rows, key=lambda row: row.iteration)
        assert not problem_of(disk / str(run_id), Candidate(newest.iteration, newest.sha256))
        check_so_far(session, site, run_id)

        free(disk)
        site.ask("POST", f"/runs/{run_id}/resume")
        check_whole(session, site, run_id)
        fault.count(session, site, run_id)


def test_f15_a_checkpoint_that_cannot_be_written(site: Site, session: Session, fault: Fault) -> None:
    """The same where only the file's own device is full, which needs no right to mount."""
    run_id = site.start_run("slow")
    wait_for_iteration(session, run_id, 6)

    fault.strike(session)
    (site.home / "runs" / str(run_id) / "states" / ".iter_10.pth.part").symlink_to("/dev/full")
    run = wait_for_state(session, run_id, RunState.FAILED, seconds=30)
    fault.over()

    assert (run.reason, run.attempt, run.iteration) == (ReasonKind.DISK_FULL, 1, 10)
    check_so_far(session, site, run_id)


def test_f15_a_full_disk_under_the_database(site: Site, fault: Fault) -> None:
    """What would be written is refused with a reason, what is there is read, and all works once there is room."""
    with small_disk(site.home / "database", size="2m") as disk:
        shutil.copy(site.home / "temper.db", disk / "temper.db")
        small = Site(disk, site.settings, token=site.token)
        small.start_web()
        wait_until(lambda: answers(small), "no web server", seconds=30)

        fault.strike_nothing()
        fill(disk)
        refused = [small.ask("POST", "/runs", json=recipe("plain")).status_code for _ in range(3)]
        read = small.ask("GET", "/runs").status_code
        free(disk)
        taken = small.ask("POST", "/runs", json=recipe("plain")).status_code
        fault.over()
        small.close()

    assert (refused, read, taken) == ([503] * 3, 200, 201)


def answers(site: Site) -> bool:
    """Whether the web server answers."""
    import httpx2 as httpx

    try:
        return site.ask("GET", "/runs", seconds=2).is_success
    except httpx.HTTPError:
        return False


@pytest.mark.long
def test_f16_a_locked_database(site: Site, session: Session, fault: Fault) -> None:
    """Readers read; a writer is told after five seconds that the database does not answer; the run loses nothing."""
    run_id = site.start_run("slow")
    wait_for_iteration(session, run_id, 3)
    held = BUSY_SECONDS + 1 if site.is_hasty else 10.0
    locker = [sys.executable, "-c", f"{LOCK}; print('locked', flush=True); time.sleep({held})"]

    fault.strike(session)
    with subprocess.Popen([*locker, str(site.home / "temper.db")], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        began = time.monotonic()
        read = site.ask("GET", f"/runs/{run_id}").status_code
        read_in = time.monotonic() - began
        refused = site.ask("POST", "/runs", json=recipe("plain"))
        refused_in = time.monotonic() - began
        other.wait()
    taken = site.ask("POST", "/runs", json=recipe("plain"))
    fault.over()

    assert (read, refused.status_code, taken.status_code) == (200, 503, 201), refused.text
    assert read_in < 1
    assert refused_in < BUSY_SECONDS + 1
    check_whole(session, site, run_id)
    fault.count(session, site, run_id)
    assert now(session, run_id).attempt == 1
    check_whole(session, site, taken.json()["id"])


# ── Postgres ───────────────────────────────────────────────────────────────


@pytest.fixture
def postgres(
    request: pytest.FixtureRequest, home: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Site, "databases.Restartable"]]:
    """Start a Temper of its own on a Postgres that can be restarted."""
    with databases.restartable_postgres() as server:
        is_hasty = not in_earnest(request.config)
        told = {"TEMPER_DATABASE_URL": server.url} | SILENCE | (QUICK if is_hasty else {})
        site = Site(home, told, is_hasty=is_hasty)
        for name, value in site.environment.items():
            monkeypatch.setenv(name, value)
        forget_settings()
        databases.migrate(server.url)
        furnish(site)
        site.heal()
        yield site, server
        site.close()
        db.engine().dispose()


def test_f17_postgres_restarts(postgres: tuple[Site, "databases.Restartable"], fault: Fault) -> None:
    """The pool finds its way back, no storm of errors follows, and the run loses nothing."""
    site, server = postgres
    run_id = site.start_run("slow")
    engine = create_engine(settings().database, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
    with Session(engine) as session:
        wait_for_iteration(session, run_id, 3)
        fault.strike(session)
    engine.dispose()

    server.restart()
    wait_until(lambda: site.ask("GET", f"/runs/{run_id}").is_success, "the web does not recover", seconds=10)
    fault.over()
    after = [site.ask("GET", "/runs").status_code for _ in range(20)]

    with Session(engine) as session:
        check_whole(session, site, run_id)
        fault.count(session, site, run_id)
        assert now(session, run_id).attempt == 1
    engine.dispose()
    assert after == [200] * 20


# ── Files in use ───────────────────────────────────────────────────────────


@pytest.mark.long
def test_f29_retention_and_readers(site: Site, session: Session, fault: Fault) -> None:
    """A pinned checkpoint and one that is being merged outlive retention and a resume; the answers of all stay."""
    run_id = site.start_run("slow", checkpoints={"every": 5, "keep": 1})
    wait_for_iteration(session, run_id, 6)
    wait_until(lambda: len(checkpoints(session, run_id)) > 1, "nothing is saved")
    pinned = checkpoints(session, run_id)[1]
    with db.unit_of_work() as work:
        work.get_one(Checkpoint, pinned.id).is_pinned = True
    wait_for_iteration(session, run_id, 11)
    wait_until(lambda: len(checkpoints(session, run_id)) > 2, "nothing is saved")
    merged = checkpoints(session, run_id)[2]
    assert site.ask("POST", f"/checkpoints/{merged.id}/merge").is_success

    fault.strike(session, run_id)
    kill_if_there(trainer_of(session, run_id))
    fault.wait(session)

    check_whole(session, site, run_id)
    fault.count(session, site, run_id)
    kept = {row.iteration for row in checkpoints(session, run_id) if row.adapter}
    assert kept == {pinned.iteration, merged.iteration, 30}
    files = {int(path.name.removeprefix("iter_")) for path in (site.home / f"runs/{run_id}/adapters").iterdir()}
    assert files == kept
    wait_until(lambda: artifact_state(site, merged) == "finished", "it was not merged")


def checkpoints(session: Session, run_id: int) -> list[Checkpoint]:
    """Return a run's checkpoints as they are now."""
    statement = select(Checkpoint).where(Checkpoint.run_id == run_id).order_by(Checkpoint.iteration)  # type: ignore[arg-type]
    return list(session.exec(statement.execution_options(populate_existing=True)))


def artifact_state(site: Site, checkpoint: Checkpoint) -> str:
    """Return the state of a checkpoint's merged model."""
    made = site.ask("POST", f"/checkpoints/{checkpoint.id}/merge").json()
    assert made["kind"] == ArtifactKind.MERGED
    return str(made["state"])
