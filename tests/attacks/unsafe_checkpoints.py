"""
Checkpoints that run code when they are unpickled, and everything of ours that reads checkpoints.

`python -m tests.attacks.unsafe_checkpoints FOLDER` makes them, has each read in every way, and prints what came of
it as JSON. One process for all: loading torch takes longer than all the rest.
"""

import io
import json
import os
import pickle
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


class Canary:
    """Leaves a file wherever it is unpickled."""

    def __init__(self, path: Path) -> None:
        """Name the file."""
        self.path = path

    def __reduce__(self) -> Any:
        """Say how it is unpickled: by opening the file."""
        return (open, (str(self.path), "w"))


def make(folder: Path, canary: Path) -> dict[str, Path]:
    """Write one checkpoint of each kind."""
    import torch

    zipped, plain, tarred = folder / "zip.pth", folder / "plain.pth", folder / "tar.pth"
    torch.save({"meta": {}, "state_dict": {}, "x": Canary(canary)}, zipped)
    plain.write_bytes(pickle.dumps({"state_dict": {}, "x": Canary(canary)}))
    with tarfile.open(tarred, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickle.dumps({"protocol_version": 1000, "little_endian": True, "x": Canary(canary)})
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return {"zip": zipped, "plain": plain, "tar": tarred}


def ways() -> dict[str, Callable[[Path], Any]]:
    """Return everything that reads a checkpoint: ours, mmengine's for a resumed run, xtuner's own with its flag."""
    import torch
    from mmengine.runner.checkpoint import load_from_local

    from worker.engine.adapters import load_checkpoint

    def ours(path: Path) -> Any:
        """Read it as our own code does, without the help that libraries need."""
        forced = os.environ.pop(FORCED, None)
        try:
            return load_checkpoint(path)
        finally:
            if forced is not None:
                os.environ[FORCED] = forced

    return {
        "ours": ours,
        "mmengine": lambda path: load_from_local(str(path), map_location="cpu"),
        "xtuner": lambda path: torch.load(path, map_location="cpu", weights_only=False),
    }


def config_in_meta(folder: Path, canary: Path) -> dict[str, Any]:
    """Have a checkpoint whose `meta` holds a config that runs code loaded as a resumed run does."""
    import torch

    from worker.engine.hooks.saving import SaveHook
    from worker.engine.resume import resumption

    (folder / "states").mkdir()
    resumption.iteration = 2
    torch.save({"gradients": {}}, folder / "states" / "iter_2.pth")
    checkpoint: dict[str, Any] = {"meta": {"iter": 2, "config": f"open({str(canary)!r}, 'w')"}}

    class Runner:
        work_dir = str(folder)

    SaveHook(every=1, keep=-1).after_load_checkpoint(Runner(), checkpoint)
    return checkpoint["meta"]  # type: ignore[no-any-return]


def main() -> int:
    """Try all; print what came of each."""
    from worker.engine.failures import explain

    folder = Path(sys.argv[1])
    canary = folder / "canary"
    said = {}
    for kind, path in make(folder, canary).items():
        for name, read in ways().items():
            try:
                read(path)
                said[f"{kind} {name}"] = "read"
            except Exception as error:  # noqa: BLE001 - whatever refuses it
                said[f"{kind} {name}"] = explain(error)[0]
    meta = config_in_meta(folder, canary)
    print(json.dumps({"said": said, "meta": meta, "canary": canary.exists()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
