"""
Adapters out of checkpoints that somebody else's xtuner has pickled.

`weights_only` stays on, and every other name in the file becomes a thing that does nothing: neither
mmengine's history nor numpy, and never `getattr`, is there for the file to call. Only tensors come out. Each
adapter's manifest says of which file it is, so that one whose checkpoint was trained again is written anew.
"""

import json
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from peft import LoraConfig
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from app.domain.disk import MANIFEST
from worker.engine.adapters import PREFIX, write_adapter
from worker.engine.folders import file_aside

SOURCE = "source"  # in the manifest of an adapter
MOST_RANK = 1_024
OTHER_LAYOUT = {"wqkv"}  # InternLM2's own: a registered one is laid out as Llama, and has other layers


class Inert:
    """What stands for every name that is no tensor: made of anything, and without effect."""

    def __new__(cls, *_given: object, **_named: object) -> Self:
        """Take anything."""
        return super().__new__(cls)

    def __init__(self, *_given: object, **_named: object) -> None:
        """Keep nothing."""

    def __setstate__(self, _state: object) -> None:
        """Keep nothing."""


STANDING_FOR_NOTHING = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *("numpy.ndarray", "numpy.dtype", "builtins.getattr", "__builtin__.getattr"),
    *(f"numpy.dtypes.{kind}DType" for kind in ("Float64", "Float32", "Int64", "Int32", "Bool")),
)


class Wanted(BaseModel):
    """One checkpoint, and where its adapter goes."""

    model_config = ConfigDict(frozen=True)
    iteration: int
    file: Path
    adapter: Path


class Job(BaseModel):
    """All checkpoints of one run."""

    model_config = ConfigDict(frozen=True)
    folder: Path
    base: str
    alpha: int
    dropout: float
    checkpoints: tuple[Wanted, ...]


def adopt(job: Job) -> None:
    """Write the adapters that can be had, and print what is wrong with the others: one JSON object, by iteration."""
    said = {str(each.iteration): _adopted(job, each) for each in job.checkpoints}
    print(json.dumps(said), file=sys.stdout, flush=True)  # noqa: T201 - the answer to whoever started this


def _adopted(job: Job, wanted: Wanted) -> str:
    """Return what is wrong; nothing where the adapter of the file, as it is now, is there."""
    if not wanted.file.resolve().is_relative_to(job.folder.resolve()):
        return "it is a link to a file outside of its folder"
    try:
        source = _source_of(job, wanted.file)  # before it is read: of one that changes meanwhile, nothing is believed
        if _read_manifest(wanted.adapter).get(SOURCE) == source:
            return ""
        state = load_foreign(wanted.file)
        lora = lora_of(state, alpha=job.alpha, dropout=job.dropout)
        write_adapter(wanted.adapter, state, lora, base=job.base)
        _note_source(wanted.adapter, source)
    except (pickle.UnpicklingError, ValueError, OSError, RuntimeError, EOFError, KeyError) as error:
        return " ".join(str(error).split())[:300] or type(error).__name__
    return ""


def _source_of(job: Job, file: Path) -> dict[str, Any]:
    """Return what an adapter is made of: another size, time or setting makes another one."""
    facts = file.stat()
    settings = job.model_dump(include={"base", "alpha", "dropout"})
    return {"size_bytes": facts.st_size, "changed_ns": facts.st_mtime_ns, **settings}


def _read_manifest(adapter: Path) -> dict[str, Any]:
    """Read what an adapter's folder says of itself; nothing where it is not whole."""
    try:
        found = json.loads((adapter / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _note_source(adapter: Path, source: Mapping[str, Any]) -> None:
    manifest = _read_manifest(adapter) | {SOURCE: source}
    with file_aside(adapter / MANIFEST) as aside:
        aside.write_text(json.dumps(manifest, indent=2), "utf-8")


def load_foreign(path: Path) -> dict[str, Tensor]:
    """
    Read the LoRA tensors of a checkpoint.

    Raises:
        pickle.UnpicklingError: the file names anything that could be called.
        ValueError: there is no adapter in it.
    """
    with torch.serialization.safe_globals([(Inert, name) for name in STANDING_FOR_NOTHING]):
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else {}
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor) and ".lora_" in str(name)}
    if not tensors:
        raise ValueError("there is no adapter in it")
    return {name if name.startswith(PREFIX) else f"{PREFIX}{name}": value for name, value in tensors.items()}


def lora_of(state: Mapping[str, Tensor], *, alpha: int, dropout: float) -> LoraConfig:
    """Return the shape of an adapter, of its tensors."""
    layers = {name.partition(".lora_")[0].rpartition(".")[2] for name in state}
    if layers & OTHER_LAYOUT:
        raise ValueError("its layers are InternLM2's own, and the registered model is laid out as Llama")
    ranks = {tensor.shape[0] for name, tensor in state.items() if ".lora_A." in name}
    if len(ranks) != 1 or not 0 < next(iter(ranks)) <= MOST_RANK:
        raise ValueError("its tensors are not those of a LoRA adapter of one rank")
    return LoraConfig(
        r=next(iter(ranks)),
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=sorted(layers),
        task_type="CAUSAL_LM",
    )
