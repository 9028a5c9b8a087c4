"""
How much of a GPU's memory a recipe will take at its worst moment.

Covers Llama-like models: the most that torch allocates, in whichever is higher of two moments: the
backward pass, just as it begins, or the optimizer's step. Does not cover what the driver takes
for itself (about 0.5 GB), memory that torch holds in reserve, flash-attn, or several GPUs.

Source:
    Measured by `benchmarks/truth/gpu_memory.py`; the table in docs/forecast.md holds each figure
    against what this module says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from app.domain.model_folders import read_json
from app.domain.recipes import Method, Recipe
from app.domain.training import TARGETS, Precision

WEIGHT, GRADIENT, MOMENTS = 4, 4, 8  # bytes of each number: xtuner's optimizers keep what is trained in float32
FROZEN = 4  # bytes of each frozen number that is not quantised: peft's preparation makes them float32
QUANTISED = 0.516  # bytes of each number in nf4 with double quantisation: 4 bits and the scales of their blocks
STEP = 4  # bytes of each trained number that AdamW takes for the length of its step
CAST = 2  # bytes of each number in the half-precision copy that autocast makes of a weight
LOGIT = 12  # bytes of each logit, in float32, its softmax and its gradient
WORKSPACE = 80_000_000  # bytes; cuBLAS's own
SAVED_INPUT = 4  # bytes of each number that activation checkpointing keeps of a layer


@dataclass(frozen=True)
class Activations:
    """What a layer keeps of each token for the backward pass, in bytes."""

    hidden: float
    """Of each number of the hidden size."""
    inner: float
    """Of each number of the feed-forward size."""
    dropped: float = 0.0
    """Of each number that goes into a layer with an adapter, where some of them are dropped."""
    adapted: float = 0.0
    """Of each number that comes out of one."""
    rank: float = 0.0
    """Of each rank of each of them."""
    score: float = 0.0
    """Of each attention score of each head: half precision keeps none."""


WHOLE = Activations(hidden=33.5, inner=8.9)
HALF = Activations(hidden=19.6, inner=4.5, dropped=1.3, adapted=1.6, rank=9.0)
FOUR_BITS = Activations(hidden=26.5, inner=9.8, adapted=2.3, rank=6.9)
SINGLE = Activations(hidden=56.7, inner=18.6, rank=71.7, score=2.7)
SCORES_BACKWARDS = 8  # bytes of each score while the backward pass is in its layer; half precision makes none


@dataclass(frozen=True)
class Shape:
    """The numbers of a model that memory depends on."""

    hidden: int
    layers: int
    heads: int
    width: int
    """Of one head."""
    shared: int
    """Width of the keys, and of the values: less than `hidden` where heads share them."""
    inner: int
    vocabulary: int
    is_tied: bool
    """The head is the embedding."""

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Self | None:
        """Read a model's `config.json`; None where it does not say what is needed."""
        try:
            hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
            width = int(config.get("head_dim") or hidden // heads)
            return cls(
                hidden=hidden,
                layers=int(config["num_hidden_layers"]),
                heads=heads,
                width=width,
                shared=width * int(config.get("num_key_value_heads") or heads),
                inner=int(config["intermediate_size"]),
                vocabulary=int(config["vocab_size"]),
                is_tied=bool(config.get("tie_word_embeddings", False)),
            )
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            return None

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of the linear layers of one block, by their names in Llama."""
        return {
            "q_proj": (self.hidden, self.width * self.heads),
            "k_proj": (self.hidden, self.shared),
            "v_proj": (self.hidden, self.shared),
            "o_proj": (self.width * self.heads, self.hidden),
            "gate_proj": (self.hidden, self.inner),
            "up_proj": (self.hidden, self.inner),
            "down_proj": (self.inner, self.hidden),
        }

    @property
    def in_linears(self) -> int:
        """Numbers in the blocks' linear layers: what is quantised."""
        return self.layers * sum(rows * columns for rows, columns in self.linears.values())

    @property
    def outside(self) -> int:
        """Numbers in embedding, head and norms."""
        tables = 1 if self.is_tied else 2
        return tables * self.vocabulary * self.hidden + (2 * self.layers + 1) * self.hidden

    def adapted(self, recipe: Recipe) -> list[tuple[int, int]]:
        """Return the linear layers of one block that get an adapter."""
        return [shape for name, shape in self.linears.items() if name in TARGETS[recipe.training.lora.targets]]

    def adapter(self, recipe: Recipe) -> int:
        """Numbers of a LoRA adapter."""
        each = sum(inputs + outputs for inputs, outputs in self.adapted(recipe))
        return self.layers * recipe.training.lora.r * each


def memory_of(recipe: Recipe, model: Path) -> dict[Method, int] | None:
    """Return the bytes that each method would take; None where the model's folder does not say its shape."""
    config = read_json(model / "config.json")
    found = {method: gpu_bytes(config, recipe, method) for method in Method} if config is not None else {}
    return {method: value for method, value in found.items() if value is not None} or None


def gpu_bytes(config: Mapping[str, Any], recipe: Recipe, method: Method) -> int | None:
    """
    Return the most that a recipe will allocate on a GPU; None for a model whose shape is not known.

    Args:
        config: the model's `config.json`.
        method: in place of the recipe's own, so that methods can be compared.
    """
    shape = Shape.read(config)
    if shape is None:
        return None
    trained = shape.in_linears + shape.outside if method is Method.FULL else shape.adapter(recipe)
    held = _frozen(shape, method) + trained * (WEIGHT + GRADIENT + MOMENTS) + WORKSPACE
    return round(held + max(_backward(shape, recipe, method), trained * STEP))


def _frozen(shape: Shape, method: Method) -> float:
    if method is Method.FULL:
        return 0
    return shape.in_linears * (QUANTISED if method is Method.QLORA else FROZEN) + shape.outside * FROZEN


def _backward(shape: Shape, recipe: Recipe, method: Method) -> float:
    """Return what is there beside weights and optimizer while the backward pass begins, or is in its first layer."""
    training = recipe.training
    tokens = training.max_length * training.batch_size
    logits = LOGIT * tokens * shape.vocabulary
    casts = _casts(shape, recipe, method)
    kept = tokens * _kept_of(shape, recipe, method)
    if not training.activation_checkpointing:
        return logits + casts + shape.layers * kept
    is_single = training.precision is Precision.FLOAT32
    again = kept + (SCORES_BACKWARDS * shape.heads * tokens * training.max_length if is_single else 0)
    return max(logits, again) + casts + SAVED_INPUT * shape.layers * tokens * shape.hidden


def _casts(shape: Shape, recipe: Recipe, method: Method) -> float:
    """Return the half-precision copies of weights that autocast holds: of trained ones all, else those still needed."""
    if recipe.training.precision is Precision.FLOAT32:
        return 0
    if method is Method.FULL:
        return CAST * (shape.in_linears + shape.outside)
    needed = shape.in_linears if method is Method.LORA and not recipe.training.activation_checkpointing else 0
    return CAST * (needed + shape.vocabulary * shape.hidden)


def _kept_of(shape: Shape, recipe: Recipe, method: Method) -> float:
    """Return what one layer keeps of one token."""
    training, of = recipe.training, _activations(recipe, method)
    kept = of.hidden * shape.hidden + of.inner * shape.inner + of.score * shape.heads * training.max_length
    if method is Method.FULL:
        return kept
    adapted = shape.adapted(recipe)
    if training.lora.dropout:
        kept += of.dropped * sum(inputs for inputs, _ in adapted)
    return kept + of.adapted * sum(outputs for _, outputs in adapted) + of.rank * training.lora.r * len(adapted)


def _activations(recipe: Recipe, method: Method) -> Activations:
    if recipe.training.precision is Precision.FLOAT32:
        return SINGLE
    return {Method.FULL: WHOLE, Method.LORA: HALF, Method.QLORA: FOUR_BITS}[method]
