"""
How much memory of a GPU a recipe will take, by method.

A sum of what is held at the moment of the highest use: weights, what is updated, what the backward
pass needs, and the scores of all words. The coefficients in `COEFFICIENTS` are fitted to measured
peaks, see docs/forecast.md. Covers decoders of Llama's form on one GPU. Does not cover what the CUDA
driver itself takes, other processes, or memory that is reserved and not used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.model_folders import read_json
from app.domain.model_shapes import ModelWeights, read_weights
from app.domain.recipes import Method, Recipe
from app.domain.training import TARGETS, Precision

BYTES = {Precision.FLOAT32: 4, Precision.BFLOAT16: 2, Precision.FLOAT16: 2}
NF4_BYTES = 0.5 + 0.127 / 8  # four bits and the scales of 64, themselves quantised
UPDATED_BYTES = 16  # of each trained number: itself, its gradient and AdamW's two moments, in float32


@dataclass(frozen=True)
class Coefficients:
    """What is fitted: factors on counts that follow from the model's shape."""

    layer_hidden: float = 16.0
    """Activations kept of a layer, in numbers for each token and each number of the hidden size."""
    layer_inner: float = 5.0
    """The same for each number of the feed-forward size."""
    lora_input: float = 2.0
    """More of both where LoRA reads a layer's input once more, for dropout and its product."""
    scores: float = 3.0
    """Copies of the scores of all words, in float32: themselves, their softmax, their gradient."""
    working: int = 200_000_000
    """Bytes that libraries keep for themselves."""


COEFFICIENTS: Mapping[Method, Coefficients] = {
    Method.QLORA: Coefficients(),
    Method.LORA: Coefficients(),
    Method.FULL: Coefficients(lora_input=0.0),
}


@dataclass(frozen=True)
class _Form:
    """The sizes in a model's config that activations depend on."""

    hidden: int
    inner: int
    layers: int
    words: int


def memory_of(recipe: Recipe, model: Path) -> dict[Method, int] | None:
    """Return the bytes that each method would take; None where the model does not say its shape."""
    config, weights = read_json(model / "config.json"), read_weights(model)
    if config is None or weights is None:
        return None
    found = {method: gpu_bytes(config, recipe, method, weights=weights) for method in Method}
    return {method: value for method, value in found.items() if value is not None} or None


def gpu_bytes(config: Mapping[str, Any], recipe: Recipe, method: Method, *, weights: ModelWeights) -> int | None:
    """
    Return the highest memory that one method takes; None where the config does not say the model's shape.

    Args:
        config: the model's `config.json`.
        weights: its tensors, by name and shape.
    """
    form = _form_of(config)
    if form is None:
        return None
    fitted = COEFFICIENTS[method]
    held = _weight_bytes(weights, recipe, method) + _updated_bytes(weights, recipe, method)
    passing = _activation_bytes(form, recipe, fitted) + _score_bytes(form, recipe, fitted)
    return round(held + passing + fitted.working)


def _form_of(config: Mapping[str, Any]) -> _Form | None:
    try:
        return _Form(
            hidden=int(config["hidden_size"]),
            inner=int(config["intermediate_size"]),
            layers=int(config["num_hidden_layers"]),
            words=int(config["vocab_size"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _weight_bytes(weights: ModelWeights, recipe: Recipe, method: Method) -> float:
    """Return what the frozen weights take; those of a full tuning are counted where they are updated."""
    if method is Method.FULL:
        return 0.0
    size = BYTES[recipe.training.precision]
    if method is Method.LORA:
        return weights.numbers * size
    linear = sum(rows * columns for rows, columns in weights.adapted(TARGETS_OF_ALL))
    return linear * NF4_BYTES + (weights.numbers - linear) * size


TARGETS_OF_ALL = max(TARGETS.values(), key=len)  # what is quantised: every linear layer but the head


def _updated_bytes(weights: ModelWeights, recipe: Recipe, method: Method) -> float:
    return weights.trained(recipe.model_copy(update={"method": method})).numbers * UPDATED_BYTES


def _activation_bytes(form: _Form, recipe: Recipe, fitted: Coefficients) -> float:
    """Return what the backward pass needs: every layer's activations, or one layer's and the inputs of all."""
    training = recipe.training
    tokens, size = training.batch_size * training.max_length, BYTES[training.precision]
    more = fitted.lora_input
    layer = (fitted.layer_hidden + 4 * more) * form.hidden + (fitted.layer_inner + more) * form.inner
    if training.activation_checkpointing:
        return tokens * size * (form.layers * form.hidden + layer)
    return tokens * size * form.layers * layer


def _score_bytes(form: _Form, recipe: Recipe, fitted: Coefficients) -> float:
    return recipe.training.batch_size * recipe.training.max_length * form.words * 4 * fitted.scores
