"""One run from its claim to its end, with a fake trainer in a real child process."""

import os
import threading

import pytest
from sqlmodel import Session, col, select

from app.config import settings
from app.domain import db
from app.domain.events import metrics_of
from app.domain.models import Answer, Attempt, Checkpoint, Event, ReasonKind, Run, RunState
from app.domain.runs import id_of, request_stop
from app.domain.trainer_events import TrainerEnded
from tests.conftest import wait_until
from tests.factories import attempt_of, make_recipe, make_run
from worker.supervisor import Attempted, Ending, judge_end, store_events, train_run

pytestmark = pytest.mark.usefixtures("fake_engine")

METRIC = (
    b'{"kind": "metric", "time": 1, "iteration": 1, "loss": 2.0, '
    b'"learning_rate": 0.1, "seconds": 1, "memory_bytes": 5}\n'
)


def train(session: Session, name: str) -> Run:
    """Train a run of this name to its end; the name says what goes wrong."""
    run = make_run(session, recipe=make_recipe(name=name))
    train_run(id_of(run), worker="test")
    session.refresh(run)
    return run


def in_thread(session: Session, name: str) -> tuple[Run, threading.Thread]:
    """Train a run in a thread of its own, as a pool process would."""
    run = make_run(session, recipe=make_recipe(name=name))
    thread = threading.Thread(target=train_run, args=(id_of(run),), kwargs={"worker": "test"})
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


def test_the_run_s_folder_says_what_was_trained(session: Session) -> None:
    """The rows, the recipe and the config that a run was trained with stay beside it."""
    run = train(session, "plain")

    folder = settings().runs_folder / str(run.id)
    assert len((folder / "mix.jsonl").read_text().splitlines()) == 4 + 3
    assert (folder / "recipe.json").exists()
    assert "PART 5" in (folder / "config.py").read_text()
    assert len(run.mix_sha256) == 64


@pytest.mark.parametrize(
    ("name", "reason", "detail"),
    [
        ("crash", ReasonKind.CRASHED, ""),
        ("killed", ReasonKind.KILLED, "9"),
        ("silent", ReasonKind.NO_OUTPUT, ""),
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
    train_run(id_of(second), worker="test")
    assert last(session, second).state is RunState.FINISHED


def test_a_doubled_message_trains_once(session: Session) -> None:
    """A run that was trained is not trained again by a late message."""
    run = train(session, "plain")

    train_run(id_of(run), worker="test")

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


@pytest.mark.parametrize(
    ("code", "end", "stopped", "expected"),
    [
        (0, TrainerEnded(time=1, outcome="finished"), False, Ending(RunState.FINISHED)),
        (0, TrainerEnded(time=1, outcome="finished"), True, Ending(RunState.FINISHED)),
        (-15, None, True, Ending(RunState.CANCELLED)),
        (1, TrainerEnded(time=1, outcome="failed", reason="disk-full", detail="x"), False,
         Ending(RunState.FAILED, ReasonKind.DISK_FULL, "x")),
        (1, TrainerEnded(time=1, outcome="failed", reason="what", detail="x"), False,
         Ending(RunState.FAILED, ReasonKind.CRASHED, "x")),
        (-9, None, False, Ending(RunState.FAILED, ReasonKind.KILLED, "9")),
        (0, None, False, Ending(RunState.FAILED, ReasonKind.NO_OUTPUT)),
        (1, TrainerEnded(time=1, outcome="finished"), False, Ending(RunState.FAILED, ReasonKind.CRASHED)),
    ],
)  # fmt: skip
def test_an_end_is_judged(code: int, end: TrainerEnded | None, stopped: bool, expected: Ending) -> None:
    """The trainer's own account comes first, its exit code where it gave none."""
    assert judge_end(code, end, stopped=stopped) == expected


def last(session: Session, run: Run) -> Run:
    """Return the run as it is now."""
    session.refresh(run)
    return run


def test_an_older_attempt_stores_nothing(session: Session) -> None:
    """What a trainer wrote after its run went to another attempt is not taken into the run."""
    run = make_run(session, recipe=make_recipe(name="plain"), state=RunState.RUNNING)
    attempted = Attempted(id_of(run), attempt_of(session, run).id or 0, 1, settings().runs_folder / str(run.id))
    attempted.events.parent.mkdir(parents=True)
    attempted.events.write_bytes(METRIC)
    run.attempt = 2
    session.add(run)
    session.commit()

    is_wanted, _ = store_events(attempted, renew=True)

    assert not is_wanted
    assert metrics_of(session, id_of(run)) == []
