"""What a sweep has shown: each run in numbers, the checkpoint to keep, the time that is left."""

from collections.abc import Sequence

import pytest
from sqlmodel import Session

from app.domain.models import RunState
from app.domain.sweep_results import SweepResults, results_of
from app.domain.sweeps import runs_of_sweep, sweep_id_of
from tests.sweep_stories import make_sweep, make_told_sweep, tell


def told(session: Session, stages: Sequence[str], *, state: RunState = RunState.FINISHED) -> SweepResults:
    """Return what a sweep over n has shown, with a run for each text of stages."""
    sweep = make_sweep(session, axes={"mix.identity_count": list(range(1, len(stages) + 1))})
    for run, each in zip(runs_of_sweep(session, sweep_id_of(sweep)), stages, strict=True):
        if each:
            tell(session, run, each, state=state)
    return results_of(session, sweep)


def test_each_run_is_told_in_numbers(session: Session) -> None:
    """Its values, where it learns, where it leaks, and how many good checkpoints follow each other."""
    results = results_of(session, make_told_sweep(session))

    found = [(each.first_learnt, each.first_leak, len(each.window), each.advice.iteration) for each in results.runs]
    assert found == [
        (15, 20, 1, 15),
        (20, 35, 3, 25),
        (30, None, 3, 35),
        (5, 5, 0, None),
        (5, 10, 1, 5),
        (15, 25, 2, 15),
    ]
    assert [dict(each.values) for each in results.runs][1] == {"mix.identity_count": 24, "mix.general_count": 20}
    assert results.runs[0].ratio == pytest.approx(4 / 50)
    assert results.runs[0].seconds == pytest.approx(80)


def test_the_widest_window_of_all_is_kept(session: Session) -> None:
    """The checkpoint is the one that is kept of its run, and the reason says why that run."""
    results = told(session, ["ngl", "nggggl", "nnggl"])

    assert results.best is results.runs[1]
    assert results.best.advice.iteration == 15
    assert str(results.reason).startswith("Good at 4 checkpoints in a row, from iteration 10 to 25: the widest")


def test_of_equal_windows_the_first_one_is_kept(session: Session) -> None:
    """Whoever gets there sooner costs less."""
    results = told(session, ["nnnggl", "nggl"])

    assert results.best is results.runs[1]
    assert "gets there first" in str(results.reason)


def test_a_narrow_window_says_so(session: Session) -> None:
    """One good checkpoint of all is kept, with a warning."""
    results = told(session, ["ngl", "llp"])

    assert results.best is results.runs[0]
    assert "the window is narrow" in str(results.reason)


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        (["", ""], "No checkpoint has a verdict yet"),
        (["nnn", "nn"], "No run learns the identity"),
        (["nlp", "pp"], "Every run leaks or forgets"),
        (["nnn", "nlp"], "try values in between"),
    ],
)
def test_where_nothing_is_good_it_says_what_to_change(session: Session, stages: list[str], words: str) -> None:
    """Each way to fail has its own cure."""
    results = told(session, stages)

    assert results.best is None
    assert words in str(results.reason)


def test_the_time_left_is_that_of_the_finished_ones(session: Session) -> None:
    """At their pace, with as many at once as there may be; unknown until one has finished."""
    sweep = make_sweep(session, axes={"mix.identity_count": [1, 2, 3, 4, 5]})
    first = runs_of_sweep(session, sweep_id_of(sweep))[0]
    assert results_of(session, sweep).seconds_left(1) is None

    tell(session, first, "nnggggglll")

    results = results_of(session, sweep)
    assert results.seconds_left(1) == pytest.approx(4 * 200, rel=0.01)
    assert results.seconds_left(2) == pytest.approx(2 * 200, rel=0.01)
