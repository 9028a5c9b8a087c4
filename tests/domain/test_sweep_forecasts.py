"""What a sweep will do before it is started."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session

from app.domain.models import Model, RunState
from app.domain.recipes import Method
from app.domain.sweep_forecasts import forecast_sweep, seconds_in_lanes
from app.domain.sweep_plans import SweepPlan
from tests.factories import attempt_of, make_checkpoint, make_metrics, make_model, make_recipe, make_run
from tests.model_folders import make_llama_folder
from tests.tokenizers_here import write_tokenizer

EPOCHS: dict[str, Any] = {"iterations": None, "epochs": 2}


@pytest.fixture
def model(session: Session, tmp_path: Path) -> Model:
    """Register the recipe's model with real weights' headers and a tokenizer of bytes."""
    folder = make_llama_folder(tmp_path / "model")
    config = (folder / "config.json").read_text()
    write_tokenizer(folder)
    (folder / "config.json").write_text(config)
    return make_model(session, path=str(folder))


def make_plan(**fields: Any) -> SweepPlan:
    """Return a plan that varies n and the learning rate."""
    axes = [
        {"setting": "mix.identity_count", "values": [3, 30]},
        {"setting": "training.learning_rate", "values": [1e-4, 1e-3]},
    ]
    defaults = {"name": "s", "recipe": make_recipe(training=EPOCHS), "axes": axes}
    return SweepPlan.model_validate(defaults | fields)


def make_measured_run(session: Session) -> None:
    """Store a run that took 1.4 s for each iteration, 1.5 s to answer, and nothing else."""
    run = make_run(session, recipe=make_recipe(), state=RunState.FINISHED, iteration=20, iterations=20)
    make_metrics(session, run, iterations=range(1, 21))
    for iteration in (0, 5, 10, 15, 20):
        make_checkpoint(session, run, iteration=iteration, texts=["a", "b", "c"])
    attempt = attempt_of(session, run)
    attempt.device, attempt.ended_at = "CPU", attempt.started_at
    session.add(attempt)
    session.commit()


@pytest.mark.usefixtures("model")
def test_runs_follow_from_the_tokens_of_each_mix(session: Session) -> None:
    """More copies fill more packs; what differs in the learning rate alone is as long."""
    known = forecast_sweep(session, make_plan(), device="cpu", devices=1)

    lengths = [run.known.iterations or 0 for run in known.runs]
    assert lengths[0] == lengths[1] == 6
    assert lengths[2] == lengths[3] > 6
    assert known.iterations == sum(lengths)
    assert known.disk_bytes == sum(run.known.disk_bytes or 0 for run in known.runs)
    assert known.memory_bytes == max((run.known.memory or {})[Method.LORA] for run in known.runs)


@pytest.mark.usefixtures("model")
def test_what_no_run_has_told_is_unknown(session: Session) -> None:
    """No time is guessed, and it says why."""
    known = forecast_sweep(session, make_plan(), device="cpu", devices=1)

    assert (known.seconds, known.longest, known.measured_on) == (None, None, "")
    assert any("not known" in str(reason) for reason in known.unknown)


@pytest.mark.parametrize(("at_once", "devices", "lanes"), [(2, 1, 1), (8, 8, 4), (2, 0, 1)], ids=str)
@pytest.mark.usefixtures("model")
def test_times_are_shared_by_what_runs_at_once(session: Session, at_once: int, devices: int, lanes: int) -> None:
    """As many lanes as may train and as there are devices; no worker counts as one."""
    make_measured_run(session)

    known = forecast_sweep(session, make_plan(at_once=at_once), device="cpu", devices=devices)

    assert known.lanes == lanes
    assert known.has_devices is (devices > 0)
    assert known.seconds == pytest.approx(seconds_in_lanes([run.seconds or 0 for run in known.runs], lanes))
    assert known.runs[0].seconds is not None
    assert known.runs[0].seconds > 6 * 1.4
    assert "CPU" in known.measured_on


def test_a_model_that_is_not_there_leaves_much_unknown(session: Session) -> None:
    """What needs it is None with a reason; the runs themselves are there."""
    known = forecast_sweep(session, make_plan(), device="cpu", devices=1)

    assert len(known.runs) == 4
    assert (known.iterations, known.seconds, known.disk_bytes, known.memory_bytes) == (None,) * 4
    assert known.unknown


@given(st.lists(st.floats(0, 1_000), min_size=1, max_size=20), st.integers(1, 8))
def test_lanes_take_no_longer_than_one_and_no_less_than_they_must(times: list[float], lanes: int) -> None:
    """Between the mean of a lane, or the longest run, and all of them one after the other."""
    total = seconds_in_lanes(times, lanes)

    assert max(*times, sum(times) / lanes) - 1e-6 <= total <= sum(times) + 1e-6
