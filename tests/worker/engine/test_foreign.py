"""Adapters out of another xtuner's checkpoints: tensors come out, and nothing that the file names is called."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from app.domain.disk import MANIFEST
from tests.worker.engine.conftest import launch

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

WEIGHTS = "adapter_model.safetensors"
LAYER = "llm.base_model.model.model.layers.0.self_attn.{}.lora_{}.default.weight"


def checkpoint(path: Path, *, weight: float = 0.5, **more: Any) -> Path:
    """Write a checkpoint as mmengine does: tensors, and beside them objects of its own and of numpy's."""
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    state = {
        LAYER.format(layer, part): torch.full((4, 8) if part == "A" else (8, 4), weight)
        for layer in ("q_proj", "v_proj")
        for part in "AB"
    }
    history = HistoryBuffer(log_history=[1.5, 2.5], count_history=[1, 1])
    hub = {"log_scalars": {"train/loss": history}, "runtime_info": {"seed": np.int64(1)}, "resumed_keys": {}}
    torch.save({"meta": {"cfg": "import os", "iter": 2}, "message_hub": hub, "state_dict": state, **more}, path)
    return path


class Calls:
    """Something whose reading runs a command."""

    def __init__(self, trap: Path) -> None:
        """Take what the command would make."""
        self.trap = trap

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        """Say how it is read."""
        return os.system, (f"touch {self.trap}",)


def adopt(folder: Path, *files: Path) -> dict[str, str]:
    """Take the adapters of some checkpoints; return what is wrong with each, by its place from 1."""
    job = {
        "folder": str(folder),
        "base": "base",
        "alpha": 16,
        "dropout": 0.1,
        "checkpoints": [
            {"iteration": number, "file": str(file), "adapter": str(folder / f"adapter-{number}")}
            for number, file in enumerate(files, start=1)
        ],
    }
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    done = launch("adopt", folder / "job.json")
    assert done.returncode == 0, done.stderr
    said: dict[str, str] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return said


def adopt_here(folder: Path, file: Path, *, alpha: int = 16) -> None:
    """Take the adapter of one checkpoint in this process."""
    from worker.engine.foreign import Job, Wanted, adopt

    wanted = Wanted(iteration=1, file=file, adapter=folder / "adapter-1")
    adopt(Job(folder=folder, base="base", alpha=alpha, dropout=0.1, checkpoints=(wanted,)))


def test_adapters_come_out_of_checkpoints_as_xtuner_writes_them(tmp_path: Path) -> None:
    """What mmengine and numpy have put in is read as nothing; a trap, an empty file and a link are named."""
    from safetensors.torch import load_file

    work, trap = tmp_path / "train", tmp_path / "ran"
    work.mkdir()
    good = checkpoint(work / "iter_1.pth")
    bad = checkpoint(work / "iter_2.pth", optimizer=Calls(trap))
    (work / "iter_3.pth").write_bytes(b"")
    (work / "iter_4.pth").symlink_to(checkpoint(tmp_path / "other.pth"))

    said = adopt(work, good, bad, work / "iter_3.pth", work / "iter_4.pth")

    assert [bool(said[str(number)]) for number in range(1, 5)] == [False, True, True, True]
    assert not trap.exists()
    tensors = load_file(work / "adapter-1" / "adapter_model.safetensors")
    config = json.loads((work / "adapter-1" / "adapter_config.json").read_text("utf-8"))
    assert len(tensors) == 4
    assert all((tensor == 0.5).all() for tensor in tensors.values())
    assert (config["r"], config["lora_alpha"], config["target_modules"]) == (4, 16, ["q_proj", "v_proj"])
    assert sorted(path.name for path in work.glob("adapter-*")) == ["adapter-1"]


def weights_in(adapter: Path) -> set[float]:
    from safetensors.torch import load_file

    return {value for tensor in load_file(adapter / WEIGHTS).values() for value in tensor.flatten().tolist()}


def test_an_adapter_is_that_of_the_checkpoint_as_it_is_now(tmp_path: Path) -> None:
    """Written anew when the checkpoint was trained again or the config is another; else left as it is."""
    file, adapter = checkpoint(tmp_path / "iter_1.pth"), tmp_path / "adapter-1"
    adopt_here(tmp_path, file)
    taken = (adapter / WEIGHTS).stat().st_ino

    adopt_here(tmp_path, file)
    again = (adapter / WEIGHTS).stat().st_ino
    adopt_here(tmp_path, checkpoint(file, weight=7.0))

    assert again == taken
    assert weights_in(adapter) == {7.0}
    adopt_here(tmp_path, file, alpha=32)
    assert json.loads((adapter / "adapter_config.json").read_text("utf-8"))["lora_alpha"] == 32


def test_an_adapter_says_which_file_it_is_of(tmp_path: Path) -> None:
    """In its manifest, which goes into no copy; where that is lost, the adapter is written anew."""
    file, adapter = checkpoint(tmp_path / "iter_1.pth"), tmp_path / "adapter-1"
    adopt_here(tmp_path, file)

    manifest = json.loads((adapter / MANIFEST).read_text("utf-8"))
    (adapter / MANIFEST).write_text("[", "utf-8")
    (adapter / WEIGHTS).write_bytes(b"broken")
    adopt_here(tmp_path, file)

    facts = file.stat()
    assert (manifest["source"]["size_bytes"], manifest["source"]["changed_ns"]) == (facts.st_size, facts.st_mtime_ns)
    assert sorted(each["name"] for each in manifest["files"]) == ["adapter_config.json", WEIGHTS]
    assert weights_in(adapter) == {0.5}
