"""Say what the trainer is doing, how long the run is, and what each iteration measured."""

import math
import resource
import time
from dataclasses import dataclass
from typing import Any, Literal

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from app.domain.trainer_events import MetricMeasured, PhaseBegan, PlanMade
from worker.engine.events import events
from worker.engine.failures import BadDataError, LossNotFiniteError
from worker.engine.leaving import Stage, departure

MOST_NOT_FINITE = 5  # iterations in a row; float16 may lose one or two while its loss scale settles

Phase = Literal["loading", "tokenising", "training", "saving", "answering", "finishing"]


def begin_phase(phase: Phase, iteration: int = 0) -> None:
    """Tell what the trainer does from now on."""
    events.write(PhaseBegan, phase=phase, iteration=iteration)
    _current.phase = phase


@dataclass
class _Current:
    """What the trainer does now, so that going back to training is told once."""

    phase: str = "loading"


_current = _Current()


def is_main() -> bool:
    """Whether this process is the run's only one, or its first: it alone writes."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def updates_at(runner: Runner, iteration: int) -> int:
    """Count the optimizer steps made when `iteration` is done; the last one may take fewer iterations."""
    every = runner.optim_wrapper._accumulative_counts  # noqa: SLF001 - mmengine has no public name for it
    is_last = iteration == runner.max_iters
    return int(math.ceil(iteration / every) if is_last else iteration // every)


def is_checkpoint(runner: Runner, every: int) -> bool:
    """Whether the iteration that was just trained is saved and answered: every so many, and the last."""
    iteration = runner.iter + 1
    return bool(iteration % every == 0 or iteration == runner.max_iters)


class PlanHook(Hook):
    """Tells the phases before training, and how long the run is once its data is packed."""

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        """Mark the end of loading: mmengine builds its hooks after the model and before the data."""
        begin_phase("tokenising")

    def before_run(self, runner: Runner) -> None:
        """Tell the plan: the data is packed and the model is built."""
        samples = len(runner.train_dataloader.dataset)
        if samples == 0:
            raise BadDataError("No row of the mix can be trained on: each was empty or cut before its answer.")
        weights = list(runner.model.parameters())
        events.write(
            PlanMade,
            iterations=runner.max_iters,
            updates=updates_at(runner, runner.max_iters),
            samples=samples,
            trainable_parameters=sum(weight.numel() for weight in weights if weight.requires_grad),
            parameters=sum(_size(weight) for weight in weights),
        )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:  # noqa: ANN401, ARG002
        """Tell that training begins, or goes on after a checkpoint; leave instead when that was asked for."""
        departure.leave_if_saved(runner.iter)
        departure.enter(Stage.WORKING)
        if _current.phase != "training":
            begin_phase("training", runner.iter)

    def after_train(self, runner: Runner) -> None:
        """Tell that nothing is left to train."""
        begin_phase("finishing", runner.iter)


def _size(weight: torch.nn.Parameter) -> int:
    """Count the numbers a weight stands for; four-bit weights are stored two in a byte."""
    state = getattr(weight, "quant_state", None)
    return math.prod(state.shape) if state is not None else weight.numel()


class MetricHook(Hook):
    """Tells every iteration's loss, learning rate, gradient norm, time and memory."""

    priority = "ABOVE_NORMAL"  # before the schedule moves the learning rate on

    def __init__(self) -> None:
        """Start with nothing measured."""
        self._began = 0.0
        self._not_finite = 0

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:  # noqa: ANN401, ARG002
        """Start the clock."""
        self._began = time.perf_counter()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,  # noqa: ARG002
        data_batch: Any = None,  # noqa: ANN401, ARG002
        outputs: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """Tell what this iteration measured, and end a run that has lost its way."""
        loss = float((outputs or {})["loss"].detach())  # waits for the GPU, so the clock is read after it
        seconds = time.perf_counter() - self._began
        events.write(
            MetricMeasured,
            iteration=runner.iter + 1,
            loss=_finite(loss),
            learning_rate=runner.optim_wrapper.get_lr()["lr"][0],
            grad_norm=_grad_norm(runner),
            seconds=seconds,
            memory_bytes=_peak_memory(),
        )
        self._not_finite = 0 if math.isfinite(loss) else self._not_finite + 1
        if self._not_finite >= MOST_NOT_FINITE:
            raise LossNotFiniteError(f"The loss was not a number for {MOST_NOT_FINITE} iterations in a row.")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _grad_norm(runner: Runner) -> float | None:
    """Return the norm of the update made in this iteration, if one was made."""
    if not runner.optim_wrapper.should_update() or "train/grad_norm" not in runner.message_hub.log_scalars:
        return None
    return _finite(float(runner.message_hub.get_scalar("train/grad_norm").current()))


def _peak_memory() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
