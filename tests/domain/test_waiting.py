"""The queue: in which order runs start, who is passed over, and who was moved."""

from datetime import timedelta

import pytest
from sqlmodel import Session

from app.domain.attempts import claim_next
from app.domain.columns import utc_now
from app.domain.errors import ConflictError
from app.domain.models import RunState
from app.domain.runs import id_of
from app.domain.waiting import move_in_queue, place_of, startable_run_ids, waiting_run_ids
from tests.factories import make_run


def order(session: Session) -> list[int]:
    """Return the ids of the queue, the first one first."""
    session.expire_all()
    return list(waiting_run_ids(session))


def test_runs_start_in_the_order_they_were_made(session: Session) -> None:
    """First in, first out, whatever message comes first."""
    runs = [make_run(session) for _ in range(3)]
    make_run(session, state=RunState.FINISHED)

    claimed = [claim_next(session, worker="w") for _ in range(4)]

    assert [each.run_id if each else None for each in claimed] == [*(run.id for run in runs), None]


@pytest.mark.parametrize(("place", "expected"), [(1, "cab"), (2, "acb"), (3, "abc"), (9, "abc")])
def test_a_waiting_run_is_moved(session: Session, place: int, expected: str) -> None:
    """The others keep their order."""
    runs = {name: make_run(session, name=name) for name in "abc"}

    move_in_queue(session, id_of(runs["c"]), place=place)
    session.commit()

    assert order(session) == [runs[name].id for name in expected]
    stands = place_of(session, runs["c"])
    assert stands is not None
    assert (stands.number, stands.waiting) == (min(place, 3), 3)


def test_moving_holds_where_ranks_are_equal(session: Session) -> None:
    """Two requests at once may give two runs the same rank; the next move parts them."""
    first, second, third = (make_run(session, rank=5) for _ in range(3))

    move_in_queue(session, id_of(third), place=1)
    session.commit()

    assert order(session) == [third.id, first.id, second.id]


def test_only_a_waiting_run_is_moved(session: Session) -> None:
    """One that trains has no place."""
    run = make_run(session, state=RunState.RUNNING)

    with pytest.raises(ConflictError, match="does not wait"):
        move_in_queue(session, id_of(run), place=1)


@pytest.mark.parametrize("state", RunState)
def test_a_run_waits_for_the_one_before_it(session: Session, state: RunState) -> None:
    """It starts once the other has ended, in whatever way; others pass it meanwhile."""
    other = make_run(session, state=state)
    third = make_run(session)
    run = make_run(session, after_run_id=other.id)

    startable = list(startable_run_ids(session))

    assert (run.id in startable) is state.is_final
    assert third.id in startable
    stands = place_of(session, run)
    assert stands is not None
    assert state.is_final or stands.behind == other


@pytest.mark.parametrize(
    ("seconds", "may_start"),
    [(-1, True), (30, False), (2 * 60 * 60, True)],
    ids=["over", "not yet", "the clock has jumped"],
)
def test_a_run_that_is_tried_again_waits_its_time(session: Session, seconds: int, may_start: bool) -> None:
    """A time that no delay reaches was written by a clock that jumped."""
    run = make_run(session, not_before=utc_now() + timedelta(seconds=seconds))

    assert (run.id in startable_run_ids(session)) is may_start


def test_a_run_says_what_it_waits_for(session: Session) -> None:
    """The one before it in the queue, or the one that trains."""
    training = make_run(session, state=RunState.RUNNING)
    first, second = make_run(session), make_run(session)

    found = [place_of(session, each) for each in (training, first, second)]

    assert [place and place.behind for place in found] == [None, training, first]
