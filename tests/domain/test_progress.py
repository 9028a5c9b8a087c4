"""How far a run is and how long it still takes, in numbers of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.models import Run, RunState
from app.domain.progress import count_planned, planned_around, planned_checkpoints, seconds_until
from tests.factories import make_recipe

COUNTS = st.integers(1, 60)


def running(iterations: int, iteration: int) -> Run:
    return Run(
        name="run",
        model_id=1,
        recipe={},
        state=RunState.RUNNING,
        iterations=iterations,
        iteration=iteration,
        seconds_per_iteration=2.0,
    )


@given(COUNTS, COUNTS, COUNTS)
def test_checkpoints_are_counted_as_they_are_planned(iterations: int, every: int, iteration: int) -> None:
    """The count up to an iteration is that of the plan, the uneven last checkpoint included."""
    iteration = min(iteration, iterations)
    planned = planned_checkpoints(iterations, every)

    assert count_planned(iteration, iterations, every) == sum(end <= iteration for end in planned)


@given(COUNTS, COUNTS, COUNTS, st.integers(1, 9))
def test_what_is_near_is_a_part_of_the_plan(iterations: int, every: int, iteration: int, count: int) -> None:
    """So many checkpoints before an iteration and after it, those that there are."""
    iteration = min(iteration, iterations)
    planned = planned_checkpoints(iterations, every)

    near = planned_around(iteration, iterations, every, count=count)

    before = [end for end in planned if end <= iteration][-count:]
    after = [end for end in planned if end > iteration][:count]
    assert set(before + after) <= set(near) <= set(planned)
    assert near == sorted(near)
    assert len(near) <= 2 * count + 1


@pytest.mark.parametrize(("iteration", "seconds"), [(10, 8.0), (11, 13.0), (20, 37.0)])
def test_answers_in_between_take_their_time(iteration: int, seconds: float) -> None:
    """Every checkpoint that answers before an iteration is trained is counted, and at the end its own."""
    recipe = make_recipe(checkpoints={"every": 5})

    assert seconds_until(running(20, 6), recipe, [3.0], iteration) == seconds


def test_a_million_checkpoints_are_counted_at_once() -> None:
    """The time until one of them is worked out, not counted through."""
    recipe = make_recipe(training={"iterations": 1_000_000}, checkpoints={"every": 1})
    run = running(1_000_000, 0)

    left = [seconds_until(run, recipe, [1.0], iteration) for iteration in range(1, 1_000)]

    assert left[-1] == 999 * 2.0 + 998
