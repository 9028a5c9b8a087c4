"""
Save checkpoints that are whole or absent, each with its adapter beside it.

`iter_N.pth` has the layout of mmengine's, so that xtuner's own tools read it, but holds nothing
except tensors and plain values: it loads with `weights_only=True`, and running it is not needed
to read it. What only a resumed run needs is in a file of its own, which can go when the checkpoint
stays. Beside what mmengine saves, that file keeps the gradients of an unfinished accumulation; with
the random numbers of each iteration drawn from its number, a resumed run goes on as if it had
not been interrupted.
"""

from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor
from xtuner.model import SupervisedFinetune

from app.domain.disk import size_of
from app.domain.trainer_events import CheckpointSaved
from worker.engine.adapters import load_checkpoint, write_adapter
from worker.engine.events import events
from worker.engine.folders import file_aside
from worker.engine.hooks.progress import begin_phase, is_checkpoint, is_main, updates_at
from worker.engine.leaving import departure
from worker.engine.resume import hash_checkpoint, resumption, state_file, weights_file

# mmengine demands these keys; with its own content the file could not be read without running code.
EMPTY_MESSAGE_HUB: dict[str, dict[str, Any]] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}


class SaveHook(Hook):
    """Saves at every so many iterations, at the last one, and when the run is asked to leave."""

    priority = "VERY_LOW"  # after the schedule has moved on, as a resumed run expects

    def __init__(self, *, every: int, keep: int) -> None:  # noqa: ARG002 - named where xtuner's configs name it
        """
        Take the cadence.

        Args:
            every: Iterations.
            keep: Checkpoints that stay. The supervisor sees to it, who knows which ones are pinned or
                being read.
        """
        self._every = every
        self._gradients: dict[str, Tensor] = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add what the run needs to go on, and remember the unfinished accumulation."""
        checkpoint["meta"].pop("config", None)  # mmengine would run it, to compare it
        checkpoint.update(load_checkpoint(state_file(Path(runner.work_dir), resumption.iteration)))
        self._gradients = checkpoint.get("gradients", {})

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:  # noqa: ANN401, ARG002
        """Give the iteration the gradients and the random numbers it would have had without an interruption."""
        _seed(runner)
        if self._gradients:
            for name, weight in _bare(runner).named_parameters():
                if name in self._gradients:
                    weight.grad = self._gradients[name].to(weight.device, weight.dtype)
            self._gradients = {}

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,  # noqa: ARG002
        data_batch: Any = None,  # noqa: ANN401, ARG002
        outputs: Any = None,  # noqa: ANN401, ARG002
    ) -> None:
        """Save when it is time, or the last chance."""
        if is_main() and (is_checkpoint(runner, self._every) or departure.is_asked):
            begin_phase("saving", runner.iter + 1)
            self._save(runner, runner.iter + 1)
            departure.saved = runner.iter + 1

    def _save(self, runner: Runner, iteration: int) -> None:
        folder, model = Path(runner.work_dir), _bare(runner)
        weights, state, tensors = weights_file(folder, iteration), state_file(folder, iteration), model.state_dict()
        with file_aside(state) as aside:
            torch.save(_state(runner), aside)
        with file_aside(weights) as aside:
            torch.save({"meta": _meta(runner, iteration), "state_dict": tensors}, aside)
        adapter = folder / "adapters" / f"iter_{iteration}" if model.use_lora else None
        if adapter:
            write_adapter(
                adapter, tensors, model.llm.peft_config["default"], base=model.llm.base_model.model.name_or_path
            )
        (folder / "last_checkpoint").write_text(str(weights), "utf-8")
        files = [state, weights, *([adapter] if adapter else [])]
        events.write(
            CheckpointSaved,
            iteration=iteration,
            updates=updates_at(runner, iteration),
            file=weights.name,
            adapter=str(adapter.relative_to(folder)) if adapter else None,
            state_file=str(state.relative_to(folder)),
            sha256=hash_checkpoint(folder, iteration),
            size_bytes=sum(size_of(file) for file in files),
        )


def _bare(runner: Runner) -> SupervisedFinetune:
    """Return the model without the wrapper that several GPUs need."""
    model: SupervisedFinetune = getattr(runner.model, "module", runner.model)
    return model


def _seed(runner: Runner) -> None:
    """Seed the iteration's dropout; a state saved and restored would miss what the data loader draws in between."""
    iteration, processes = runner.iter, runner.world_size
    torch.manual_seed((runner.seed << 32) + iteration * processes + runner.rank)


def _meta(runner: Runner, iteration: int) -> dict[str, Any]:
    return {"epoch": 0, "iter": iteration, "seed": runner.seed, "experiment_name": runner.experiment_name}


def _state(runner: Runner) -> dict[str, Any]:
    return {
        "message_hub": EMPTY_MESSAGE_HUB,
        "optimizer": runner.optim_wrapper.state_dict(),
        "param_schedulers": [_plain(scheduler.state_dict()) for scheduler in runner.param_schedulers],
        "gradients": {
            name: weight.grad for name, weight in _bare(runner).named_parameters() if weight.grad is not None
        },
    }


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """Keep the numbers of a schedule's state; mmengine also puts a bound method in."""
    return {name: value for name, value in state.items() if not callable(value)}
