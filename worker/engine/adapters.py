"""
From a checkpoint to an adapter in Hugging Face form, without building the model.

The tensors equal those of `xtuner convert pth_to_hf --safe-serialization` to the last bit:
float16, its default. That command loads the base model for it; the adapter's own tensors and
the config that trained them are enough.
"""

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import save_file
from torch import Tensor

from app.domain.disk import MANIFEST
from worker.engine.failures import UnsafeCheckpointError
from worker.engine.folders import folder_aside, write_manifest

PREFIX, ADAPTER_NAME = "llm.", ".default."
WEIGHTS = "adapter_model.safetensors"


def load_checkpoint(path: Path) -> dict[str, Any]:
    """
    Read a checkpoint's tensors, mapped from the file rather than copied.

    Raises:
        UnsafeCheckpointError: the file holds anything but tensors and plain values; nothing of it was run.
    """
    try:
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except UnpicklingError as error:
        raise UnsafeCheckpointError(f"unsafe checkpoint {path.name}: {_first_line(error)}") from error
    except RuntimeError as error:
        if "legacy .tar format" not in str(error):
            raise
        raise UnsafeCheckpointError(f"unsafe checkpoint {path.name}: {_first_line(error)}") from error
    return loaded


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def adapter_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a checkpoint's LoRA tensors as PEFT names them, and round them to float16."""
    return {
        name.removeprefix(PREFIX).replace(ADAPTER_NAME, "."): tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in state.items()
        if ".lora_" in name
    }


def write_adapter(folder: Path, state: Mapping[str, Tensor], lora: LoraConfig, *, base: str) -> None:
    """Write an adapter folder: whole, or not at all."""
    with folder_aside(folder) as aside:
        save_file(adapter_tensors(state), aside / WEIGHTS, metadata={"format": "pt"})
        exported_config(lora, base).save_pretrained(str(aside))
        write_manifest(aside)


def copy_adapter(source: Path, folder: Path) -> None:
    """Copy an adapter folder: whole, or not at all."""
    with folder_aside(folder) as aside:
        for file in source.iterdir():
            if file.name != MANIFEST:
                shutil.copyfile(file, aside / file.name)
        write_manifest(aside)


def exported_config(lora: LoraConfig, base: str) -> LoraConfig:
    """Return the adapter's config as it is given away: for answering, and naming its base model."""
    exported = LoraConfig(**{**lora.to_dict(), "inference_mode": True, "base_model_name_or_path": base})
    # PEFT holds the layers as a set; in order, two exports of one checkpoint are the same bytes.
    exported.target_modules = sorted(exported.target_modules)
    return exported
