"""One run from its claim to its end, with a fake trainer in a real child process."""

import os
import signal
import threading
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from app.config import settings
from app.domain import db
from app.domain.attempts import Ending, end_attempt
from app.domain.datasets.store import dataset_file
from app.domain.events import metrics_of
from app.domain.mixes import rows_file
from app.domain.models import Answer, Attempt, Checkpoint, Event, ReasonKind, Run, RunState, StopCause
from app.domain.runs import id_of, request_stop, resume_run
from app.processes import adopt_orphans
from tests.conftest import forget_settings, wait_until
from tests.factories import attempt_of, make_checkpoint, make_recipe, make_run
from tests.faults.processes import working_in
from tests.saved_sets import make_set
from worker import leaving
from worker.gpus import Device
from worker.preparing import AttemptFolder, NotStartedError, prepare, start_trainer
from worker.recording import Recording, read_lines
from worker.supervisor import train_waiting

pytestmark = pytest.mark.usefixtures("fake_engine")

METRIC = (
    b'{"kind": "metric", "time": 1, "iteration": 1, "loss": 2.0, '
    b'"learning_rate": 0.1, "seconds": 1, "memory_bytes": 5}\n'
)


def last(session: Session, run: Run) -> Run:
    """Return the run as it is now."""
    session.refresh(run)
    return run


def train(session: Session, name: str) -> Run:
    """Train a run of this name to its end; the name says what goes wrong."""
    run = make_run(session, recipe=make_recipe(name=name))
    train_waiting(worker="test")
    session.refresh(run)
    return run


def in_thread(session: Session, name: str, **changes: object) -> tuple[Run, threading.Thread]:
    """Train a run in a thread of its own, as a pool process would."""
    run = make_run(session, recipe=make_recipe(name=name, **changes))
    thread = threading.Thread(target=train_waiting, kwargs={"worker": "test"})
    thread.start()
    return run, thread


def test_a_run_is_trained_to_its_end(session: Session) -> None:
    """Every metric, checkpoint and answer of the trainer is stored, each once."""
    run = train(session, "plain")

    assert run.state is RunState.FINISHED
    assert [metric.iteration for metric in metrics_of(session, id_of(run))] == list(range(1, 21))
    checkpoints = session.exec(select(Checkpoint).order_by(col(Checkpoint.iteration))).all()
    assert [checkpoint.iteration for checkpoint in checkpoints] == [0, 5, 10, 15, 20]
    assert len(session.exec(select(Answer)).all()) == 5 * 3
    assert run.newest_answer == "answer 0 of 20"
    assert run.iteration == run.iterations == 20
    assert attempt_of(session, run).device.startswith("CPU, ")


def test_the_run_s_folder_says_what_was_trained(session: Session) -> None:
    """The rows, the recipe and the config that a run was trained with stay beside it."""
    run = train(session, "plain")

    folder = settings().runs_folder / str(run.id)
    assert len(rows_file(run.mix_sha256).read_text().splitlines()) == 4 + 3
    assert str(rows_file(run.mix_sha256)) in (folder / "config.py").read_text()
    assert (folder / "recipe.json").exists()
    assert "PART 5" in (folder / "config.py").read_text()
    assert len(run.mix_sha256) == 64


def test_a_later_attempt_trains_on_the_rows_of_the_first(session: Session) -> None:
    """What a run is trained on does not change under it; rows that are gone and would be others end the run."""
    run = make_run(session, state=RunState.RUNNING)
    attempt = AttemptFolder(id_of(run), attempt_of(session, run).id or 0, 1)
    prepare(attempt, Device("cpu", "cpu-0", "CPU"))
    kept = rows_file(last(session, run).mix_sha256)
    written_at = kept.stat().st_mtime_ns

    prepare(attempt, Device("cpu", "cpu-0", "CPU"))

    assert kept.stat().st_mtime_ns == written_at
    run.mix_sha256 = "0" * 64
    session.add(run)
    session.commit()
    with pytest.raises(NotStartedError) as error:
        prepare(attempt, Device("cpu", "cpu-0", "CPU"))
    assert error.value.ending.reason is ReasonKind.BAD_DATA


def test_a_run_whose_saved_set_is_gone_does_not_train_on_the_rest(session: Session) -> None:
    """The set is named. A run that has its rows goes on from these, and the config tells their number."""
    dataset = make_set(session)
    source = {"dataset": "pets", "sha256": dataset.sha256}
    runs = [make_run(session, state=RunState.RUNNING, recipe=make_recipe(mix={"files": [source]})) for _ in range(2)]
    first, second = (AttemptFolder(id_of(run), attempt_of(session, run).id or 0, 1) for run in runs)
    prepare(first, Device("cpu", "cpu-0", "CPU"))
    config = (first.run_folder / "config.py").read_text()
    dataset_file(dataset.sha256).unlink()

    prepare(first, Device("cpu", "cpu-0", "CPU"))
    with pytest.raises(NotStartedError, match=r"“pets”, version .{8}, is not on this machine") as error:
        prepare(second, Device("cpu", "cpu-0", "CPU"))

    assert (first.run_folder / "config.py").read_text() == config
    assert error.value.ending.reason is ReasonKind.BAD_DATA


def test_a_run_in_epochs_needs_room_for_as_long_as_it_may_be(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the tokenizer is not read, nobody counts packs: each row may be one."""
    asked: list[int] = []
    monkeypatch.setattr("worker.preparing.plan_disk", lambda *_, iterations: asked.append(iterations))
    training = {"iterations": None, "epochs": 3, "batch_size": 2}
    run = make_run(session, state=RunState.RUNNING, recipe=make_recipe(training=training))

    prepare(AttemptFolder(id_of(run), attempt_of(session, run).id or 0, 1), Device("cpu", "cpu-0", "CPU"))

    assert asked == [4 * 3]  # seven rows, two in an iteration


@pytest.mark.parametrize(
    ("name", "reason", "detail"),
    [
        ("crash", ReasonKind.CRASHED, ""),
        ("early", ReasonKind.CRASHED, ""),
        ("silent", ReasonKind.NO_OUTPUT, ""),
        ("gpu-memory", ReasonKind.OUT_OF_GPU_MEMORY, "CUDA out of memory"),
    ],
)
def test_a_failed_run_says_why(session: Session, name: str, reason: ReasonKind, detail: str) -> None:
    """However a trainer dies, the run fails with the reason and the log's last lines."""
    run = train(session, name)

    assert (run.state, run.reason, run.reason_detail) == (RunState.FAILED, reason, detail)
    assert "fake trainer begins" in run.log_tail


def test_a_line_that_is_no_event_is_skipped(session: Session) -> None:
    """Garbage among the events costs that line and nothing else."""
    run = train(session, "garbage")

    assert run.state is RunState.FINISHED
    assert len(metrics_of(session, id_of(run))) == 20


@pytest.mark.parametrize("name", ["hang", "hang stubborn"])
def test_stop_ends_the_trainer(session: Session, name: str) -> None:
    """Stop works on a trainer that hangs and on one that ignores SIGTERM, and leaves no process."""
    run, thread = in_thread(session, name)
    wait_until(lambda: last(session, run).iteration == 3, "the run did not reach iteration 3")

    with db.unit_of_work() as work:
        request_stop(work, id_of(run))
    thread.join(10)

    assert last(session, run).state is RunState.CANCELLED
    pid = session.exec(select(Attempt.pid)).one()
    with pytest.raises(ProcessLookupError):
        os.kill(pid or 0, 0)


def test_a_run_that_lost_its_claim_writes_nothing(session: Session) -> None:
    """A supervisor whose attempt is no longer the run's ends its trainer and leaves the row alone."""
    run, thread = in_thread(session, "slow")
    wait_until(lambda: last(session, run).iteration >= 2, "the run did not begin")

    run.attempt, run.worker = 2, "another"
    session.add(run)
    session.commit()
    thread.join(10)

    assert not thread.is_alive()
    assert last(session, run).state is RunState.RUNNING
    assert last(session, run).worker == "another"
    assert session.exec(select(Event).where(Event.kind == "state")).all()[-1].data["state"] == "running"


def test_a_run_without_a_device_goes_on_waiting(session: Session) -> None:
    """While every device is taken a run stays queued, and it is trained when one is free."""
    first, thread = in_thread(session, "hang")
    wait_until(lambda: last(session, first).iteration == 3, "the first run did not begin")

    second = train(session, "plain")
    assert second.state is RunState.QUEUED

    with db.unit_of_work() as work:
        request_stop(work, id_of(first))
    thread.join(10)
    train_waiting(worker="test")
    assert last(session, second).state is RunState.FINISHED


def test_a_doubled_message_trains_once(session: Session) -> None:
    """A run that was trained is not trained again by a late message."""
    run = train(session, "plain")

    train_waiting(worker="test")

    assert last(session, run).attempt == 1


def test_the_trainer_knows_no_secrets(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainer is told nothing of the database, the queue or the API; it knows where programs are."""
    monkeypatch.setenv("TEMPER_TOKEN", "secret")
    monkeypatch.setenv("PGPASSWORD", "secret")

    run = train(session, "plain")

    log = settings().runs_folder / str(run.id) / "attempts" / "1" / "trainer.log"
    known = next(line for line in log.read_text().splitlines() if line.startswith("knows")).split()
    assert "PATH" in known
    assert not [name for name in known if name.startswith(("TEMPER_", "PG", "REDIS", "CELERY"))]


def test_an_older_attempt_stores_nothing(session: Session) -> None:
    """What a trainer wrote after its run went to another attempt is not taken into the run."""
    run = make_run(session, recipe=make_recipe(name="plain"), state=RunState.RUNNING)
    attempt = AttemptFolder(id_of(run), attempt_of(session, run).id or 0, 1)
    attempt.events.parent.mkdir(parents=True)
    attempt.events.write_bytes(METRIC)
    run.attempt = 2
    session.add(run)
    session.commit()

    wanted = Recording(attempt).store(renew=True)

    assert not wanted.is_ours
    assert metrics_of(session, id_of(run)) == []


# ── A folder that is there already ─────────────────────────────────────────


def left_by_another(run: Run) -> Path:
    """Leave what another run of this id wrote before the database was put back; return what its folder holds."""
    folder = settings().run_folder(id_of(run))
    (folder / "attempts" / "1").mkdir(parents=True)
    (folder / "attempts" / "1" / "events.jsonl").write_bytes(METRIC.replace(b'"iteration": 1', b'"iteration": 300'))
    (folder / "iter_300.pth").write_bytes(b"of another run")
    return folder


def test_a_run_takes_nothing_from_another_of_its_id(session: Session) -> None:
    """What another run left under its number is put aside whole, and none of it is stored as its own."""
    run = make_run(session, recipe=make_recipe(name="plain"))
    folder = left_by_another(run)

    train_waiting(worker="test")

    assert (last(session, run).state, run.attempt) == (RunState.FINISHED, 1)
    assert [metric.iteration for metric in metrics_of(session, id_of(run))] == list(range(1, 21))
    (aside,) = folder.parent.glob(f"{run.id}.before-*")
    assert (aside / "iter_300.pth").read_bytes() == b"of another run"
    assert b"300" in (aside / "attempts" / "1" / "events.jsonl").read_bytes()
    assert not (folder / "iter_300.pth").exists()


def test_a_run_that_was_lost_before_it_began_takes_nothing_either(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker died once it had claimed it: the next attempt finds no leftovers of an attempt that wrote none."""
    run = make_run(session, recipe=make_recipe(name="plain"))
    left_by_another(run)
    with monkeypatch.context() as patch:
        patch.setattr("worker.supervisor._train", lambda *_: leaving.leave())
        train_waiting(worker="died")
    leaving._flag[0] = 0
    with db.unit_of_work() as work:
        end_attempt(work, id_of(run), attempt=1, ending=Ending(RunState.QUEUED))

    train_waiting(worker="test")

    assert (last(session, run).state, run.attempt) == (RunState.FINISHED, 2)
    assert max(session.exec(select(Event.iteration).where(Event.run_id == run.id))) == 20


def test_a_claim_that_was_not_stored_is_made_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder was put aside before the database failed; the first attempt is still the first."""
    run = make_run(session, recipe=make_recipe(name="plain"))
    folder = left_by_another(run)

    def fail(*_: object, **__: object) -> None:
        raise OperationalError("COMMIT", {}, Exception("the server closed the connection"))

    with monkeypatch.context() as patch, pytest.raises(OperationalError):
        patch.setattr(Session, "commit", fail)
        train_waiting(worker="test")
    train_waiting(worker="test")

    assert (last(session, run).state, run.attempt) == (RunState.FINISHED, 1)
    assert len(list(folder.parent.glob(f"{run.id}.before-*"))) == 1


def test_a_folder_that_cannot_be_put_aside_ends_its_run(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run says why, takes nothing from it, and holds no other run up."""
    runs = [make_run(session, recipe=make_recipe(name="plain")) for _ in range(2)]
    folder, real_rename = left_by_another(runs[0]), Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return real_rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    train_waiting(worker="test")

    assert [last(session, run).state for run in runs] == [RunState.FAILED, RunState.FINISHED]
    assert "Permission denied" in runs[0].reason_detail
    assert metrics_of(session, id_of(runs[0])) == []


# ── Going on ───────────────────────────────────────────────────────────────


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run that is tried again start at once."""
    monkeypatch.setattr("app.domain.attempts.FIRST_DELAY", timedelta(0))


def test_a_trainer_that_is_killed_while_it_saves_is_started_again(session: Session, soon: None) -> None:
    """Half a checkpoint is none; the curve has every iteration once, and the attempts say what happened."""
    run = train(session, "half-saved")

    assert (run.state, run.attempt, run.restarts) == (RunState.FINISHED, 2, 0)
    assert [metric.iteration for metric in metrics_of(session, id_of(run))] == list(range(1, 21))
    first, second = run.attempts
    assert (first.reason, first.reason_detail, first.exit_code) == (ReasonKind.KILLED, "9", -9)
    assert (second.reason, second.resumed_from) == (None, 0)
    assert len(session.exec(select(Answer)).all()) == 5 * 3


def test_a_run_that_is_killed_again_and_again_fails(session: Session, soon: None) -> None:
    """Three more tries, then the reason; no loop."""
    run = train(session, "killed always")

    assert (run.state, run.reason, run.attempt) == (RunState.FAILED, ReasonKind.KILLED, 4)


def test_a_damaged_checkpoint_is_passed_over(session: Session, soon: None) -> None:
    """The one before it is taken, and the page can say so."""
    run, thread = in_thread(session, "slow")
    wait_until(lambda: last(session, run).iteration >= 11, "the run did not come far enough", seconds=20)
    (settings().runs_folder / str(run.id) / "iter_10.pth").write_bytes(b"garbage")
    os.kill(attempt_of(session, run).pid or 0, signal.SIGKILL)
    thread.join(30)

    assert last(session, run).state is RunState.FINISHED
    session.refresh(run, ["attempts"])
    assert run.attempts[1].resumed_from == 5
    resumed = session.exec(select(Event).where(Event.kind == "resumed")).one()
    assert [each["iteration"] for each in resumed.data["damaged"]] == [10]
    assert [metric.iteration for metric in metrics_of(session, id_of(run))] == list(range(1, 21))
    files = session.exec(select(Checkpoint).where(Checkpoint.iteration == 10)).one()
    assert files.deleted_at is None
    assert files.adapter


def test_what_a_dead_supervisor_left_is_stored_first(session: Session) -> None:
    """A checkpoint that was saved and not yet stored is gone on from."""
    run = make_run(session, recipe=make_recipe(name="plain"), state=RunState.RUNNING)
    left = AttemptFolder(id_of(run), attempt_of(session, run).id or 0, 1)
    train_elsewhere(left)
    with db.unit_of_work() as work:
        end_attempt(work, id_of(run), attempt=1, ending=Ending(RunState.QUEUED))

    train_waiting(worker="test")

    assert last(session, run).state is RunState.FINISHED
    assert run.attempts[1].resumed_from == 20
    assert [metric.iteration for metric in metrics_of(session, id_of(run))] == list(range(1, 21))


def train_elsewhere(attempt: AttemptFolder) -> None:
    """Let a trainer do all its work with nobody to store it."""
    device = Device("cpu", "cpu-0", "CPU")
    prepare(attempt, device)
    trainer = start_trainer(attempt, device)
    wait_until(lambda: trainer.exit_code() is not None, "it did not end")


def test_a_worker_that_leaves_gives_its_run_back(session: Session) -> None:
    """The trainer saves where it is; nobody is told of a failure, and no try is counted."""
    run, thread = in_thread(session, "slow", training={"iterations": 60})  # it must not end by itself first
    wait_until(lambda: last(session, run).iteration >= 7, "the run did not come far enough", seconds=20)

    leaving.leave()
    try:
        thread.join(10)
        assert not thread.is_alive()
        assert last(session, run).state is RunState.QUEUED
        assert run.restarts == 0
        saved = session.exec(select(Checkpoint.iteration).where(Checkpoint.state_file != "")).all()
        assert max(saved) >= 7
    finally:
        leaving._flag[0] = 0

    train_waiting(worker="test")
    assert last(session, run).state is RunState.FINISHED
    session.refresh(run, ["attempts"])
    assert run.attempts[1].resumed_from == max(saved)
    kept = session.exec(select(Checkpoint.iteration).order_by(col(Checkpoint.iteration))).all()
    asked = session.exec(select(Event.iteration).where(Event.kind == "answers").order_by(col(Event.id))).all()
    assert list(kept) == list(asked) == list(range(0, 61, 5))


def test_stop_can_keep_a_checkpoint(session: Session) -> None:
    """It is saved where the run is, answered, and stays."""
    run, thread = in_thread(session, "slow", training={"iterations": 200})  # it must not end by itself first
    wait_until(lambda: last(session, run).iteration >= 6, "the run did not come far enough", seconds=20)

    with db.unit_of_work() as work:
        request_stop(work, id_of(run), keep=True)
    thread.join(10)

    assert last(session, run).state is RunState.CANCELLED
    assert run.stopped_by is StopCause.PERSON
    newest = session.exec(select(Checkpoint).order_by(col(Checkpoint.iteration).desc())).first()
    assert newest is not None
    assert newest.iteration == run.iteration > 5
    assert len(newest.answers) == 3


def test_a_stopped_run_goes_on_when_it_is_resumed(session: Session) -> None:
    """The curve goes on as one line."""
    run, thread = in_thread(session, "slow", training={"iterations": 60})  # it must not end by itself first
    wait_until(lambda: last(session, run).iteration >= 6, "the run did not come far enough", seconds=20)
    with db.unit_of_work() as work:
        request_stop(work, id_of(run))
    thread.join(10)

    with db.unit_of_work() as work:
        resume_run(work, id_of(run))
    train_waiting(worker="test")

    assert last(session, run).state is RunState.FINISHED
    session.refresh(run, ["attempts"])
    assert [each.resumed_from for each in run.attempts] in ([0, 5], [0, 10], [0, 15], [0, 20])
    assert [metric.iteration for metric in metrics_of(session, id_of(run))] == list(range(1, 61))


def test_a_trainer_that_tells_nothing_is_stalled(session: Session, soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its page says so first; then it is ended and the run goes on."""
    monkeypatch.setenv("TEMPER_STALL_SECONDS", "1")
    monkeypatch.setattr("worker.stalls.STEPS", 5)
    forget_settings()
    run, thread = in_thread(session, "hang")

    wait_until(lambda: last(session, run).phase == "stalled", "it was not called stalled")
    thread.join(20)

    assert last(session, run).state is RunState.FINISHED
    assert run.attempts[0].reason is ReasonKind.STALLED


def test_a_database_that_does_not_answer_for_a_while_ends_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the trainer writes waits in its file."""
    failures = iter(range(3))
    original = Recording.store

    def store(self: Recording, *, renew: bool) -> object:
        if last(session, run).iteration >= 2 and next(failures, None) is not None:
            raise OperationalError("UPDATE", {}, Exception("database is locked"))
        return original(self, renew=renew)

    monkeypatch.setattr(Recording, "store", store)
    run, thread = in_thread(session, "slow")
    thread.join(30)

    assert next(failures, None) is None
    assert (last(session, run).state, run.attempt) == (RunState.FINISHED, 1)
    assert [metric.iteration for metric in metrics_of(session, id_of(run))] == list(range(1, 21))


def test_a_supervisor_that_cannot_renew_ends_its_trainer(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may have taken the run by then: two trainers of one run must never be."""
    monkeypatch.setenv("TEMPER_LEASE_SECONDS", "1")
    forget_settings()
    run = make_run(session, recipe=make_recipe(name="hang"))
    pids: list[int] = []

    def store(self: Recording, *, renew: bool) -> object:
        pids.extend(filter(None, [attempt_of(session, last(session, run)).pid]))
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    monkeypatch.setattr(Recording, "store", store)

    thread = threading.Thread(target=train_waiting, kwargs={"worker": "test"}, daemon=True)
    thread.start()
    thread.join(15)

    assert not thread.is_alive()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert last(session, run).state is RunState.RUNNING


def test_a_line_without_an_end_is_passed_over(session: Session) -> None:
    """Ten megabytes of nothing cost themselves."""
    run = train(session, "endless")

    assert run.state is RunState.FINISHED
    assert len(metrics_of(session, id_of(run))) == 20


def test_a_log_that_grows_without_end_is_cut(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written last is kept."""
    monkeypatch.setattr("worker.supervisor.LOG_SECONDS", 0.0)
    run = train(session, "flood slow")

    log = settings().runs_folder / str(run.id) / "attempts" / "1" / "trainer.log"
    assert log.stat().st_size < 64 << 20
    assert b"[the log was too long" in log.read_bytes()  # what the trainer writes meanwhile may stand before it


def test_a_process_that_left_the_group_is_ended_too(session: Session) -> None:
    """A trainer's child in a session of its own does not outlive the run."""
    adopt_orphans()

    run = train(session, "escapes crash")

    assert run.state is RunState.FAILED
    assert not [each for each in psutil.Process().children(recursive=True) if each.name() == "sleep"]


def test_a_disk_without_room_is_said_before_the_start(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is trained that could not be saved."""
    monkeypatch.setenv("TEMPER_MIN_FREE_BYTES", str(1 << 60))
    forget_settings()

    run = train(session, "plain")

    assert (run.state, run.reason, run.iteration) == (RunState.FAILED, ReasonKind.DISK_FULL, 0)
    assert "GB are needed" in run.reason_detail


def test_reading_on_without_a_line_end(tmp_path: Path) -> None:
    """Half a line waits; one that is longer than any event is handed on to be dropped."""
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"one\ntw")

    assert read_lines(file, 0) == b"one\n"
    assert read_lines(file, 4) == b""
    file.write_bytes(b"x" * (5 << 20))
    assert len(read_lines(file, 0)) == 4 << 20


def test_a_file_that_the_trainer_is_about_to_tell_of_is_left_alone(session: Session) -> None:
    """A run that began anew saves again what it had saved; the old rows say nothing of the new files."""
    run = make_run(session, recipe=make_recipe(name="plain"), state=RunState.RUNNING)
    for iteration in (5, 10):
        make_checkpoint(session, run, iteration=iteration, file="", state_file="")
    attempt = AttemptFolder(id_of(run), attempt_of(session, run).id or 0, 1)
    saved = b'{"kind": "checkpoint", "time": 1, "iteration": 5, "updates": 5, "file": "iter_5.pth", "adapter": null, '
    attempt.events.parent.mkdir(parents=True)
    attempt.events.write_bytes(saved + b'"state_file": "states/iter_5.pth", "size_bytes": 9}\n')
    untold = attempt.run_folder / "iter_10.pth"
    untold.write_bytes(b"just written")

    Recording(attempt).store(renew=True)

    assert untold.exists()


def test_a_trainer_that_goes_on_after_a_silence_trains(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was called stalled; the first iteration that it tells of takes that back."""
    monkeypatch.setenv("TEMPER_STALL_SECONDS", "3")
    forget_settings()
    run, thread = in_thread(session, "slow", checkpoints={"every": 100})  # no phase begins in between
    wait_until(lambda: last(session, run).iteration >= 2, "the run did not begin", seconds=20)
    trainer = attempt_of(session, run).pid or 0

    os.kill(trainer, signal.SIGSTOP)
    wait_until(lambda: last(session, run).phase == "stalled", "it was not called stalled")
    os.kill(trainer, signal.SIGCONT)
    wait_until(lambda: last(session, run).phase == "training", "it is still called stalled")
    thread.join(30)

    assert (last(session, run).state, run.attempt) == (RunState.FINISHED, 1)


def test_a_trainer_that_cannot_be_written_down_does_not_live_on(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database went away in the moment of its start: nobody would watch it."""

    def refuse(*_: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    monkeypatch.setattr("worker.preparing._write_down", refuse)
    run = make_run(session, recipe=make_recipe(name="hang"))

    with pytest.raises(OperationalError):
        train_waiting(worker="test")

    assert not working_in(settings().run_folder(id_of(run)))


def test_a_worker_that_leaves_does_not_wait_for_answers(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody had stopped the run with time for answers; a deploy has none, and the run is cancelled all the same."""
    monkeypatch.setenv("TEMPER_LEAVE_SECONDS", "1")
    forget_settings()
    run, thread = in_thread(session, "hang")
    wait_until(lambda: last(session, run).iteration == 3, "the run did not begin")
    with db.unit_of_work() as work:
        request_stop(work, id_of(run), keep=True)

    leaving.leave()
    try:
        thread.join(10)
        assert not thread.is_alive()
    finally:
        leaving._flag[0] = 0

    assert last(session, run).state is RunState.CANCELLED
