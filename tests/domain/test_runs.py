"""A run's life: claimed once, fenced, stopped once, listed."""

from datetime import timedelta
from threading import Barrier, Thread

import pytest
from sqlmodel import Session, col, select

from app.domain import db
from app.domain.errors import ConflictError, InvalidError, NotFoundError
from app.domain.models import Attempt, Event, ModelState, ReasonKind, Run, RunProbe, RunState, utc_now
from app.domain.queue import QueueMessage
from app.domain.runs import (
    claim_run,
    create_run,
    end_run,
    get_run,
    id_of,
    list_runs,
    lost_runs,
    queued_run_ids,
    recipe_of,
    renew_lease,
    request_stop,
)
from tests.factories import make_checkpoint, make_model, make_recipe, make_run

LEASE = timedelta(seconds=30)


def states_in_ledger(session: Session, run: Run) -> list[str]:
    """Return the states that a run's watchers were told of, in order."""
    statement = select(Event).where(Event.run_id == run.id, Event.kind == "state").order_by(col(Event.id))
    return [event.data["state"] for event in session.exec(statement)]


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


# ── Claimed ────────────────────────────────────────────────────────────────


def test_of_many_claimers_one_wins(session: Session) -> None:
    """A message that was delivered five times trains the run once."""
    run_id = id_of(make_run(session))
    together, attempts = Barrier(5), list[Attempt | None]()

    def claim(worker: str) -> None:
        together.wait()
        with db.unit_of_work() as work:
            attempts.append(claim_run(work, run_id, worker=worker, lease=LEASE))

    threads = [Thread(target=claim, args=(f"worker-{number}",)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    session.expire_all()
    winners = [attempt for attempt in attempts if attempt is not None]
    assert len(attempts) == 5
    assert len(winners) == 1
    assert get_run(session, run_id).worker == winners[0].worker
    assert len(session.exec(select(Attempt).where(Attempt.run_id == run_id)).all()) == 1


@pytest.mark.parametrize("state", [state for state in RunState if state is not RunState.QUEUED])
def test_only_a_waiting_run_can_be_claimed(session: Session, state: RunState) -> None:
    """A late message about a run that trains or has ended changes nothing."""
    run = make_run(session, state=state)

    assert claim_run(session, id_of(run), worker="late", lease=LEASE) is None

    session.refresh(run)
    assert (run.state, run.attempt) == (state, 1)


def test_a_claim_tells_whoever_watches(session: Session) -> None:
    """The ledger holds each state once."""
    run = make_run(session)

    claim_run(session, id_of(run), worker="w", lease=LEASE)

    assert states_in_ledger(session, run) == ["queued", "running"]


def test_a_lease_is_kept_by_its_own_attempt_only(session: Session) -> None:
    """A worker that was away too long learns that the run is no longer its own."""
    run = make_run(session, state=RunState.RUNNING)

    assert renew_lease(session, id_of(run), attempt=1, lease=LEASE)
    assert not renew_lease(session, id_of(run), attempt=0, lease=LEASE)
    assert not renew_lease(session, id_of(run), attempt=2, lease=LEASE)


def test_a_run_whose_lease_ran_out_is_lost(session: Session) -> None:
    """Renewing it in time keeps it out of the list."""
    lost = make_run(session, state=RunState.RUNNING, lease_until=utc_now() - timedelta(seconds=1))
    kept = make_run(session, state=RunState.RUNNING, lease_until=utc_now() - timedelta(seconds=1))
    make_run(session)

    renew_lease(session, id_of(kept), attempt=1, lease=LEASE)

    assert [run.id for run in lost_runs(session)] == [lost.id]


def test_runs_start_in_the_order_they_were_made(session: Session) -> None:
    """First in, first out."""
    runs = [make_run(session) for _ in range(3)]
    make_run(session, state=RunState.FINISHED)

    assert queued_run_ids(session) == [run.id for run in runs]


# ── Ended ──────────────────────────────────────────────────────────────────


def test_the_end_of_an_older_attempt_is_not_written(session: Session) -> None:
    """A supervisor that was given up for dead cannot end the run of the one after it."""
    run = make_run(session, state=RunState.RUNNING, attempt=2)

    assert not end_run(session, id_of(run), attempt=1, state=RunState.FAILED, reason=ReasonKind.KILLED)

    session.refresh(run)
    assert (run.state, run.reason) == (RunState.RUNNING, None)


def test_a_run_ends_once(session: Session) -> None:
    """The first end stands, with its reason and the last lines of the log."""
    run = make_run(session, state=RunState.RUNNING)
    reason = ReasonKind.OUT_OF_MEMORY

    first = end_run(session, id_of(run), attempt=1, state=RunState.FAILED, reason=reason, log_tail="the last line")
    second = end_run(session, id_of(run), attempt=1, state=RunState.FINISHED)

    session.refresh(run)
    assert (first, second) == (True, False)
    assert (run.state, run.reason, run.log_tail) == (RunState.FAILED, reason, "the last line")
    assert run.ended_at is not None
    assert run.lease_until is None
    assert states_in_ledger(session, run)[-1] == "failed"


def test_an_end_may_hold_what_no_database_can(session: Session) -> None:
    """A zero byte in a trainer's last words does not keep the run from ending."""
    run = make_run(session, state=RunState.RUNNING)

    ended = end_run(session, id_of(run), attempt=1, state=RunState.FAILED, detail="a\x00b", log_tail="c\x00d")

    session.refresh(run)
    assert ended
    assert "\x00" not in run.reason_detail + run.log_tail


# ── Stopped ────────────────────────────────────────────────────────────────


def test_a_waiting_run_is_cancelled_at_once(session: Session) -> None:
    """No worker will claim it any more."""
    run = make_run(session)

    request_stop(session, id_of(run))

    session.refresh(run)
    assert run.state is RunState.CANCELLED
    assert claim_run(session, id_of(run), worker="w", lease=LEASE) is None


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
            claim_run(work, run_id, worker="w", lease=LEASE)

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
