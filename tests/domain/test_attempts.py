"""A worker's hold on a run: claimed once, fenced, given back, tried again, ended once."""

from threading import Barrier, Thread

import pytest
from sqlmodel import Session, col, select

from app.domain import db
from app.domain.attempts import (
    MOST_RESTARTS,
    Ending,
    claim_next,
    claim_run,
    claimed_runs,
    end_attempt,
    outcomes,
    renew_claim,
)
from app.domain.columns import utc_now
from app.domain.models import Attempt, Event, ReasonKind, Run, RunState
from app.domain.queue import QueueMessage
from app.domain.runs import get_run, id_of, request_stop, resume_run
from tests.factories import attempt_of, make_run

LOST = Ending(RunState.FAILED, ReasonKind.WORKER_LOST)


def states_in_ledger(session: Session, run: Run) -> list[str]:
    """Return the states that a run's watchers were told of, in order."""
    statement = select(Event).where(Event.run_id == run.id, Event.kind == "state").order_by(col(Event.id))
    return [event.data["state"] for event in session.exec(statement)]


# ── Claimed ────────────────────────────────────────────────────────────────


def test_of_many_claimers_one_wins(session: Session) -> None:
    """A message that was delivered five times trains the run once."""
    run_id = id_of(make_run(session))
    together, attempts = Barrier(5), list[Attempt | None]()

    def claim(worker: str) -> None:
        together.wait()
        with db.unit_of_work() as work:
            attempts.append(claim_run(work, run_id, worker=worker))

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

    assert claim_run(session, id_of(run), worker="late") is None

    session.refresh(run)
    assert (run.state, run.attempt) == (state, 1)


def test_a_claim_tells_whoever_watches(session: Session) -> None:
    """The ledger holds each state once."""
    run = make_run(session)

    claim_run(session, id_of(run), worker="w")

    assert states_in_ledger(session, run) == ["queued", "running"]


def test_a_lease_is_kept_by_its_own_attempt_only(session: Session) -> None:
    """A worker that was away too long learns that the run is no longer its own."""
    run = make_run(session, state=RunState.RUNNING)

    assert renew_claim(session, id_of(run), attempt=1)
    assert not renew_claim(session, id_of(run), attempt=0)
    assert not renew_claim(session, id_of(run), attempt=2)


# ── Ended ──────────────────────────────────────────────────────────────────


def test_the_end_of_an_older_attempt_is_not_written(session: Session) -> None:
    """A supervisor that was given up for dead cannot end the run of the one after it."""
    run = make_run(session, state=RunState.RUNNING, attempt=2)

    assert not end_attempt(session, id_of(run), attempt=1, ending=Ending(RunState.FAILED, reason=ReasonKind.KILLED))

    session.refresh(run)
    assert (run.state, run.reason) == (RunState.RUNNING, None)


def test_a_run_ends_once(session: Session) -> None:
    """The first end stands, with its reason and the last lines of the log."""
    run = make_run(session, state=RunState.RUNNING)
    reason = ReasonKind.OUT_OF_MEMORY

    first = end_attempt(
        session, id_of(run), attempt=1, ending=Ending(RunState.FAILED, reason=reason, log_tail="the last line")
    )
    second = end_attempt(session, id_of(run), attempt=1, ending=Ending(RunState.FINISHED))

    session.refresh(run)
    assert (first, second) == (True, False)
    assert (run.state, run.reason, run.log_tail) == (RunState.FAILED, reason, "the last line")
    assert run.ended_at is not None
    assert run.renewed_at is None
    assert states_in_ledger(session, run)[-1] == "failed"


def test_an_end_may_hold_what_no_database_can(session: Session) -> None:
    """A zero byte in a trainer's last words does not keep the run from ending."""
    run = make_run(session, state=RunState.RUNNING)

    ended = end_attempt(
        session, id_of(run), attempt=1, ending=Ending(RunState.FAILED, detail="a\x00b", log_tail="c\x00d")
    )

    session.refresh(run)
    assert ended
    assert "\x00" not in run.reason_detail + run.log_tail


# ── Given back ─────────────────────────────────────────────────────────────


def test_a_lost_run_is_tried_again_after_a_while(session: Session, enqueued: list[QueueMessage]) -> None:
    """It waits again in its old place, and the attempt says what became of it."""
    run = make_run(session, state=RunState.RUNNING)

    assert end_attempt(session, id_of(run), attempt=1, ending=LOST)

    session.refresh(run)
    assert (run.state, run.restarts, run.reason) == (RunState.QUEUED, 1, None)
    assert run.not_before is not None
    assert run.not_before > utc_now()
    assert attempt_of(session, run).reason is ReasonKind.WORKER_LOST
    assert enqueued == [QueueMessage("runs.train", {"run_id": id_of(run)})]


def test_waiting_grows_with_each_try(session: Session) -> None:
    """Two seconds, four, eight."""
    delays = []
    for restarts in range(MOST_RESTARTS):
        run = make_run(session, state=RunState.RUNNING, restarts=restarts)
        end_attempt(session, id_of(run), attempt=1, ending=LOST)
        session.refresh(run)
        assert run.not_before is not None
        delays.append(round((run.not_before - utc_now()).total_seconds()))

    assert delays == [2, 4, 8]


def test_a_run_that_is_lost_too_often_fails(session: Session) -> None:
    """What fails so often in a row fails again; the reason is the last one."""
    run = make_run(session, state=RunState.RUNNING, restarts=MOST_RESTARTS)

    end_attempt(session, id_of(run), attempt=1, ending=LOST)

    session.refresh(run)
    assert (run.state, run.reason) == (RunState.FAILED, ReasonKind.WORKER_LOST)


@pytest.mark.parametrize("reason", [ReasonKind.BAD_DATA, ReasonKind.OUT_OF_MEMORY, ReasonKind.CRASHED])
def test_what_lies_in_the_run_is_not_tried_again(session: Session, reason: ReasonKind) -> None:
    """It would fail in the same way."""
    run = make_run(session, state=RunState.RUNNING)

    end_attempt(session, id_of(run), attempt=1, ending=Ending(RunState.FAILED, reason))

    session.refresh(run)
    assert (run.state, run.reason) == (RunState.FAILED, reason)


def test_a_run_that_is_given_back_waits_for_nothing(session: Session) -> None:
    """A worker that leaves costs the run no try."""
    run = make_run(session, state=RunState.RUNNING)

    end_attempt(session, id_of(run), attempt=1, ending=Ending(RunState.QUEUED))

    session.refresh(run)
    assert (run.state, run.restarts, run.not_before) == (RunState.QUEUED, 0, None)
    assert claim_next(session, worker="other") is not None


@pytest.mark.parametrize("ending", [LOST, Ending(RunState.QUEUED), Ending(RunState.FAILED, ReasonKind.CRASHED)])
def test_a_run_that_was_to_stop_is_cancelled_however_it_ends(session: Session, ending: Ending) -> None:
    """Nobody wants it tried again."""
    run = make_run(session, state=RunState.RUNNING)
    request_stop(session, id_of(run))

    end_attempt(session, id_of(run), attempt=1, ending=ending)

    session.refresh(run)
    assert (run.state, run.reason) == (RunState.CANCELLED, None)


def test_a_claim_that_was_renewed_after_all_is_not_lost(session: Session) -> None:
    """Between the look and the act the worker came back."""
    run = make_run(session, state=RunState.RUNNING)
    seen = run.renewed_at
    renew_claim(session, id_of(run), attempt=1)

    assert not end_attempt(session, id_of(run), attempt=1, ending=LOST, unless_renewed_since=seen)

    assert [each.id for each, _ in claimed_runs(session)] == [run.id]


def test_the_next_attempt_has_the_next_number(session: Session) -> None:
    """Whoever still writes with the old one writes nothing."""
    run = make_run(session, state=RunState.RUNNING)
    end_attempt(session, id_of(run), attempt=1, ending=Ending(RunState.QUEUED))

    attempt = claim_next(session, worker="other")

    assert attempt is not None
    assert attempt.number == 2
    assert not renew_claim(session, id_of(run), attempt=1)
    assert not end_attempt(session, id_of(run), attempt=1, ending=Ending(RunState.FINISHED))


def test_what_became_of_each_attempt_is_known(session: Session) -> None:
    """One gave its run back, one was stopped by a person, one is at work; what the run did later changes nothing."""
    run_id = id_of(make_run(session))

    claim_run(session, run_id, worker="one")
    end_attempt(session, run_id, attempt=1, ending=Ending(RunState.QUEUED))
    claim_run(session, run_id, worker="two")
    request_stop(session, run_id)
    end_attempt(session, run_id, attempt=2, ending=Ending(RunState.QUEUED))
    resume_run(session, run_id)
    request_stop(session, run_id)
    resume_run(session, run_id)
    claim_run(session, run_id, worker="three")

    assert outcomes(session, run_id) == {1: RunState.QUEUED, 2: RunState.CANCELLED}
