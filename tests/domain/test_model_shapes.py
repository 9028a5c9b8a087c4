"""The weights of a model, by name and shape."""

from pathlib import Path

from app.domain.model_shapes import read_weights
from tests.factories import make_recipe
from tests.model_folders import make_llama_folder, make_model_folder


def test_shapes_are_read_from_the_headers_alone(tmp_path: Path) -> None:
    """A head that is the words' own is not counted twice."""
    weights = read_weights(make_llama_folder(tmp_path / "model", layers=1, hidden=8, words=10))

    assert "lm_head.weight" not in weights.shapes
    assert weights.numbers == 8 * 8 * 2 + 16 * 8 * 2 + 10 * 8


def test_what_a_recipe_trains(tmp_path: Path) -> None:
    """Two matrices of rank r for each layer that is named; everything, where the whole model is tuned."""
    weights = read_weights(make_llama_folder(tmp_path / "model", layers=1, hidden=8, words=10))
    lora = make_recipe(training={"lora": {"r": 2, "targets": "query-value"}})

    assert (weights.trained(lora).tensors, weights.trained(lora).numbers) == (4, 2 * 2 * 16)
    assert weights.trained(make_recipe(method="full")).numbers == weights.numbers


def test_a_folder_without_readable_weights_has_none(tmp_path: Path) -> None:
    """A hub id is no folder, and a pointer of Git LFS is no weights."""
    folder = make_model_folder(tmp_path / "model")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")

    assert read_weights(folder) is None
    assert read_weights(tmp_path / "org" / "model") is None
