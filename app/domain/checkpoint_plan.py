"""
The checkpoints that a run will have made: when, how large, which stay, and the disk they take.

Sizes follow from the model's own tensors and from how torch and safetensors write files; they were
held against real ones, see docs/forecast.md. Covers the run's folder and the file of its rows. Does
not cover the database, merged models and other artifacts, or what the file system adds.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.domain.model_shapes import ModelWeights, read_weights
from app.domain.progress import planned_checkpoints
from app.domain.recipes import Method, Recipe
from app.domain.retention import LEAST_KEPT, MOST_GOOD

MOST_LISTED = 1_000  # checkpoints; who has more looks at their number
FLOAT32, FLOAT16 = 4, 2  # bytes: whatever a run computes in, it keeps and updates its weights in float32
MOMENTS = 2  # that AdamW keeps of each number

# Measured on files of torch 2.13 and safetensors 0.8 with names as long as those of a Llama: what each tensor
# takes beside its numbers. Four in a hundred of them off are one in a thousand of a small adapter's file.
WEIGHT_BYTES = 357  # in `iter_N.pth`: its name and shape in the pickle, its place in the archive, alignment
STATE_BYTES = 822  # in `states/iter_N.pth`: two moments and the number of updates, each a tensor
GRADIENT_BYTES = 363
ADAPTER_BYTES = 130  # in `adapter_model.safetensors`: its name, type, shape and place in the header
ADAPTER_FILES_BYTES = 1_700  # adapter_config.json and manifest.json

RUN_BYTES = 30_000  # recipe, config (three times, with mmengine's own copies) and the head of the log
ITERATION_BYTES = 260  # a line of events.jsonl, and of the log every tenth
CHECKPOINT_BYTES = 1_100  # events and lines of the log around saving and answering
ANSWER_BYTES = 80  # an answer in events.jsonl, beside its text
TOKEN_BYTES = 4  # of an answer's text


@dataclass(frozen=True)
class PlannedCheckpoint:
    """One checkpoint that the run will save."""

    iteration: int
    updates: int
    is_deleted: bool
    """Retention will have deleted its files by the end, unless it may stay; its answers do."""
    is_resumable: bool
    """It is one of the last two: what the run could go on from, were it to end badly there."""
    may_stay: bool = False
    """It stays if it proves to be one of the good: at most `MOST_GOOD` of those that may do."""


@dataclass(frozen=True)
class CheckpointBytes:
    """What the files of one checkpoint take."""

    weights: int
    moments: int
    gradients: int
    adapter: int

    @property
    def small(self) -> int:
        """What stays of a checkpoint that is not gone on from: the adapter, or the whole weights."""
        return self.adapter or self.weights


@dataclass(frozen=True)
class DiskPlan:
    """Bytes on disk."""

    at_end: int
    """Once the run has finished."""
    peak: int
    """The most at any time."""


def count_saves(iterations: int, every: int) -> int:
    """Count the checkpoints of a run: one every so many iterations, and the last."""
    return -(-iterations // every)


def plan_checkpoints(recipe: Recipe, iterations: int) -> tuple[PlannedCheckpoint, ...]:
    """Return the checkpoints of a run, the newest `MOST_LISTED` of them."""
    every, keep = recipe.checkpoints.every, recipe.checkpoints.keep
    saves = count_saves(iterations, every)
    skipped = max(0, saves - MOST_LISTED)
    planned = planned_checkpoints(iterations - skipped * every, every)
    return tuple(
        PlannedCheckpoint(
            iteration=iteration + skipped * every,
            updates=_updates(recipe, iteration + skipped * every, iterations),
            is_deleted=0 <= keep <= len(planned) - place - 1,
            is_resumable=place >= len(planned) - LEAST_KEPT,
            may_stay=recipe.keeps_best and keep <= len(planned) - place - 1,
        )
        for place, iteration in enumerate(planned)
    )


def _updates(recipe: Recipe, iteration: int, iterations: int) -> int:
    every = recipe.training.accumulation
    return -(-iteration // every) if iteration == iterations else iteration // every


def checkpoint_bytes(recipe: Recipe, weights: ModelWeights) -> CheckpointBytes:
    """Return what the files of a checkpoint take, each kind in whole."""
    trained = weights.trained(recipe)
    is_full = recipe.method is Method.FULL
    adapter = trained.numbers * FLOAT16 + trained.tensors * ADAPTER_BYTES + ADAPTER_FILES_BYTES
    return CheckpointBytes(
        weights=trained.numbers * FLOAT32 + trained.tensors * WEIGHT_BYTES,
        moments=trained.numbers * FLOAT32 * MOMENTS + trained.tensors * STATE_BYTES,
        gradients=trained.numbers * FLOAT32 + trained.tensors * GRADIENT_BYTES,
        adapter=0 if is_full else adapter,
    )


def plan_disk(recipe: Recipe, model: Path, *, iterations: int, rows_bytes: int = 0) -> DiskPlan | None:
    """
    Return the bytes that a run takes; None where the model's weights cannot be read.

    Where good checkpoints stay, or the run may stop early, this is the most that it can be.

    Args:
        rows_bytes: of the file of its rows.
    """
    weights = read_weights(model)
    if weights is None:
        return None
    files, keep = checkpoint_bytes(recipe, weights), recipe.checkpoints.keep
    whole = _whole_bytes(recipe, files, iterations)
    saved = np.arange(1, len(whole) + 1)  # how many there are once each is written
    good = MOST_GOOD if recipe.keeps_best else 0
    others = np.minimum(saved - 1, max(keep, LEAST_KEPT) + good if keep >= 0 else len(whole))
    shrunk = np.maximum(others - LEAST_KEPT, 0) * files.small
    before = np.concatenate([[0, 0], whole])  # the newest two stay whole while the next is written
    peak = int((shrunk + before[:-2] + before[1:-1] + whole).max())
    kept = len(whole) if keep < 0 else min(len(whole), max(keep, 1) + good)
    texts = _text_bytes(recipe, iterations, len(whole)) + rows_bytes
    return DiskPlan(kept * files.small + texts, peak + texts)


def _whole_bytes(recipe: Recipe, files: CheckpointBytes, iterations: int) -> NDArray[np.int64]:
    """Return the size of each checkpoint as it is written, in the order of their iterations."""
    every, accumulation = recipe.checkpoints.every, recipe.training.accumulation
    at = np.minimum(np.arange(1, count_saves(iterations, every) + 1, dtype=np.int64) * every, iterations)
    has_moments = (at >= accumulation) | (at == iterations)
    has_gradients = (at % accumulation != 0) & (at != iterations)
    more: NDArray[np.int64] = has_moments * files.moments + has_gradients * files.gradients
    return more + files.weights + files.adapter


def _text_bytes(recipe: Recipe, iterations: int, saves: int) -> int:
    """Return what a run writes for people and for its supervisor."""
    checkpoints = recipe.checkpoints
    asked = len(recipe.probes) if checkpoints.evaluate else 0
    answers = (saves + 1) * asked * (ANSWER_BYTES + checkpoints.max_new_tokens * TOKEN_BYTES)
    return RUN_BYTES + iterations * ITERATION_BYTES + saves * CHECKPOINT_BYTES + answers
