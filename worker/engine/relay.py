"""
Lay an InternLM2 model out as Llama: the same numbers under other names.

InternLM2 comes with code of its own, which transformers 4.50 and later cannot generate with, and
which nobody should have to trust. Its arithmetic is Llama's: the logits are the same, up to the
order in which a matrix product is summed. Weights go through memory one shard at a time.

Source:
    The layout of `wqkv`: `modeling_internlm2.py` as shipped in the xtuner 0.2.0 wheel.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GenerationConfig, LlamaConfig

from worker.engine.failures import BadModelError
from worker.engine.folders import folder_aside, write_manifest
from worker.engine.relay_tokenizer import write_tokenizer

ARCHITECTURE = "InternLM2ForCausalLM"
DATA_FILES = ("*.json", "*.safetensors", "*.bin", "tokenizer.model")  # everything of a model but its code

_NAMES = (
    (r"^model\.tok_embeddings\.", "model.embed_tokens."),
    (r"^output\.", "lm_head."),
    (r"\.attention_norm\.", ".input_layernorm."),
    (r"\.ffn_norm\.", ".post_attention_layernorm."),
    (r"\.attention\.wo\.", ".self_attn.o_proj."),
    (r"\.feed_forward\.w1\.", ".mlp.gate_proj."),
    (r"\.feed_forward\.w3\.", ".mlp.up_proj."),
    (r"\.feed_forward\.w2\.", ".mlp.down_proj."),
)


def relay_model(source: Path, folder: Path) -> None:
    """
    Write the Llama layout of the model at `source` to `folder`: whole, or not at all.

    Args:
        source: A folder; a hub id that is no folder is downloaded, its code left out.

    Raises:
        BadModelError: it is not an InternLM2 model, or its weights are missing.
    """
    where = source if source.is_dir() else Path(snapshot_download(str(source), allow_patterns=list(DATA_FILES)))
    config = _read_config(where)
    with folder_aside(folder) as aside:
        llama = llama_config(config)
        llama.save_pretrained(aside)
        _write_shards(where, aside, llama)
        ends = write_tokenizer(where, aside)
        GenerationConfig(bos_token_id=llama.bos_token_id, eos_token_id=ends).save_pretrained(aside)
        write_manifest(aside)


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadModelError(f"config.json cannot be read: {error}") from error
    if ARCHITECTURE not in config.get("architectures", ()):
        raise BadModelError(f"The model is not an {ARCHITECTURE}, but {config.get('architectures')}.")
    return config


def llama_config(config: Mapping[str, Any]) -> LlamaConfig:
    """Return the Llama config that says what an InternLM2 config says."""
    same = (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "hidden_act",
        "max_position_embeddings",
        "initializer_range",
        "rms_norm_eps",
        "rope_theta",
        "rope_scaling",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "tie_word_embeddings",
        "torch_dtype",
    )
    fields = {name: config[name] for name in same if name in config}
    return LlamaConfig(**fields, attention_bias=config.get("bias", False), architectures=["LlamaForCausalLM"])


def relay_tensors(tensors: Mapping[str, Tensor], config: LlamaConfig) -> Iterator[tuple[str, Tensor]]:
    """Yield each tensor under Llama's name; one `wqkv` becomes three."""
    for name, tensor in tensors.items():
        if ".attention.wqkv." in name:
            yield from _split_wqkv(name, tensor, config)
        elif not name.endswith(".inv_freq"):  # computed from the config; old checkpoints carry it all the same
            yield _renamed(name), tensor.contiguous()


def _renamed(name: str) -> str:
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _split_wqkv(name: str, tensor: Tensor, config: LlamaConfig) -> Iterator[tuple[str, Tensor]]:
    """
    Take queries, keys and values apart.

    Args:
        tensor: Weight of shape (kv_heads * (queries + 2) * head, hidden), or a bias without the
            last dimension, where `queries` is the number of query heads to one key-value head.
    """
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    queries, head = heads // kv_heads, config.hidden_size // heads
    groups = tensor.view(kv_heads, queries + 2, head, *tensor.shape[1:])
    for letter, part in (("q", groups[:, :queries]), ("k", groups[:, -2]), ("v", groups[:, -1])):
        llama_name = name.replace(".attention.wqkv.", f".self_attn.{letter}_proj.")
        yield llama_name, part.reshape(-1, *tensor.shape[1:]).contiguous()


def _write_shards(source: Path, folder: Path, config: LlamaConfig) -> None:
    shards = sorted(source.glob("*.safetensors")) or sorted(source.glob("pytorch_model*.bin"))
    if not shards:
        raise BadModelError("The folder has no weights: neither *.safetensors nor pytorch_model*.bin.")
    places: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        print(f"laying out shard {number} of {len(shards)}", flush=True)  # noqa: T201 - progress, for the log
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        tensors = dict(relay_tensors(_load(shard), config))
        save_file(tensors, folder / name, metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, name)
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    index = {"metadata": {"total_size": size}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), "utf-8")


def _load(shard: Path) -> dict[str, Tensor]:
    if shard.suffix == ".safetensors":
        return load_file(shard)
    tensors: dict[str, Tensor] = torch.load(shard, map_location="cpu", weights_only=True, mmap=True)
    return tensors
