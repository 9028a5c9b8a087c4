"""Times of a run, from what earlier ones took."""

from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select

from app.domain import token_cache
from app.domain.models import Event, Run, RunState
from app.domain.rates import forecast_times, measure
from app.domain.runs import id_of
from tests.factories import attempt_of, make_checkpoint, make_model, make_recipe, make_run
from tests.saved_sets import make_counted_model, make_set

H100 = "NVIDIA H100 80GB HBM3"


def make_measured_run(session: Session, *, device: str = H100, seconds: float = 2.0, **changes: Any) -> Run:
    """Store a finished run that loaded 30 s, answered the base model for 5 s, and saved for 1.5 s each time."""
    run = make_run(session, state=RunState.FINISHED, recipe=make_recipe(**changes), iteration=20, iterations=20)
    attempt_of(session, run).device = device
    told: list[tuple[str, dict[str, Any]]] = [
        ("phase", {"phase": "loading", "time": 1_000.0}),
        ("phase", {"phase": "tokenising", "time": 1_020.0}),
        ("answers", {"iteration": 0, "seconds": 5.0, "time": 1_034.0}),
        ("phase", {"phase": "training", "time": 1_035.0}),
    ]
    for iteration in range(1, 21):
        slow = 50.0 if iteration == 1 else seconds  # the first takes memory
        told.append(("metric", {"iteration": iteration, "seconds": slow, "time": 1_035.0}))
        if iteration % 5 == 0:
            told.append(("phase", {"phase": "saving", "iteration": iteration, "time": 1_100.0}))
            told.append(("checkpoint", {"iteration": iteration, "time": 1_101.5}))
    for kind, data in told:
        session.add(Event(run_id=id_of(run), attempt=1, kind=kind, iteration=data.get("iteration", 0), data=data))
    for iteration in (0, 5, 10):
        make_checkpoint(session, run, iteration=iteration, answered_seconds=4.0 if iteration else 9.0)
    session.commit()
    return run


def times_of(session: Session, *, device: str = H100, iterations: int = 100, **changes: Any) -> Any:
    """Forecast the times of a recipe."""
    recipe = make_recipe(**changes)
    return forecast_times(session, recipe, make_model(session), iterations=iterations, tokens=None, device=device)


def test_a_run_is_measured_without_what_is_no_measure(session: Session) -> None:
    """The first iterations warm up, the base model's answers are no tuned checkpoint's, answering is no loading."""
    measured = measure(session, make_measured_run(session))

    assert (measured.seconds, measured.loading, measured.saving, measured.answering) == (2.0, 30.0, 1.5, 4.0)


def test_what_a_run_takes_around_its_training_counts(session: Session) -> None:
    """A finished run's parts add up to what it took from its claim to its end: so does the same run's forecast."""
    run = make_measured_run(session)
    attempt = attempt_of(session, run)
    attempt.ended_at = attempt.started_at + timedelta(seconds=250)
    session.commit()

    assert measure(session, run).loading == pytest.approx(250 - 20 * 2 - 4 * 1.5 - 5)


def test_a_machine_that_slept_is_no_measure(session: Session) -> None:
    """One iteration of an hour counts as one of ten times the median."""
    run = make_measured_run(session)
    event = session.exec(select(Event).where(Event.kind == "metric", Event.iteration == 20)).one()
    event.data = event.data | {"seconds": 3_600.0}
    session.commit()

    assert measure(session, run).seconds == pytest.approx((17 * 2 + 20) / 18)


def test_times_are_those_of_the_newest_run_of_the_kind(session: Session) -> None:
    """Loading, iterations, saving; and an answer of the base model beside each checkpoint's."""
    make_measured_run(session, seconds=9.0)
    run = make_measured_run(session)

    times = times_of(session)

    assert times.training == pytest.approx(30 + 100 * 2 + 20 * 1.5)
    assert times.answering == pytest.approx(9 + 20 * 4)
    assert times.measured_on == f"#{run.id} {run.name}, {H100}"
    assert times.scaled_by is None


@pytest.mark.parametrize(
    ("device", "changes"),
    [
        ("NVIDIA A100", {}),
        ("cpu", {}),
        (H100, {"method": "qlora"}),
        (H100, {"training": {"precision": "bfloat16"}}),
        (H100, {"training": {"packing": False}}),
        (H100, {"training": {"activation_checkpointing": False}}),
    ],
)
def test_what_is_of_another_kind_tells_nothing(session: Session, device: str, changes: dict[str, Any]) -> None:
    """Another device, method or precision is no measure, and no number is better than a wrong one."""
    make_measured_run(session)

    assert times_of(session, device=device, **changes) is None


def test_any_cpu_stands_for_cpus(session: Session) -> None:
    """Workers say only that they are CPUs; the measured run says how many cores it had."""
    make_measured_run(session, device="CPU, 2 cores")

    assert times_of(session, device="cpu").measured_on.endswith("CPU, 2 cores")


def test_other_lengths_are_scaled_and_said_to_be(session: Session) -> None:
    """Twice the tokens in an iteration, twice its seconds; a run of the same length goes before a newer one."""
    same = make_measured_run(session, training={"max_length": 256})
    make_measured_run(session, seconds=7.0)

    times = times_of(session, training={"max_length": 256})
    scaled = times_of(session, training={"max_length": 512})

    assert times.measured_on.startswith(f"#{same.id} ")
    assert scaled.scaled_by == pytest.approx(4)
    assert scaled.training == pytest.approx(30 + 100 * 7 * 4 + 20 * 1.5)


def test_answers_take_as_long_as_there_may_be_tokens(session: Session) -> None:
    """Half the probes, twice the longest answer: the same; none, nothing."""
    make_measured_run(session)

    longer = times_of(session, checkpoints={"max_new_tokens": 48})
    assert longer.answering == pytest.approx(2 * (9 + 20 * 4))
    assert times_of(session, checkpoints={"evaluate": False}).answering == 0


def test_a_run_that_answered_nothing_says_nothing_of_answering(session: Session) -> None:
    """Its training is a measure all the same."""
    run = make_measured_run(session)
    for row in run.checkpoints:
        row.answered_seconds = None
    session.commit()

    times = times_of(session)

    assert times.training > 0
    assert times.answering is None


def test_nobody_waits_for_the_tokens_of_an_earlier_run(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its saved set is counted its packs are taken as full, and the times say so."""
    waits: list[float | None] = []

    def result(_: Future[Any], seconds: float | None = None) -> None:
        waits.append(seconds)
        raise TimeoutError

    monkeypatch.setattr(Future, "result", result)
    monkeypatch.setattr(token_cache, "_fill", lambda *_: None)
    model = make_counted_model(session, tmp_path)
    saved = make_set(session, name="faq")
    files = [{"dataset": saved.name, "sha256": saved.sha256}]
    make_measured_run(session, mix={"files": files})
    arguments: Any = {"iterations": 100, "tokens": None, "device": H100}

    times = forecast_times(session, make_recipe(), model, **arguments, waits=False)

    assert times is not None
    assert (times.is_counting, times.scaled_by) == (True, None)
    assert None not in waits


def test_a_small_or_unended_run_spoils_no_forecast(session: Session) -> None:
    """A finished run with as many answers goes before a newer one with fewer, and before one that still trains."""
    like = make_measured_run(session)
    make_measured_run(session, seconds=9.0, checkpoints={"max_new_tokens": 2})
    unended = make_measured_run(session, seconds=9.0)
    unended.state = RunState.RUNNING
    session.commit()

    assert times_of(session).measured_on.startswith(f"#{like.id} ")
