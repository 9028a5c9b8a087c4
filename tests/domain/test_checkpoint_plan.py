"""The checkpoints that a run will have made, and their disk."""

import math
from pathlib import Path
from typing import Any

import pytest

from app.domain.checkpoint_plan import (
    MOST_LISTED,
    checkpoint_bytes,
    count_saves,
    plan_checkpoints,
    plan_disk,
)
from app.domain.model_shapes import ModelWeights, read_weights
from app.domain.progress import planned_checkpoints
from app.domain.retention import MOST_GOOD
from tests.factories import make_recipe
from tests.model_folders import make_llama_folder

# What SmolLM2-135M-Instruct's own layers are, and files that real trainings of it wrote (docs/forecast.md).
SHAPES = {"q_proj": (576, 576), "k_proj": (192, 576), "v_proj": (192, 576), "o_proj": (576, 576)} | {
    "gate_proj": (1536, 576),
    "up_proj": (1536, 576),
    "down_proj": (576, 1536),
}
SMOLLM2 = ModelWeights(
    {
        "model.embed_tokens.weight": (49152, 576),
        "model.norm.weight": (576,),
        **{
            f"model.layers.{layer}.{name}.weight": shape
            for layer in range(30)
            for name, shape in (SHAPES | {"input_layernorm": (576,), "post_attention_layernorm": (576,)}).items()
        },
    }
)
WRITTEN: list[tuple[dict[str, Any], str, int]] = [
    ({"training": {"lora": {"r": 4}}}, "weights", 5_034_335),
    ({"training": {"lora": {"r": 4}}}, "moments", 10_114_227),
    ({"training": {"lora": {"r": 4}}}, "adapter", 2_496_216 + 1_326 + 346),
    ({"training": {"lora": {"r": 16}, "precision": "bfloat16"}}, "weights", 19_687_775),
    ({"training": {"lora": {"r": 16}}}, "gradients", 19_690_271),
    ({"training": {"lora": {"r": 16}}}, "moments", 39_421_107),
    ({"training": {"lora": {"r": 64, "targets": "attention"}}}, "moments", 59_180_087),
    ({"training": {"lora": {"r": 64, "targets": "attention"}}}, "adapter", 14_777_360 + 1_180 + 347),
    ({"training": {"lora": {"r": 8, "targets": "query-value"}}}, "weights", 1_886_599),
    ({"method": "full"}, "moments", 1_076_343_863),
]


def weights_of(model: Path) -> ModelWeights:
    """Return the weights of a folder that has some."""
    weights = read_weights(model)
    assert weights is not None
    return weights


@pytest.mark.parametrize(("changes", "kind", "written"), WRITTEN)
def test_files_are_as_large_as_real_ones(changes: dict[str, Any], kind: str, written: int) -> None:
    """Within one in a thousand of what a real training wrote, be it of LoRA or of the whole model."""
    planned = checkpoint_bytes(make_recipe(**changes), SMOLLM2)

    assert getattr(planned, kind) == pytest.approx(written, rel=1e-3)


@pytest.mark.parametrize(("iterations", "every"), [(1, 5), (20, 5), (22, 5), (7, 1)])
def test_checkpoints_are_those_that_a_run_saves(iterations: int, every: int) -> None:
    """The same as its page shows while it trains."""
    recipe = make_recipe(training={"iterations": iterations}, checkpoints={"every": every})

    planned = plan_checkpoints(recipe, iterations)

    assert [each.iteration for each in planned] == planned_checkpoints(iterations, every)
    assert len(planned) == count_saves(iterations, every)


def test_retention_and_updates_of_each_checkpoint() -> None:
    """The newest three stay, the last two can be gone on from, and the last update may be a short one."""
    recipe = make_recipe(training={"accumulation": 4}, checkpoints={"every": 5, "keep": 3})

    planned = plan_checkpoints(recipe, 22)

    assert [each.updates for each in planned] == [1, 2, 3, 5, 6]
    assert [each.is_deleted for each in planned] == [True, True, False, False, False]
    assert [each.is_resumable for each in planned] == [False, False, False, True, True]


@pytest.mark.parametrize("changes", [{"checkpoints": {"keep_best": True}}, {"stopping": {"at_sweet_spot": True}}])
def test_which_good_ones_stay_is_not_known_before(tmp_path: Path, changes: dict[str, Any]) -> None:
    """All but the newest may, three at most do, and the disk is what it is then; where all stay nothing is unsure."""
    kept = {"every": 5, "keep": 2, "evaluate": False}
    changes = {**changes, "checkpoints": {**kept, **changes.get("checkpoints", {})}}
    model, recipe = make_llama_folder(tmp_path / "model"), make_recipe(training={"lora": {"r": 256}}, **changes)
    adapter = checkpoint_bytes(recipe, weights_of(model)).adapter

    plain = make_recipe(training={"lora": {"r": 256}}, checkpoints=kept)
    sizes = [plan_disk(each, model, iterations=50) for each in (recipe, plain)]

    assert [each.may_stay for each in plan_checkpoints(recipe, 50)] == [True] * 8 + [False] * 2
    assert not any(each.may_stay for each in plan_checkpoints(plain, 50))
    assert sizes[0].at_end - sizes[1].at_end == sizes[0].peak - sizes[1].peak == MOST_GOOD * adapter
    everything = make_recipe(**{**changes, "checkpoints": {**changes["checkpoints"], "keep": -1}})
    assert not any(each.may_stay for each in plan_checkpoints(everything, 50))


def test_of_very_many_checkpoints_the_newest_are_listed() -> None:
    """A million of them would be no list that anybody reads."""
    planned = plan_checkpoints(make_recipe(checkpoints={"every": 1}), 5_000)

    assert len(planned) == MOST_LISTED
    assert (planned[0].iteration, planned[-1].iteration) == (5_000 - MOST_LISTED + 1, 5_000)


def test_disk_is_adapters_at_the_end_and_three_whole_checkpoints_at_the_peak(tmp_path: Path) -> None:
    """The newest two stay whole until the next is written; older ones shrink to what answers."""
    recipe = make_recipe(training={"lora": {"r": 256}}, checkpoints={"every": 5, "keep": -1, "evaluate": False})
    model = make_llama_folder(tmp_path / "model")
    files = checkpoint_bytes(recipe, weights_of(model))
    whole = files.weights + files.moments + files.adapter

    plan = plan_disk(recipe, model, iterations=20)

    texts = plan.at_end - 4 * files.adapter
    assert 0 < texts < 60_000
    assert plan.peak - texts == 3 * whole + 1 * files.adapter


@pytest.mark.parametrize(("keep", "stay"), [(-1, 4), (1, 1), (3, 3)])
def test_what_stays_is_what_the_recipe_keeps(tmp_path: Path, keep: int, stay: int) -> None:
    """At the end; while it lasts there are two at least."""
    recipe = make_recipe(training={"lora": {"r": 256}}, checkpoints={"keep": keep, "evaluate": False})
    model = make_llama_folder(tmp_path / "model")

    plan = plan_disk(recipe, model, iterations=20)

    assert round(plan.at_end / checkpoint_bytes(recipe, weights_of(model)).adapter, 1) == pytest.approx(stay, abs=0.2)


def test_unfinished_accumulation_and_moments_not_there_yet_count(tmp_path: Path) -> None:
    """Before the first update there are gradients and no moments, between updates both."""
    model = make_llama_folder(tmp_path / "model")
    peaks = [
        plan_disk(
            make_recipe(training={"accumulation": accumulation}, checkpoints={"every": 3, "evaluate": False}),
            model,
            iterations=6,
        ).peak
        for accumulation in (3, 2, 16)
    ]

    assert peaks[1] > peaks[0] > peaks[2] > 0


def test_a_model_that_is_not_here_has_no_plan(tmp_path: Path) -> None:
    """Its disk is not guessed at."""
    assert plan_disk(make_recipe(), tmp_path / "org" / "model", iterations=5) is None


def test_the_small_model_s_numbers() -> None:
    """What is trained follows from the layers' shapes."""
    recipe = make_recipe(training={"lora": {"r": 4}})

    assert math.isclose(SMOLLM2.numbers, 134_515_008)
    assert SMOLLM2.trained(recipe).numbers == 1_221_120
