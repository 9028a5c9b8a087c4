"""
Make what can be given away of a checkpoint: its adapter, or the whole model after a full fine-tune.

Does what `xtuner convert pth_to_hf CONFIG PTH FOLDER --safe-serialization` does, with its default
of float16; for an adapter without loading the base model.
"""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from peft import LoraConfig

from worker.engine.adapters import copy_adapter, load_checkpoint, write_adapter
from worker.engine.whole_models import load_model, load_weights, write_model


def convert_checkpoint(config_file: Path, checkpoint: Path, folder: Path) -> None:
    """
    Write `folder` with its manifest: whole, or not at all.

    Args:
        checkpoint: Its weights, or the adapter's folder where only that was kept; the two give the same bytes.
    """
    if checkpoint.is_dir():
        copy_adapter(checkpoint, folder)
        return
    model: dict[str, Any] = Config.fromfile(config_file).model
    base = str(model["llm"]["pretrained_model_name_or_path"])
    state = load_checkpoint(checkpoint)["state_dict"]
    if "lora" in model:
        fields = {name: value for name, value in model["lora"].items() if name != "type"}
        write_adapter(folder, state, LoraConfig(**fields), base=base)
        return
    tuned = load_model(base, dtype=torch.float16)
    load_weights(tuned, state)
    write_model(folder, tuned, base=base)
