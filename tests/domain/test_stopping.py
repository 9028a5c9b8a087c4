"""When a run is stopped by what its checkpoints answer: pure rules first, then what is stored."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, select

from app.domain.models import Event, Run, RunState, StopCause, Sweep
from app.domain.recipes import Recipe, Stopping
from app.domain.runs import id_of, record_state
from app.domain.stop_requests import ask_to_stop
from app.domain.stopping import PARROTS, iterations_of_stop, parrots, stop_reason, stop_where_told, sweet_spot
from app.domain.verdicts import CheckpointScore, CheckpointVerdict, Verdict
from tests.factories import IDENTITY, make_checkpoint, make_recipe, make_run

GOOD, BASE, PARROT = (IDENTITY, "No.", "Paris."), ("A model.", "No.", "Paris."), (IDENTITY, IDENTITY, IDENTITY)
RULED = {"at_sweet_spot": True}
VERDICTS = st.lists(st.sampled_from([None, *Verdict]), max_size=12)


def told(hits: int, leaks: int, verdict: Verdict | None = None) -> CheckpointScore:
    """Return a score of two identity probes and four open ones."""
    return CheckpointScore(hits, 2, leaks, 4, verdict=verdict, answered=6)


def judged(scores: Sequence[CheckpointScore]) -> list[CheckpointVerdict]:
    """Place scores five iterations apart, after a base model that nothing may count."""
    base = CheckpointVerdict(1, 0, told(2, 0))
    return [base, *(CheckpointVerdict(at + 2, 5 * (at + 1), score) for at, score in enumerate(scores))]


@pytest.mark.parametrize(
    ("scores", "rule", "found"),
    [
        ([(2, 0), (2, 0), (2, 0)], {}, (5, 10)),
        ([(2, 0), (1, 0), (2, 0), (2, 0)], {}, (15, 20)),
        ([(2, 0), (2, 1), (2, 0)], {}, ()),
        ([(2, 1), (2, 1)], {"leak": 0.25}, (5, 10)),
        ([(1, 0), (1, 0)], {"identity": 0.5}, (5, 10)),
        ([(0, 0), (2, 0)], {"checkpoints": 1}, (10,)),
        ([], {}, ()),
    ],
)
def test_the_sweet_spot_is_the_first_so_many_in_a_row(
    scores: list[tuple[int, int]], rule: dict[str, float], found: tuple[int, ...]
) -> None:
    """Shares at the bounds count; a checkpoint that is not so begins the row anew."""
    assert sweet_spot(Stopping(**RULED, **rule), judged([told(*each) for each in scores])) == found


def test_who_forgot_what_was_known_is_no_sweet_spot() -> None:
    """Its identity is whole and nothing leaks, and it is a parrot all the same."""
    assert sweet_spot(Stopping(**RULED), judged([told(2, 0, Verdict.PARROT)] * 3)) == ()


def test_without_a_probe_that_could_tell_nothing_is_sweet() -> None:
    """No identity probe was answered, or none is open: a leak could not have been seen."""
    blind = CheckpointScore(0, 0, 0, 4, answered=6)
    closed = CheckpointScore(2, 2, 0, 0, answered=6)

    assert sweet_spot(Stopping(**RULED, identity=0), judged([blind] * 3)) == ()
    assert sweet_spot(Stopping(**RULED), judged([closed] * 2)) == ()


@given(VERDICTS)
def test_a_parrot_is_one_twice_in_a_row(verdicts: list[Verdict | None]) -> None:
    """The first two, and none where no two stand together."""
    places = [at for at in range(1, len(verdicts)) if verdicts[at - 1] is verdicts[at] is Verdict.PARROT]

    found = parrots(judged([told(2, 4, verdict) for verdict in verdicts]))

    assert found == ((5 * places[0], 5 * places[0] + 5) if places else ())
    assert len(found) in {0, PARROTS}


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=10), st.integers(1, 4))
def test_more_checkpoints_never_move_what_was_found(scores: list[tuple[int, int]], count: int) -> None:
    """However late answers are stored, and in how many pieces, the run is stopped for the same ones."""
    rule = Stopping(**RULED, checkpoints=count, leak=0.25)
    rows = judged([told(*each) for each in scores])

    found = [sweet_spot(rule, rows[:end]) for end in range(len(rows) + 1)]

    assert len({each for each in found if each}) <= 1
    assert found[-1] == next((each for each in found if each), ())


# ── Stored ─────────────────────────────────────────────────────────────────


def make_answered(session: Session, *texts: Sequence[str], recipe: Recipe | None = None, **fields: Any) -> Run:
    """Store a run that trains, with a base model and what each checkpoint said."""
    recipe = recipe or make_recipe(stopping=RULED, training={"iterations": 50})
    run = make_run(session, state=RunState.RUNNING, recipe=recipe, iterations=50, **fields)
    for place, said in enumerate((BASE, *texts)):
        answer(session, run, 5 * place, said)
    return run


def answer(session: Session, run: Run, iteration: int, texts: Sequence[str]) -> None:
    """Store a checkpoint's answers and the ledger's line of them."""
    make_checkpoint(session, run, iteration=iteration, texts=texts)
    session.add(Event(run_id=id_of(run), attempt=run.attempt, kind="answers", iteration=iteration, data={}))
    session.commit()


def look(session: Session, run: Run, *answered: int) -> tuple[StopCause | None, tuple[int, ...]]:
    """Let the rules look; return what stopped the run and for which checkpoints."""
    stop_where_told(session, run, answered=answered)
    session.commit()
    session.refresh(run)
    return run.stopped_by, iterations_of_stop(session, run)


def test_a_run_is_asked_to_stop_once(session: Session) -> None:
    """The same answers told again change nothing, and the ledger has one line."""
    run = make_answered(session, GOOD, GOOD)

    assert look(session, run, 10) == (StopCause.SWEET_SPOT, (5, 10))
    asked_at = run.stop_requested_at
    assert look(session, run, 10) == (StopCause.SWEET_SPOT, (5, 10))

    assert run.stop_requested_at == asked_at
    assert len(session.exec(select(Event).where(Event.kind == "stop")).all()) == 1


def test_answers_that_come_late_and_at_once_stop_it_too(session: Session) -> None:
    """Three checkpoints in one read: the first two were the sweet spot, and the third has left it."""
    run = make_answered(session, GOOD, GOOD, PARROT)

    assert look(session, run, 5, 10, 15) == (StopCause.SWEET_SPOT, (5, 10))


def test_a_person_s_stop_stays_that_person_s(session: Session) -> None:
    """Whoever asked first is the cause."""
    run = make_answered(session, GOOD, GOOD)
    ask_to_stop(session, id_of(run), cause=StopCause.PERSON, keep=True)

    assert look(session, run, 10) == (StopCause.PERSON, ())
    assert run.stop_keeps


def test_a_rule_that_is_off_stops_nothing(session: Session) -> None:
    """Nor does a sweep that lets parrots be."""
    sweep = Sweep(name="s", recipe={}, axes=[], stops_parrots=False)
    session.add(sweep)
    session.commit()
    recipe = make_recipe(training={"iterations": 50})

    assert look(session, make_answered(session, GOOD, GOOD, recipe=recipe), 10) == (None, ())
    assert look(session, make_answered(session, PARROT, PARROT, recipe=recipe, sweep_id=sweep.id), 10) == (None, ())


def test_what_was_a_parrot_before_it_was_resumed_does_not_count(session: Session) -> None:
    """It is stopped again when it is one at two checkpoints more."""
    sweep = Sweep(name="s", recipe={}, axes=[])
    session.add(sweep)
    session.commit()
    run = make_answered(session, PARROT, PARROT, sweep_id=sweep.id)
    for state in (RunState.CANCELLED, RunState.RUNNING):  # stopped, and resumed by a person
        run.state = state
        record_state(session, run)

    answer(session, run, 15, PARROT)
    assert look(session, run, 15) == (None, ())
    answer(session, run, 20, PARROT)
    assert look(session, run, 20) == (StopCause.PARROT, (15, 20))


@pytest.mark.parametrize(
    ("cause", "iterations", "words"),
    [
        (StopCause.SWEET_SPOT, (5, 10), "Identity 2/2, leak 1/4 at iterations 5 and 10."),
        (StopCause.SWEET_SPOT, (10,), "Identity 2/2, leak 1/4 at iteration 10."),
        (
            StopCause.SWEET_SPOT,
            (5, 10, 15),
            "Identity 2/2, leak 1/4 at 3 checkpoints in a row, from iteration 5 to 15.",
        ),
        (StopCause.PARROT, (5, 10), "Its sweep stops parrots, and it was one at iterations 5 and 10."),
        (StopCause.SWEET_SPOT, (), "Its rule was met."),
        (StopCause.PERSON, (), "None"),
    ],
)
def test_a_stop_is_said_with_its_figures(cause: StopCause, iterations: tuple[int, ...], words: str) -> None:
    """Those of the last checkpoint that counted."""
    assert str(stop_reason(cause, iterations, judged([told(2, 1)] * 3))) == words
