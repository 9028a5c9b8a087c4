"""The GPU memory of a recipe."""

from pathlib import Path
from typing import Any

import pytest

from app.domain.memory import memory_of
from app.domain.recipes import Method
from tests.factories import make_recipe
from tests.model_folders import make_llama_folder, make_model_folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the folder of a model large enough that its weights weigh."""
    return make_llama_folder(tmp_path / "model", layers=24, hidden=2_048, words=32_000)


def test_four_bits_take_less_than_sixteen_and_those_less_than_all(model: Path) -> None:
    """In the order in which people try them."""
    found = memory_of(make_recipe(training={"precision": "bfloat16"}), model)

    assert found[Method.QLORA] < found[Method.LORA] < found[Method.FULL]


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ({"batch_size": 2}, {"batch_size": 1}),
        ({"max_length": 4_096}, {"max_length": 2_048}),
        ({"activation_checkpointing": False}, {"activation_checkpointing": True}),
        ({"precision": "float32"}, {"precision": "bfloat16"}),
        ({"lora": {"r": 64}}, {"lora": {"r": 8}}),
    ],
)
def test_what_takes_more_is_said_to_take_more(model: Path, more: dict[str, Any], less: dict[str, Any]) -> None:
    """Each setting that moves the memory moves the number."""
    large, small = (memory_of(make_recipe(training=changes), model)[Method.LORA] for changes in (more, less))

    assert large > small


def test_a_model_that_does_not_say_its_shape_is_unknown(tmp_path: Path) -> None:
    """No number is made up for it."""
    assert memory_of(make_recipe(), make_model_folder(tmp_path / "model")) is None
    assert memory_of(make_recipe(), tmp_path / "org" / "model") is None
