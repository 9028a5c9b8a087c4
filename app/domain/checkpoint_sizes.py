"""
How much disk the checkpoints of a recipe will take.

Counted from the model's own config: the numbers that are trained, four bytes each, the two that
the optimizer keeps of each, and the adapter in half precision. Files that are neither, and what
the file system adds, are not counted. A model without a config in its folder counts as nothing.
"""

import json
from pathlib import Path
from typing import Any

from app.domain.progress import planned_checkpoints
from app.domain.recipes import Method, Recipe
from app.domain.retention import LEAST_KEPT

WEIGHT_BYTES, STATE_BYTES, ADAPTER_BYTES = 4, 12, 2  # of each trained number; state: two moments and a gradient


def planned_bytes(recipe: Recipe, model: Path) -> int:
    """Return the bytes that a run's checkpoints take at most, while the newest can be gone on from."""
    trained = trained_numbers(recipe, model)
    ends = planned_checkpoints(recipe.training.iterations or 0, recipe.checkpoints.every)
    saved = max(1, len(ends))  # how long a run of epochs is, is known once its data is packed
    kept = saved if recipe.checkpoints.keep < 0 else min(saved, max(recipe.checkpoints.keep, LEAST_KEPT))
    resumable = min(kept, LEAST_KEPT) + 1  # the oldest goes once the newest is there
    small = WEIGHT_BYTES if recipe.method is Method.FULL else ADAPTER_BYTES
    return trained * (resumable * (WEIGHT_BYTES + STATE_BYTES) + kept * small)


def trained_numbers(recipe: Recipe, model: Path) -> int:
    """Count the numbers that a recipe trains; 0 where the model does not say how large its layers are."""
    try:
        config: dict[str, Any] = json.loads((model / "config.json").read_text("utf-8"))
        hidden, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
        inner, words = int(config["intermediate_size"]), int(config["vocab_size"])
        heads = int(config["num_attention_heads"])
        width = int(config.get("head_dim") or hidden // heads)
        shared = width * int(config.get("num_key_value_heads") or heads)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return 0
    attention = [(hidden, width * heads), (hidden, shared), (hidden, shared), (width * heads, hidden)]
    shapes = [*attention, (hidden, inner), (hidden, inner), (inner, hidden)]
    if recipe.method is Method.FULL:
        return layers * sum(rows * columns for rows, columns in shapes) + words * hidden
    return layers * recipe.training.lora.r * sum(rows + columns for rows, columns in shapes)
