"""
What a model's weights are, by name and shape, out of the headers of its safetensors files.

Says which numbers a recipe trains. Knows nothing of a model that is no folder on this machine.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from app.domain.errors import AppError
from app.domain.model_folders import read_json, weight_files
from app.domain.recipes import Method, Recipe
from app.domain.safetensors_files import read_header
from app.domain.training import TARGETS

MATRIX = 2  # dimensions
HEAD, WORDS = "lm_head.weight", "embed_tokens.weight"

Shape = tuple[int, ...]


@dataclass(frozen=True)
class TrainedWeights:
    """What a recipe trains: how many tensors, and how many numbers in them."""

    tensors: int
    numbers: int


@dataclass(frozen=True)
class ModelWeights:
    """All weights of a model; the head only where it is not the words' own."""

    shapes: dict[str, Shape]

    @property
    def numbers(self) -> int:
        """Every number of the model."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def adapted(self, targets: Iterable[str]) -> list[Shape]:
        """Return the shapes of the linear layers of some names, as (outputs, inputs)."""
        names = frozenset(targets)
        return [
            shape
            for name, shape in self.shapes.items()
            if len(shape) == MATRIX and name.endswith(".weight") and name.split(".")[-2] in names
        ]

    def trained(self, recipe: Recipe) -> TrainedWeights:
        """Return what a recipe trains of it."""
        if recipe.method is Method.FULL:
            return TrainedWeights(len(self.shapes), self.numbers)
        lora = recipe.training.lora
        adapted = self.adapted(TARGETS[lora.targets])
        return TrainedWeights(2 * len(adapted), lora.r * sum(sum(shape) for shape in adapted))


def read_weights(folder: Path) -> ModelWeights | None:
    """Read what a model's folder holds; None where it holds no weights that can be read."""
    try:
        files = weight_files(folder)
        states = tuple((file, file.stat().st_mtime_ns) for file in files)
    except (AppError, OSError):
        return None
    return _read(folder, states)


@lru_cache(maxsize=16)
def _read(folder: Path, files: tuple[tuple[Path, int], ...]) -> ModelWeights | None:
    shapes: dict[str, Shape] = {}
    try:
        for file, _ in files:
            shapes |= _header(file)
    except (OSError, ValueError):
        return None
    config = read_json(folder / "config.json") or {}
    if config.get("tie_word_embeddings") and any(name.endswith(WORDS) for name in shapes):
        shapes.pop(HEAD, None)
    return ModelWeights(shapes)


def _header(file: Path) -> dict[str, Shape]:
    return {name: tuple(tensor["shape"]) for name, tensor in read_header(file).items()}
