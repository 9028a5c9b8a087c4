"""What a recipe takes of a GPU's memory, against what was measured on one."""

import json
from typing import Any

import pytest

from app.domain.memory import Shape, gpu_bytes
from app.domain.recipes import Method
from benchmarks.truth.gpu_memory import SHAPES, recipe_of
from tests.conftest import ROOT
from tests.factories import make_recipe

RECORD = ROOT / "benchmarks" / "truth" / "gpu_memory.jsonl"
MEASURED = [json.loads(line) for line in RECORD.read_text("utf-8").splitlines()]
SMALL = SHAPES["135M"]


def setting_of(line: dict[str, Any]) -> Any:
    """Return the settings of a measurement as the script that made it names them."""
    return tuple(
        line[name] for name in ("method", "precision", "tokens", "batch", "checkpointing", "r", "targets", "dropout")
    )


@pytest.mark.parametrize("line", MEASURED, ids=lambda line: "-".join(map(str, (line["model"], *setting_of(line)))))
def test_a_measured_training_is_forecast_within_ten_percent(line: dict[str, Any]) -> None:
    """On an H100, of models from 135 million to 1.9 billion parameters, by each method."""
    recipe = make_recipe(**recipe_of(setting_of(line)))

    forecast = gpu_bytes(SHAPES[line["model"]], recipe, Method(line["method"]))

    assert forecast == pytest.approx(line["bytes"], rel=0.1)


def test_methods_are_told_apart() -> None:
    """Four bits take less than the whole model, and tuning all of it takes most."""
    taken = [
        gpu_bytes(SHAPES["1.8B"], make_recipe(), method) or 0 for method in (Method.QLORA, Method.LORA, Method.FULL)
    ]

    assert taken == sorted(taken)
    assert taken[2] > 2 * taken[1]


@pytest.mark.parametrize("missing", ["hidden_size", "num_attention_heads", "vocab_size"])
def test_a_model_of_unknown_shape_is_not_guessed_at(missing: str) -> None:
    """Nothing is said of a config that leaves out what memory depends on."""
    config = {name: value for name, value in SMALL.items() if name != missing}

    assert gpu_bytes(config, make_recipe(), Method.LORA) is None


def test_heads_may_be_wider_than_the_hidden_size() -> None:
    """Some models give each head a width of its own: query and output layers are that wide."""
    shape = Shape.read(SHAPES["0.6B"])

    assert shape is not None
    assert shape.linears["q_proj"] == (1024, 2048)
