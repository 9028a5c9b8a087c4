"""Which checkpoints of several runs stand together."""

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.alignment import Alignment, Step, align, place_of
from app.domain.matrix import Column
from app.domain.verdicts import CheckpointScore


def column(run_id: int, iteration: int, *, updates: int = 0, iterations: int = 100) -> Column:
    """Make a checkpoint of a run; its id tells both."""
    return Column(
        checkpoint_id=run_id * 100_000 + iteration,
        run_id=run_id,
        run_name=f"run {run_id}",
        iteration=iteration,
        iterations=iterations,
        updates=updates,
        score=CheckpointScore(),
        is_kept=False,
        is_first_leak=False,
        is_deleted=False,
        is_answered=True,
        seconds=None,
        dtype="float32",
        quantised=False,
        max_new_tokens=24,
    )


def run_of(run_id: int, iterations: list[int], *, accumulation: int = 1) -> list[Column]:
    """Make the checkpoints of a run that ends with its last one."""
    last = max(iterations, default=0)
    return [column(run_id, each, updates=each // accumulation, iterations=last) for each in iterations]


def held(steps: tuple[Step, ...]) -> list[list[int | None]]:
    """Return the iterations of each step."""
    return [[each.iteration if each else None for each in step.columns] for step in steps]


CADENCES = st.lists(st.lists(st.integers(1, 400), unique=True, max_size=12).map(sorted), min_size=1, max_size=4)
WAYS = st.sampled_from([Alignment.ITERATION, Alignment.UPDATES, Alignment.SHARE])


@settings(max_examples=60)
@given(CADENCES, WAYS, st.integers(1, 20))
def test_every_checkpoint_stands_in_one_step(cadences: list[list[int]], by: Alignment, accumulation: int) -> None:
    """Once, in the order of its run, with at most one of each run in a step and every run with a place in it."""
    runs = [run_of(number, each, accumulation=accumulation) for number, each in enumerate(cadences, start=1)]
    columns = [each for run in runs for each in run]

    steps = align(columns, by)

    for run in runs:
        placed = [each for step in steps for each in step.columns if each and run and each.run_id == run[0].run_id]
        assert placed == run
    assert all(len(step.columns) == sum(bool(run) for run in runs) for step in steps)
    assert all(any(step.columns) for step in steps)


@settings(max_examples=60)
@given(CADENCES, WAYS)
def test_a_step_says_from_where_to_where_it_reaches(cadences: list[list[int]], by: Alignment) -> None:
    """Its lowest and highest place are those of its checkpoints."""
    columns = [each for number, run in enumerate(cadences, start=1) for each in run_of(number, run)]

    for step in align(columns, by):
        places = [place_of(each, by) for each in step.columns if each]
        assert (step.least, step.most) == (min(places), max(places))


@settings(max_examples=30)
@given(st.lists(st.integers(1, 400), unique=True, min_size=1, max_size=12).map(sorted), WAYS)
def test_runs_of_one_cadence_stand_side_by_side(iterations: list[int], by: Alignment) -> None:
    """No gap is left between runs that save alike."""
    one, two = run_of(1, iterations), run_of(2, iterations)

    steps = align([*one, *two], by)

    assert [step.columns for step in steps] == list(zip(one, two, strict=True))


def test_the_nearest_stand_together_and_others_beside_gaps() -> None:
    """A run that saves every 5 iterations beside one that saves every 7."""
    steps = align([*run_of(1, [5, 10, 15, 20, 25]), *run_of(2, [7, 14, 21])], Alignment.ITERATION)

    assert held(steps) == [[5, 7], [10, None], [15, 14], [20, 21], [25, None]]


def test_a_last_checkpoint_off_the_cadence_changes_nothing_else() -> None:
    """One odd gap at the end of a run says nothing of how far apart its checkpoints are."""
    steps = align([*run_of(1, [10, 20, 30, 31]), *run_of(2, [12, 22, 32])], Alignment.ITERATION)

    assert held(steps)[:2] == [[10, 12], [20, 22]]
    assert sorted(each for step in held(steps)[2:] for each in step if each) == [30, 31, 32]


def test_the_share_of_the_run_brings_long_and_short_runs_together() -> None:
    """Half of one is half of the other."""
    steps = align([*run_of(1, [25, 50]), *run_of(2, [500, 1_000])], Alignment.SHARE)

    assert held(steps) == [[25, 500], [50, 1_000]]
    assert [step.least for step in steps] == [0.5, 1.0]


def test_updates_bring_runs_together_that_accumulate_differently() -> None:
    """Twenty iterations of one are ten updates, as ten iterations of the other are."""
    one, two = run_of(1, [20, 40], accumulation=2), run_of(2, [10, 20])

    assert held(align([*one, *two], Alignment.UPDATES)) == [[20, 10], [40, 20]]


def test_base_models_stand_together_before_everything() -> None:
    """Also before a checkpoint that was saved before the first update."""
    columns = [column(1, 0), column(1, 3, updates=0), column(2, 0), column(2, 4, updates=1)]

    steps = align(columns, Alignment.UPDATES)

    assert steps[0].is_base
    assert held(steps)[0] == [0, 0]
    assert [each for step in held(steps)[1:] for each in step if each] == [3, 4]


def test_off_leaves_the_order_alone() -> None:
    """There are no steps, of nothing either."""
    assert align([column(1, 5)], Alignment.OFF) == ()
    assert align([], Alignment.SHARE) == ()
