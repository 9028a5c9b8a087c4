"""
Save checkpoints that are whole or absent, each with its adapter beside it.

`iter_N.pth` has the layout of mmengine's, so that xtuner's own tools read it, but holds nothing
except tensors and plain values: it loads with `weights_only=True`, and running it is not needed
to read it. Beside what mmengine saves it keeps the gradients of an unfinished accumulation; with
the random numbers of each iteration drawn from its number, a resumed run goes on as if it had
not been interrupted.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor
from xtuner.model import SupervisedFinetune

from app.domain.trainer_events import CheckpointRetired, CheckpointSaved
from worker.engine.adapters import write_adapter
from worker.engine.events import events
from worker.engine.folders import file_aside, size_of
from worker.engine.hooks.progress import begin_phase, is_checkpoint, is_main, updates_at

# mmengine demands these keys; with its own content the file could not be read without running code.
EMPTY_MESSAGE_HUB: dict[str, dict[str, Any]] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}


class SaveHook(Hook):
    """Saves at every so many iterations and at the last one, then deletes the oldest."""

    priority = "VERY_LOW"  # after the schedule has moved on, as a resumed run expects

    def __init__(self, *, every: int, keep: int) -> None:
        """
        Take the cadence and the retention.

        Args:
            every: Iterations.
            keep: Checkpoints that stay; -1 for all.
        """
        self._every, self._keep = every, keep
        self._gradients: dict[str, Tensor] = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Remember the unfinished accumulation of the checkpoint that the run goes on from."""
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
        """Save when it is time."""
        if is_main() and is_checkpoint(runner, self._every):
            begin_phase("saving", runner.iter + 1)
            self._save(runner, runner.iter + 1)
            retire(Path(runner.work_dir), keep=self._keep)

    def _save(self, runner: Runner, iteration: int) -> None:
        folder, model = Path(runner.work_dir), _bare(runner)
        file, state = folder / f"iter_{iteration}.pth", model.state_dict()
        with file_aside(file) as aside:
            torch.save(_content(runner, state, iteration), aside)
        adapter = folder / "adapters" / f"iter_{iteration}" if model.use_lora else None
        if adapter:
            write_adapter(
                adapter, state, model.llm.peft_config["default"], base=model.llm.base_model.model.name_or_path
            )
        (folder / "last_checkpoint").write_text(str(file), "utf-8")
        events.write(
            CheckpointSaved,
            iteration=iteration,
            updates=updates_at(runner, iteration),
            file=file.name,
            adapter=str(adapter.relative_to(folder)) if adapter else None,
            size_bytes=size_of(file) + (size_of(adapter) if adapter else 0),
        )


def retire(folder: Path, *, keep: int) -> None:
    """Delete the oldest checkpoints beyond `keep`; at least the newest stays."""
    saved = sorted(int(file.stem.removeprefix("iter_")) for file in folder.glob("iter_*.pth"))
    for iteration in saved[: -max(keep, 1)] if keep >= 0 else ():
        shutil.rmtree(folder / "adapters" / f"iter_{iteration}", ignore_errors=True)
        (folder / f"iter_{iteration}.pth").unlink()
        events.write(CheckpointRetired, iteration=iteration)


def _bare(runner: Runner) -> SupervisedFinetune:
    """Return the model without the wrapper that several GPUs need."""
    model: SupervisedFinetune = getattr(runner.model, "module", runner.model)
    return model


def _seed(runner: Runner) -> None:
    """Seed the iteration's dropout; a state saved and restored would miss what the data loader draws in between."""
    iteration, processes = runner.iter, runner.world_size
    torch.manual_seed((runner.seed << 32) + iteration * processes + runner.rank)


def _content(runner: Runner, state: dict[str, Tensor], iteration: int) -> dict[str, Any]:
    return {
        "meta": {"epoch": 0, "iter": iteration, "seed": runner.seed, "experiment_name": runner.experiment_name},
        "state_dict": state,
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
