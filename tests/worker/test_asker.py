"""Askings made by the fake engine in real child processes."""

import threading
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from app.config import settings
from app.domain.askable import unanswered
from app.domain.askings import add_probe, live_asking, request_asking
from app.domain.models import Answer, ArtifactState, Asking, Checkpoint, ReasonKind, Run, RunProbe, RunState
from app.domain.recipes import Probe
from app.domain.retention import apply_retention
from app.domain.runs import id_of, resume_run
from tests.conftest import forget_settings, wait_until
from tests.factories import make_checkpoint, make_recipe, make_run
from worker import leaving
from worker.asker import ask_waiting, job_of
from worker.gpus import lend_device
from worker.supervisor import train_waiting

pytestmark = pytest.mark.usefixtures("fake_engine")


def ended_run(session: Session, *, keep: int = -1, state: RunState = RunState.FINISHED) -> Run:
    """Make a run that has ended with three checkpoints, one of which has lost its files."""
    run = make_run(session, state=state, recipe=make_recipe(checkpoints={"keep": keep}), iterations=20)
    for iteration in (0, 10, 15):
        make_checkpoint(session, run, iteration=iteration, texts=["a", "b", "c"])
    make_checkpoint(session, run, iteration=5, file="", adapter="", texts=["a", "b", "c"], deleted_at=run.created_at)
    settings().run_folder(id_of(run)).mkdir(parents=True)
    return run


def live(session: Session, run: Run) -> Asking:
    """Return the asking of a run that is under way."""
    asking = live_asking(session, id_of(run))
    assert asking is not None
    return asking


def ask(session: Session, run: Run, question: str) -> Asking:
    """Add a probe, and return the asking that it waits for."""
    add_probe(session, id_of(run), Probe(question=question))
    return live(session, run)


def given(session: Session, run: Run, question: str) -> dict[int, str]:
    """Return what each checkpoint answered to a question."""
    statement = (
        select(Checkpoint.iteration, Answer.text)
        .join(Answer, col(Answer.checkpoint_id) == Checkpoint.id)
        .join(RunProbe, col(Answer.probe_id) == RunProbe.id)
        .where(Checkpoint.run_id == run.id, RunProbe.question == question)
    )
    return dict(session.exec(statement).all())


def test_every_checkpoint_that_has_its_files_is_asked(session: Session) -> None:
    """The base model too; a deleted one is passed over, and the device is told."""
    run = ended_run(session)
    asking = ask(session, run, "And now?")

    ask_waiting()

    session.refresh(asking)
    assert asking.state is ArtifactState.FINISHED
    assert asking.device.startswith("CPU")
    assert given(session, run, "And now?") == {at: f"answer 3 of {at}" for at in (0, 10, 15)}


def test_an_asking_waits_while_every_device_trains(session: Session) -> None:
    """It keeps its place, and its message again does nothing."""
    asking = ask(session, ended_run(session), "And now?")

    with lend_device():
        ask_waiting()

    session.refresh(asking)
    assert (asking.state, asking.attempt) == (ArtifactState.QUEUED, 0)


def test_a_device_asks_between_two_runs(session: Session) -> None:
    """Whoever has a device when a run ends asks first, so that a long queue never keeps an asking waiting."""
    asking = ask(session, ended_run(session), "And now?")
    run = make_run(session, recipe=make_recipe(training={"iterations": 5}))

    train_waiting(worker="tests")

    session.refresh(asking)
    session.refresh(run)
    assert (asking.state, run.state) == (ArtifactState.FINISHED, RunState.FINISHED)
    assert asking.ended_at is not None
    assert run.started_at is not None
    assert asking.ended_at < run.started_at


def test_a_failed_asking_says_why_and_goes_on_where_it_was(session: Session) -> None:
    """What was answered before it failed stays, and is not asked again."""
    run = ended_run(session)
    failed = ask(session, run, "Will it crash?")

    ask_waiting()

    session.refresh(failed)
    assert (failed.state, failed.reason) == (ArtifactState.FAILED, ReasonKind.OUT_OF_GPU_MEMORY)
    assert given(session, run, "Will it crash?") == {0: "answer 3 of 0"}
    again = request_asking(session, id_of(run))
    ask_waiting()
    session.refresh(again)
    assert given(session, run, "Will it crash?") == {at: f"answer 3 of {at}" for at in (0, 10)}
    assert again.answers == 1


def test_a_worker_that_leaves_gives_an_asking_back(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the answers that came so far; another worker goes on."""
    run = ended_run(session)
    asking = ask(session, run, "Is it slow?")
    is_told = threading.Event()
    for module in ("worker.asker", "worker.commands"):
        monkeypatch.setattr(f"{module}.is_leaving", is_told.is_set)
    worker = threading.Thread(target=ask_waiting)
    worker.start()

    wait_until(lambda: given(session, run, "Is it slow?"), "no answer came")
    is_told.set()
    worker.join(10)

    assert not leaving.is_leaving()
    session.refresh(asking)
    assert (asking.state, asking.attempt, asking.answers) == (ArtifactState.QUEUED, 1, 1)


def test_what_is_to_be_asked_stays_until_it_was(session: Session) -> None:
    """Retention takes nothing of a run while an asking of it is under way, and what it wants afterwards."""
    run = ended_run(session, keep=1)
    ask(session, run, "And now?")

    apply_retention(session, run)
    before = files(session, run)
    ask_waiting()

    assert before == [10, 15]
    assert files(session, run) == [15]
    assert set(given(session, run, "And now?")) == {0, 10, 15}


def files(session: Session, run: Run) -> list[int]:
    """Return the checkpoints that have an adapter."""
    session.expire_all()
    return [row.iteration for row in run.checkpoints if row.adapter]


def test_a_run_that_goes_on_asks_what_was_added(session: Session) -> None:
    """Its next checkpoints answer the added probe with the others."""
    run = ended_run(session)
    ask(session, run, "And now?")
    ask_waiting()
    run.state = RunState.QUEUED
    session.add(run)
    session.commit()

    train_waiting(worker="tests")

    assert given(session, run, "And now?")[20] == "answer 3 of 20"


def test_a_checkpoint_without_its_files_is_passed_over(session: Session) -> None:
    """The others answer; it is asked no more, so that the asking ends."""
    run = ended_run(session)
    asking = ask(session, run, "Is it gone?")

    ask_waiting()

    session.refresh(asking)
    assert asking.state is ArtifactState.FINISHED
    assert set(given(session, run, "Is it gone?")) == {0, 15}
    assert files(session, run) == [15]


def test_a_run_whose_folder_is_missing_loses_nothing(session: Session) -> None:
    """Its disk may be elsewhere for a while: the asking says what is not there, and every time it is tried again."""
    run = ended_run(session)
    asking = ask(session, run, "Is it gone?")
    settings().run_folder(id_of(run)).rmdir()

    ask_waiting()

    session.refresh(asking)
    assert asking.state is ArtifactState.FAILED
    assert "No such file" in asking.reason_detail
    assert files(session, run) == [10, 15]


def test_an_asking_leaves_a_run_that_is_resumed(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits again, and touches no file: the trainer may just have written it."""
    monkeypatch.setenv("TEMPER_LEASE_SECONDS", "3")
    forget_settings()
    run = ended_run(session, state=RunState.CANCELLED)
    asking = ask(session, run, "Is it slow?")
    new = settings().run_folder(id_of(run)) / "iter_5.pth"
    worker = threading.Thread(target=ask_waiting)
    worker.start()
    wait_until(lambda: given(session, run, "Is it slow?"), "no answer came")

    resume_run(session, id_of(run))
    new.write_bytes(b"weights")
    worker.join(10)

    assert not worker.is_alive()
    session.refresh(asking)
    assert asking.state is ArtifactState.QUEUED
    assert new.exists()


def test_what_the_trainer_answered_meanwhile_is_no_failure(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that finds nothing left to ask ends the asking as it should end."""
    run = ended_run(session)
    asking = ask(session, run, "And now?")

    def answered_meanwhile(own: Session, of: Run) -> dict[str, Any]:
        for each in unanswered(session, run):
            (probe,) = each.probes
            answer = Answer(
                checkpoint_id=id_of(each.checkpoint), probe_id=id_of(probe), text="a", tokens=1, ended="stop"
            )
            session.add(answer)
        session.commit()
        return job_of(own, of)

    monkeypatch.setattr("worker.asker.job_of", answered_meanwhile)

    ask_waiting()

    session.refresh(asking)
    assert (asking.state, asking.reason) == (ArtifactState.FINISHED, None)


def test_an_asking_that_breaks_off_does_not_stop_a_run(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device that it was to take trains."""
    ask(session, ended_run(session), "And now?")
    run = make_run(session, recipe=make_recipe(training={"iterations": 5}))

    def fail(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("the database is away"))

    monkeypatch.setattr("worker.asker.claim_asking", fail)
    monkeypatch.setattr("worker.asker.finish_asking", fail)

    train_waiting(worker="tests")

    session.refresh(run)
    assert run.state is RunState.FINISHED
