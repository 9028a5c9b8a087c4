"""The fourth part of an xtuner config: how the optimizer steps, and how its learning rate moves."""

import math

from app.domain.recipes import Recipe
from app.domain.training import Precision, Schedule
from app.domain.xtuner_parts import Device

SHORTEST_WARMUP = 2  # iterations: mmengine's LinearLR over one would leave the rate at its start for good


def schedule_part(recipe: Recipe, device: Device) -> str:
    schedulers, wrapper = "".join(_schedulers(recipe)), _wrapper(recipe.training.precision, device)
    length = "max_iters" if recipe.training.iterations is not None else "max_epochs"
    return f"""\
optim_wrapper = dict(
{wrapper}    optimizer=dict(type=optim_type, lr=lr, betas=betas, weight_decay=weight_decay),
    clip_grad=dict(max_norm=max_norm, error_if_nonfinite=False),
    accumulative_counts=accumulative_counts,
)

param_scheduler = [
{schedulers}]

train_cfg = dict(type=TrainLoop, {length}={length})
"""


def _wrapper(precision: Precision, device: Device) -> str:
    """Say how an update is made: only float16 on a GPU needs its loss scaled."""
    if device == "cpu" or precision is Precision.FLOAT32:
        return "    type=OptimWrapper,\n"
    if precision is Precision.BFLOAT16:
        return "    type=AmpOptimWrapper,\n    dtype='bfloat16',\n    loss_scale=1.0,\n"
    return "    type=AmpOptimWrapper,\n    dtype='float16',\n    loss_scale='dynamic',\n"


def _schedulers(recipe: Recipe) -> list[str]:
    training = recipe.training
    if training.iterations is None:
        warm = "warmup_ratio * max_epochs" if training.warmup_ratio else ""
        span = ("max_epochs", "by_epoch=True, convert_to_iter_based=True")
    else:
        warm = _warm_iterations(training.iterations, training.warmup_ratio)
        span = ("max_iters", "by_epoch=False")
    return [*_warm_up(warm, span[1]), *_decay(training.schedule, begin=warm or "0", end=span[0], unit=span[1])]


def _warm_iterations(iterations: int, ratio: float) -> str:
    warm = math.ceil(iterations * ratio)
    return repr(warm) if warm >= SHORTEST_WARMUP else ""


def _warm_up(end: str, unit: str) -> list[str]:
    return [f"    dict(type=WarmUpLR, start_factor=1e-5, begin=0, end={end}, {unit}),\n"] if end else []


def _decay(schedule: Schedule, *, begin: str, end: str, unit: str) -> list[str]:
    where = f"begin={begin}, end={end}, {unit}"
    match schedule:
        case Schedule.COSINE:
            return [f"    dict(type=CosineAnnealingLR, eta_min=0.0, {where}),\n"]
        case Schedule.LINEAR:
            return [f"    dict(type=LinearLR, start_factor=1.0, end_factor=0.0, {where}),\n"]
        case Schedule.CONSTANT:
            return []
