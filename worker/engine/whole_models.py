"""Load, fill and write whole models in Hugging Face form, without running code of theirs."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from worker.engine.adapters import PREFIX
from worker.engine.failures import BadModelError
from worker.engine.folders import folder_aside, write_manifest

MOST_SHARD = "2GB"  # xtuner's own; a download that fails starts over with at most so much


def load_model(base: str, *, dtype: torch.dtype | str) -> PreTrainedModel:
    """
    Load a base model onto the CPU.

    Args:
        base: Folder or hub id.
        dtype: `auto` takes the format in which it was saved.
    """
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(base, torch_dtype=dtype, trust_remote_code=False)
    return model


def load_weights(model: PreTrainedModel, state: Mapping[str, Tensor]) -> None:
    """
    Put a full fine-tune's weights into its base model.

    Raises:
        BadModelError: the weights are not those of this model.
    """
    weights = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    missing, unknown = model.load_state_dict(weights, strict=False)
    tied = set(model._tied_weights_keys or ())  # noqa: SLF001 - transformers has no public name for it
    if unknown or set(missing) - tied:
        raise BadModelError(f"The checkpoint does not fit the model: {[*unknown, *missing][:3]}")


def write_model(folder: Path, model: PreTrainedModel, *, base: str) -> None:
    """Write a model with its base's tokenizer and a manifest: whole, or not at all."""
    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    with folder_aside(folder) as aside:
        model.save_pretrained(aside, safe_serialization=True, max_shard_size=MOST_SHARD)
        tokenizer.save_pretrained(aside)
        write_manifest(aside)
