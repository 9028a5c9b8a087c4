"""Sweeps: created whole or not at all, limited, taking turns with other runs, stopped."""

import threading
from typing import Any

import pytest
from sqlmodel import Session, select

from app.domain import db
from app.domain.attempts import Ending, claim_next, claim_run, end_attempt
from app.domain.errors import ConflictError, InvalidError, NotFoundError
from app.domain.models import Run, RunState, StopCause, Sweep
from app.domain.queue import QueueMessage
from app.domain.runs import id_of
from app.domain.sweep_plans import SweepPlan
from app.domain.sweeps import (
    change_at_once,
    create_sweep,
    get_sweep,
    list_sweeps,
    plan_of,
    progress_of,
    runs_of_sweep,
    stop_sweep,
    sweep_id_of,
)
from app.domain.waiting import place_of, startable_run_ids, waiting_run_ids
from tests.factories import make_model, make_recipe, make_run


def make_plan(*, values: tuple[int, ...] = (1, 2, 3), **fields: Any) -> SweepPlan:
    """Return a plan that varies n."""
    defaults = {"name": "how much?", "recipe": make_recipe()}
    axes = [{"setting": "mix.identity_count", "values": values}]
    return SweepPlan.model_validate({**defaults, "axes": axes, **fields})


def make_sweep(session: Session, *, values: tuple[int, ...] = (1, 2, 3), **fields: Any) -> Sweep:
    """Store a sweep of n with its runs."""
    make_model(session)
    return create_sweep(session, make_plan(values=values, **fields))


def test_a_sweep_is_stored_with_its_runs(session: Session, enqueued: list[QueueMessage]) -> None:
    """In the order of its values, each handed to the workers; what it was started with can be read back."""
    sweep = make_sweep(session, values=(24, 150), at_once=2)

    runs = runs_of_sweep(session, sweep_id_of(sweep))
    assert [run.recipe["mix"]["identity_count"] for run in runs] == [24, 150]
    assert [message.ids["run_id"] for message in enqueued] == [run.id for run in runs]
    assert plan_of(get_sweep(session, sweep_id_of(sweep))) == make_plan(values=(24, 150), at_once=2)


def test_the_same_request_makes_one_sweep(session: Session) -> None:
    """The second one is answered with the first one's."""
    make_model(session)
    made = []

    for _ in range(2):
        with db.unit_of_work() as work:
            made.append(create_sweep(work, make_plan(), request_key="k").id)

    assert made[0] == made[1]
    assert len(session.exec(select(Run)).all()) == 3


@pytest.mark.usefixtures("session")
def test_what_cannot_be_trained_leaves_nothing_behind() -> None:
    """A model that is not there is named at its field, and neither sweep nor run is stored."""
    with pytest.raises(InvalidError) as failure, db.unit_of_work() as work:
        create_sweep(work, make_plan(), request_key="k")

    assert [problem.field for problem in failure.value.fields] == ["recipe.model"]
    with db.reading() as session:
        assert session.exec(select(Sweep)).all() == []


def test_no_more_than_the_limit_are_startable(session: Session) -> None:
    """What is beyond is passed over, and others start meanwhile."""
    runs = runs_of_sweep(session, sweep_id_of(make_sweep(session, at_once=2)))
    other = make_run(session)

    claimed = [claim_next(session, worker="w") for _ in range(4)]

    assert [each.run_id if each else None for each in claimed] == [runs[0].id, runs[1].id, other.id, None]
    place = place_of(session, runs[2])
    assert place is not None
    assert place.behind == runs[0]


def test_a_claim_holds_the_limit_whatever_it_was_told(session: Session) -> None:
    """A worker that looked before another claimed gets nothing; once a run has ended it does."""
    first, second, _ = runs_of_sweep(session, sweep_id_of(make_sweep(session)))
    assert list(startable_run_ids(session))[:2] == [first.id, second.id]

    attempt = claim_run(session, id_of(first), worker="a")

    assert attempt is not None
    assert claim_run(session, id_of(second), worker="b") is None
    end_attempt(session, id_of(first), attempt=attempt.number, ending=Ending(RunState.FINISHED))
    assert claim_run(session, id_of(second), worker="b") is not None


def test_two_workers_at_once_do_not_pass_the_limit(session: Session) -> None:
    """Both have looked, and both claim while the other has not committed."""
    runs = runs_of_sweep(session, sweep_id_of(make_sweep(session, values=(1, 2, 3, 4), at_once=1)))
    session.commit()
    barrier, claimed = threading.Barrier(len(runs)), []

    def claim(run_id: int) -> None:
        barrier.wait(10)
        with db.unit_of_work() as work:
            claimed.append(claim_run(work, run_id, worker="w"))

    threads = [threading.Thread(target=claim, args=(id_of(run),)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sum(attempt is not None for attempt in claimed) == 1
    assert len(claimed) == 4


def test_the_limit_can_be_raised_while_it_runs(session: Session, enqueued: list[QueueMessage]) -> None:
    """The workers are told, and more runs start."""
    sweep_id = sweep_id_of(make_sweep(session))
    claim_next(session, worker="w")
    enqueued.clear()

    change_at_once(session, sweep_id, at_once=2)

    assert len(enqueued) == 2
    assert claim_next(session, worker="w") is not None
    assert claim_next(session, worker="w") is None
    with pytest.raises(InvalidError):
        change_at_once(session, sweep_id, at_once=0)


def test_a_sweep_takes_turns_with_what_comes_after_it(session: Session) -> None:
    """Another's run waits for one round of the sweep, not for all of it; and the sweep is not starved either."""
    sweep = runs_of_sweep(session, sweep_id_of(make_sweep(session, values=(1, 2, 3, 4))))
    others = [make_run(session) for _ in range(2)]

    order = list(waiting_run_ids(session))

    assert order == [run.id for run in (sweep[0], others[0], sweep[1], others[1], sweep[2], sweep[3])]
    claim_next(session, worker="w")
    claim_next(session, worker="w")
    late = make_run(session)
    assert list(waiting_run_ids(session))[:4] == [sweep[1].id, others[1].id, sweep[2].id, late.id]


def test_two_sweeps_take_turns(session: Session) -> None:
    """The first of the second one starts after one round of the first one."""
    first = runs_of_sweep(session, sweep_id_of(make_sweep(session)))
    second = runs_of_sweep(session, sweep_id_of(make_sweep(session)))

    order = list(waiting_run_ids(session))

    assert order == [run.id for pair in zip(first, second, strict=True) for run in pair]


def test_stopping_a_sweep_stops_what_waits_and_what_trains(session: Session) -> None:
    """What has ended stays as it is, and nothing is startable any more; a second time there is nothing to stop."""
    sweep_id = sweep_id_of(make_sweep(session))
    attempt = claim_next(session, worker="w")
    assert attempt is not None
    end_attempt(session, attempt.run_id, attempt=attempt.number, ending=Ending(RunState.FINISHED))
    trains = claim_next(session, worker="w")
    assert trains is not None

    stop_sweep(session, sweep_id)

    session.expire_all()
    states = [run.state for run in runs_of_sweep(session, sweep_id)]
    assert states == [RunState.FINISHED, RunState.RUNNING, RunState.CANCELLED]
    assert session.get_one(Run, trains.run_id).stop_requested_at is not None
    assert list(startable_run_ids(session)) == []
    end_attempt(session, trains.run_id, attempt=trains.number, ending=Ending(RunState.CANCELLED))
    with pytest.raises(ConflictError, match="already ended"):
        stop_sweep(session, sweep_id)


def test_a_list_counts_what_each_sweep_has_done(session: Session) -> None:
    """The newest first, each with its own runs by state, and how many had become parrots."""
    first, second = make_sweep(session, values=(1, 2)), make_sweep(session, values=(3, 4, 5))
    run = runs_of_sweep(session, sweep_id_of(first))[0]
    run.state, run.stopped_by = RunState.CANCELLED, StopCause.PARROT
    session.add(run)
    session.commit()

    found = list_sweeps(session, limit=5)

    assert [sweep.id for sweep, _ in found.sweeps] == [second.id, first.id]
    assert found.total == 2
    progress = progress_of(session, [sweep_id_of(first)])[sweep_id_of(first)]
    assert (progress.total, progress.ended, progress.parrots, progress.is_live) == (2, 1, 1, True)


def test_a_sweep_that_is_not_there_is_named(session: Session) -> None:
    """Whatever is asked of it."""
    with pytest.raises(NotFoundError, match="no sweep 9"):
        get_sweep(session, 9)
