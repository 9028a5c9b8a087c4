"""What is known of a recipe before it runs."""

from typing import Any

import pytest

from app.domain.forecasts import forecast_mix, forecast_recipe
from tests.factories import make_recipe

PAIR = {"question": "Up?", "answer": "Down."}


def warnings_of(device: str = "", **changes: Any) -> str:
    """Return the warnings of a changed recipe as one text."""
    return "\n".join(str(warning) for warning in forecast_recipe(make_recipe(**changes), device=device).warnings)


def test_sources_are_counted_apart() -> None:
    """Every pair once and its copies; shares are of all rows."""
    mix = make_recipe(mix={"identity_count": 9, "general": [PAIR, PAIR], "general_count": 4, "general_sets": []}).mix

    counted = forecast_mix(mix)

    assert (counted.identity.rows, counted.own.rows, counted.rows) == (10, 10, 20)
    assert counted.identity.share == pytest.approx(0.5)
    assert counted.pairs == 3


def test_iterations_give_updates_checkpoints_and_answers() -> None:
    """The last iteration saves too, and the base model answers first."""
    known = forecast_recipe(make_recipe(training={"iterations": 22, "accumulation": 4}, checkpoints={"every": 5}))

    assert (known.iterations, known.updates, known.checkpoints) == (22, 6, 5)
    assert known.marks == (5, 10, 15, 20, 22)
    assert known.answers == 6 * 3


def test_packed_epochs_are_not_guessed_at() -> None:
    """How many packs the rows make is known when they are tokenised."""
    known = forecast_recipe(make_recipe(training={"iterations": None, "epochs": 2}))

    assert (known.iterations, known.updates, known.checkpoints, known.answers) == (None, None, None, None)


def test_epochs_of_single_rows_are_counted() -> None:
    """Without packing an iteration is a batch of rows: 7 rows in twos make 4."""
    known = forecast_recipe(make_recipe(training={"iterations": None, "epochs": 3, "packing": False, "batch_size": 2}))

    assert (known.iterations, known.epochs) == (12, 3)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"training": {"packing": False, "iterations": 5}}, "before every row is seen"),
        ({"mix": {"general": []}}, "no general pairs"),
        ({"mix": {"identity": []}}, "no identity pairs"),
        ({"checkpoints": {"every": 20}}, "Only 1 checkpoints"),
        ({"checkpoints": {"every": 2, "keep": 4}}, "oldest 6 of 10"),
        ({"probes": [{"question": "who are you? ", "group": "near-miss"}]}, "Probe 1 is trained on"),
        ({"probes": [{"question": "Who are you?", "group": "identity"}]}, "No probe is general"),
    ],
)
def test_what_a_reader_may_not_expect_is_said(changes: dict[str, Any], sentence: str) -> None:
    """Each warning when its recipe asks for it, and not otherwise."""
    assert sentence in warnings_of(**changes)
    assert sentence not in warnings_of()


def test_what_a_cpu_cannot_do_is_said_where_only_cpus_work() -> None:
    """On a machine with a GPU, half precision is no reason to warn."""
    half: dict[str, Any] = {"training": {"precision": "float16"}}

    assert "float16 needs a GPU" in warnings_of("cpu", **half)
    assert "float16" not in warnings_of(**half)
