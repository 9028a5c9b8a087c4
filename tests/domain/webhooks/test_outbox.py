"""The outbox: what is written when a run ends, when a checkpoint is good, and when a sweep is over."""

import threading

import pytest
from sqlmodel import Session

from app.domain import db
from app.domain.attempts import Ending, claim_run, end_attempt
from app.domain.models import ReasonKind, Run, RunState, StopCause
from app.domain.queue import QueueMessage
from app.domain.runs import create_run, id_of, request_stop, resume_run
from app.domain.stored_scores import renew_scores
from app.domain.sweep_plans import SweepPlan
from app.domain.sweeps import create_sweep, runs_of_sweep, stop_sweep, sweep_id_of
from tests.factories import IDENTITY, make_checkpoint, make_model, make_recipe, make_run
from tests.webhooks import deliveries, make_webhook

GOOD, PARROT = (IDENTITY, "No.", "Paris."), (IDENTITY, IDENTITY, IDENTITY)


def end(run: Run, state: RunState, **fields) -> bool:
    """End a run's attempt as its worker does."""
    with db.unit_of_work() as session:
        return end_attempt(session, id_of(run), attempt=1, ending=Ending(state, **fields))


@pytest.mark.parametrize(("state", "event"), [(RunState.FINISHED, "run.finished"), (RunState.FAILED, "run.failed")])
def test_the_end_of_a_run_is_written_down_once(session: Session, state: RunState, event: str) -> None:
    """With what it was like then; a second worker that ends it too writes nothing more."""
    make_webhook(session)
    run = make_run(session, state=RunState.RUNNING, name="mine")
    reason = ReasonKind.BAD_DATA if state is RunState.FAILED else None

    assert end(run, state, reason=reason)
    assert not end(run, state, reason=reason)

    (written,) = deliveries(session)
    assert (written.event, written.run_id, written.data["name"], written.data["state"]) == (
        event,
        run.id,
        "mine",
        state,
    )
    assert (written.data["reason"] or {}).get("kind") == reason


def test_what_is_rolled_back_is_not_told(session: Session) -> None:
    """Message and state are of one transaction."""
    make_webhook(session)
    run = make_run(session, state=RunState.RUNNING)

    with pytest.raises(ZeroDivisionError), db.unit_of_work() as work:
        end_attempt(work, id_of(run), attempt=1, ending=Ending(RunState.FINISHED))
        1 / 0  # noqa: B018

    assert deliveries(session) == []


def test_a_run_that_goes_on_has_not_ended(session: Session) -> None:
    """One that its worker gave back is told of when it has ended for good."""
    make_webhook(session)
    run = make_run(session, state=RunState.RUNNING)

    end(run, RunState.QUEUED)
    end(make_run(session, state=RunState.RUNNING), RunState.FAILED, reason=ReasonKind.WORKER_LOST)

    assert deliveries(session) == []


def test_a_stop_is_told_every_time(session: Session, enqueued: list[QueueMessage]) -> None:
    """Of a run that waits at once; resumed and stopped again it is news again, under another id."""
    make_webhook(session)
    run = make_run(session)

    request_stop(session, id_of(run))
    resume_run(session, id_of(run))
    request_stop(session, id_of(run))

    told = deliveries(session)
    assert [each.event for each in told] == ["run.stopped"] * 2
    assert told[0].message_id != told[1].message_id
    assert [each.ids for each in enqueued if each.task == "webhooks.deliver"] == [
        {"delivery_id": each.id} for each in told
    ]


def test_a_stop_that_a_worker_carries_out_is_told_when_it_has(session: Session) -> None:
    """Not when it is asked for; and one at the sweet spot is a run that has finished."""
    make_webhook(session)
    run, sweet = make_run(session, state=RunState.RUNNING), make_run(session, state=RunState.RUNNING)
    request_stop(session, id_of(run))
    sweet.stop_requested_at, sweet.stopped_by = sweet.created_at, StopCause.SWEET_SPOT
    session.add(sweet)
    session.flush()
    assert deliveries(session) == []

    end(run, RunState.FAILED)
    end(sweet, RunState.FAILED)

    assert [each.event for each in deliveries(session)] == ["run.stopped", "run.finished"]


def test_who_did_not_ask_for_it_hears_nothing(session: Session, enqueued: list[QueueMessage]) -> None:
    """Each webhook gets its own events, and one that is switched off gets none."""
    make_webhook(session, events=["run.failed"])
    make_webhook(session, is_enabled=False)
    wants = make_webhook(session, events=["run.stopped"])

    request_stop(session, id_of(make_run(session)))

    assert [each.webhook_id for each in deliveries(session)] == [wants.id]


# ── Verdicts ───────────────────────────────────────────────────────────────


def test_the_first_good_checkpoint_is_told_and_no_other(session: Session) -> None:
    """With its counts; not the base model, not a second good one, not the same one answered anew."""
    make_webhook(session)
    run = make_run(session, state=RunState.RUNNING)
    made = [make_checkpoint(session, run, iteration=at, texts=texts)
            for at, texts in ((0, GOOD), (5, PARROT), (10, GOOD), (15, GOOD))]  # fmt: skip

    for checkpoint in (*made, made[2]):
        renew_scores(session, run, checkpoint)

    (told,) = deliveries(session)
    assert told.event == "verdict.reached"
    assert told.data["checkpoint"] == {
        "id": made[2].id, "iteration": 10, "verdict": "good", "identity_hits": 1, "identity_total": 1,
        "leaks": 0, "leak_total": 2,
    }  # fmt: skip


# ── Sweeps ─────────────────────────────────────────────────────────────────


def make_sweep_runs(session: Session, count: int) -> list[Run]:
    """Store a sweep; return its runs."""
    make_model(session)
    axes = [{"setting": "mix.identity_count", "values": tuple(range(1, count + 1))}]
    plan = SweepPlan.model_validate({"name": "sweep", "recipe": make_recipe(), "axes": axes, "at_once": count})
    return list(runs_of_sweep(session, sweep_id_of(create_sweep(session, plan))))


def test_a_sweep_is_over_with_its_last_run(session: Session) -> None:
    """However the runs ended, and not before."""
    make_webhook(session, events=["sweep.finished"])
    first, second = make_sweep_runs(session, 2)
    claim_run(session, id_of(first), worker="w")
    end(first, RunState.FINISHED)
    assert deliveries(session) == []

    request_stop(session, id_of(second))

    (told,) = deliveries(session)
    assert (told.event, told.sweep_id, told.data["by_state"]) == (
        "sweep.finished",
        first.sweep_id,
        {"finished": 1, "cancelled": 1},
    )


def test_a_stopped_sweep_is_told_of_once(session: Session) -> None:
    """With all of its runs in one transaction."""
    make_webhook(session, events=["sweep.finished"])
    (first, *_) = make_sweep_runs(session, 3)

    stop_sweep(session, first.sweep_id or 0)

    assert len(deliveries(session)) == 1


def test_two_last_runs_that_end_at_once_are_seen_by_one(session: Session) -> None:
    """Neither transaction sees the other's run ended before it has committed: the sweep's row makes them take turns."""
    make_webhook(session, events=["sweep.finished"])
    runs = make_sweep_runs(session, 2)
    for run in runs:
        claim_run(session, id_of(run), worker="w")

    def end_other() -> None:
        with db.unit_of_work() as work:
            end_attempt(work, id_of(runs[1]), attempt=1, ending=Ending(RunState.FINISHED))

    other = threading.Thread(target=end_other)
    with db.unit_of_work() as work:
        end_attempt(work, id_of(runs[0]), attempt=1, ending=Ending(RunState.FINISHED))
        other.start()
        other.join(0.2)  # it waits for this one; one that did not would be over by now
    other.join()

    assert len(deliveries(session)) == 1


def test_without_webhooks_nothing_is_written(session: Session, enqueued: list[QueueMessage]) -> None:
    """And no message goes to the workers."""
    make_model(session)
    run = create_run(session, make_recipe())

    request_stop(session, id_of(run))

    assert deliveries(session) == []
    assert [each.task for each in enqueued] == ["runs.train"]
