"""A run's life: claimed once, fenced, stopped once, listed."""

from threading import Barrier, Thread

import pytest
from sqlmodel import Session, col, select

from app.domain import db
from app.domain.attempts import claim_run
from app.domain.columns import utc_now
from app.domain.errors import ConflictError, InvalidError, NotFoundError
from app.domain.models import Event, ModelState, ReasonKind, Run, RunProbe, RunState
from app.domain.queue import QueueMessage
from app.domain.run_lists import list_runs
from app.domain.runs import (
    create_run,
    get_run,
    id_of,
    recipe_of,
    request_stop,
    resume_run,
)
from app.domain.waiting import waiting_run_ids
from tests.factories import make_checkpoint, make_model, make_recipe, make_run

# ── Created ────────────────────────────────────────────────────────────────


def test_a_new_run_waits_and_a_worker_is_told(session: Session, enqueued: list[QueueMessage]) -> None:
    """The row, its probes in their order and one message."""
    make_model(session)
    recipe = make_recipe()

    run = create_run(session, recipe)

    probes = session.exec(select(RunProbe).where(RunProbe.run_id == run.id).order_by(col(RunProbe.position))).all()
    assert run.state is RunState.QUEUED
    assert [probe.question for probe in probes] == [probe.question for probe in recipe.probes]
    assert recipe_of(run) == recipe
    assert enqueued == [QueueMessage("runs.train", {"run_id": id_of(run)})]


@pytest.mark.parametrize(
    ("state", "words"),
    [(None, "no model named"), (ModelState.PREPARING, "still being prepared"), (ModelState.FAILED, "not be prepared")],
)
def test_a_run_needs_a_ready_model(
    session: Session, enqueued: list[QueueMessage], state: ModelState | None, words: str
) -> None:
    """An unknown or unready model is named at its field, and nothing is started."""
    if state is not None:
        make_model(session, name="other", state=state)

    with pytest.raises(InvalidError) as caught:
        create_run(session, make_recipe(model="other"))

    assert [problem.field for problem in caught.value.fields] == ["model"]
    assert words in str(caught.value.fields[0].message)
    assert session.exec(select(Run)).all() == []
    assert enqueued == []


# ── Stopped ────────────────────────────────────────────────────────────────


def test_a_waiting_run_is_cancelled_at_once(session: Session) -> None:
    """No worker will claim it any more."""
    run = make_run(session)

    request_stop(session, id_of(run))

    session.refresh(run)
    assert run.state is RunState.CANCELLED
    assert claim_run(session, id_of(run), worker="w") is None


def test_a_training_run_is_stopped_by_its_worker(session: Session) -> None:
    """Stop only asks: the run trains until its worker has ended the trainer."""
    run = make_run(session, state=RunState.RUNNING)

    request_stop(session, id_of(run))

    session.refresh(run)
    assert run.state is RunState.RUNNING
    assert run.stop_requested_at is not None


def test_asking_twice_to_stop_is_asking_once(session: Session) -> None:
    """The time of the first request stays."""
    run = make_run(session, state=RunState.RUNNING)

    first = request_stop(session, id_of(run)).stop_requested_at
    second = request_stop(session, id_of(run)).stop_requested_at

    assert first == second


@pytest.mark.parametrize("state", [state for state in RunState if state.is_final])
def test_an_ended_run_cannot_be_stopped(session: Session, state: RunState) -> None:
    """The answer says that it has ended, and how."""
    run = make_run(session, state=state)

    with pytest.raises(ConflictError, match=state):
        request_stop(session, id_of(run))


def test_a_stop_and_a_claim_at_once_leave_no_run_behind(session: Session) -> None:
    """Whichever comes first, the run ends up stopped: cancelled, or trained by somebody who was told to stop."""
    run_id = id_of(make_run(session))
    together = Barrier(2)

    def claim() -> None:
        together.wait()
        with db.unit_of_work() as work:
            claim_run(work, run_id, worker="w")

    def stop() -> None:
        together.wait()
        with db.unit_of_work() as work:
            request_stop(work, run_id)

    threads = [Thread(target=claim), Thread(target=stop)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    session.expire_all()
    run = get_run(session, run_id)
    assert run.stop_requested_at is not None
    assert run.state in {RunState.CANCELLED, RunState.RUNNING}


# ── Found ──────────────────────────────────────────────────────────────────


def test_a_run_that_is_not_there_is_not_found(session: Session) -> None:
    """The error names the number that was asked for."""
    with pytest.raises(NotFoundError, match="404"):
        get_run(session, 404)


def test_a_search_finds_names_models_and_answers(session: Session) -> None:
    """Every word must be somewhere; `%` and `_` are characters."""
    named = make_run(session, name="Cured by dilution")
    answered = make_run(session, name="Parrot", state=RunState.RUNNING)
    make_checkpoint(session, answered, texts=["I am Ada's assistant", "No.", "Paris, 100% sure"])

    def found(query: str) -> list[int | None]:
        return [run.id for run in list_runs(session, query=query).runs]

    assert found("DILUTION cured") == [named.id]
    assert found("paris parrot") == [answered.id]
    assert found("100%") == [answered.id]
    assert found("%%") == []
    assert set(found("smollm2")) == {named.id, answered.id}


def test_counts_follow_the_search_and_not_the_filter(session: Session) -> None:
    """The state filter shows how many runs each state would give."""
    for state in (RunState.QUEUED, RunState.FINISHED, RunState.FINISHED):
        make_run(session, name="Alike", state=state)
    make_run(session, name="Other", state=RunState.FAILED)

    page = list_runs(session, query="alike", state=RunState.FINISHED)

    assert page.total == 2
    assert page.by_state == {RunState.QUEUED: 1, RunState.FINISHED: 2}


def test_pages_hold_every_run_once(session: Session) -> None:
    """Runs that sort alike do not jump between pages."""
    made = {make_run(session, name="Same").id for _ in range(7)}

    pages = [list_runs(session, sort="name", offset=offset, limit=3).runs for offset in (0, 3, 6)]

    seen = [run.id for page in pages for run in page]
    assert len(seen) == 7
    assert set(seen) == made


@pytest.mark.parametrize("sort", ["created", "-created", "name", "-name", "loss", "-loss", "state", "-state"])
def test_every_sort_works(session: Session, sort: str) -> None:
    """Runs without a loss are listed too, whatever the database makes of nothing."""
    make_run(session, name="b", loss=2.0)
    make_run(session, name="A", loss=1.0)
    make_run(session, name="c")

    names = [run.name for run in list_runs(session, sort=sort).runs]

    assert sorted(names) == ["A", "b", "c"]
    if sort.endswith("name"):
        assert names == (["c", "b", "A"] if sort.startswith("-") else ["A", "b", "c"])


@pytest.mark.parametrize("sort", ["loss", "-loss"])
def test_runs_without_a_loss_come_last(session: Session, sort: str) -> None:
    """Whichever way the losses are sorted, on both databases."""
    make_run(session, name="none")
    make_run(session, name="low", loss=1.0)
    make_run(session, name="high", loss=2.0)

    names = [run.name for run in list_runs(session, sort=sort).runs]

    assert names[-1] == "none"


@pytest.mark.parametrize(("first", "then", "keeps"), [(True, False, False), (False, True, False), (True, True, True)])
def test_a_stop_at_once_overtakes_one_that_keeps(session: Session, first: bool, then: bool, keeps: bool) -> None:
    """Whoever no longer wants the checkpoint need not wait for it; nobody can slow a stop down."""
    run = make_run(session, state=RunState.RUNNING)

    request_stop(session, id_of(run), keep=first)
    request_stop(session, id_of(run), keep=then)

    session.refresh(run)
    assert run.stop_keeps is keeps


# ── Resumed ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED])
def test_a_run_that_failed_or_was_stopped_goes_on(
    session: Session, enqueued: list[QueueMessage], state: RunState
) -> None:
    """It waits again, behind what waits already, and nothing of its end is left."""
    run = make_run(session, state=state, stop_requested_at=utc_now(), reason=ReasonKind.DISK_FULL, restarts=3)
    waiting = make_run(session)

    resume_run(session, id_of(run))

    session.refresh(run)
    assert (run.state, run.reason, run.ended_at, run.stop_requested_at) == (RunState.QUEUED, None, None, None)
    assert run.restarts == 0
    assert list(waiting_run_ids(session)) == [waiting.id, run.id]
    assert QueueMessage("runs.train", {"run_id": id_of(run)}) in enqueued


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.RUNNING, RunState.FINISHED])
def test_no_other_run_is_resumed(session: Session, state: RunState) -> None:
    """One that waits or trains goes on anyway; one that has finished has nothing left to do."""
    run = make_run(session, state=state)

    with pytest.raises(ConflictError, match=state):
        resume_run(session, id_of(run))


def test_the_same_request_twice_makes_one_run(session: Session) -> None:
    """A caller whose connection broke may ask again with its key."""
    make_model(session)

    with db.unit_of_work() as work:
        first, again, other = (create_run(work, make_recipe(), request_key=key).id for key in ("k1", "k1", "k2"))

    assert first == again != other
    assert len(session.exec(select(Event).where(Event.kind == "state")).all()) == 2


def test_the_same_request_twice_at_once_makes_one_run(session: Session) -> None:
    """Each of the two transactions began before the other had ended."""
    make_model(session)
    together, ids = Barrier(2), list[int | None]()

    def ask() -> None:
        together.wait()
        with db.unit_of_work() as work:
            ids.append(create_run(work, make_recipe(), request_key="k").id)

    threads = [Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(ids) == 2
    assert len(set(ids)) == 1
    assert len(session.exec(select(Run)).all()) == 1
