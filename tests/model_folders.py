"""Folders that look like models: real safetensors headers, no weights worth the name."""

import json
import struct
from pathlib import Path
from typing import Any

LLAMA: dict[str, Any] = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
INTERNLM2: dict[str, Any] = {
    "architectures": ["InternLM2ForCausalLM"],
    "model_type": "internlm2",
    "auto_map": {"AutoModelForCausalLM": "modeling_internlm2.InternLM2ForCausalLM"},
}


def make_model_folder(
    folder: Path, *, config: dict[str, Any] | None = None, chat_template: str = "", files: int = 1
) -> Path:
    """Write a folder in Hugging Face form: a config, a tokenizer, and `files` weight files of 12 numbers each."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(LLAMA if config is None else config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": chat_template}))
    names = ["model.safetensors"] if files == 1 else [f"model-{number}.safetensors" for number in range(files)]
    for name in names:
        write_weights(folder / name)
    if files > 1:
        index = {"weight_map": {f"layer.{number}": name for number, name in enumerate(names)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def write_weights(path: Path) -> None:
    """Write a safetensors file of one tensor of 3 × 4 half-precision numbers."""
    tensor = {"dtype": "F16", "shape": [3, 4], "data_offsets": [0, 24]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "layer": tensor}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(24))


def make_llama_folder(folder: Path, *, layers: int = 2, hidden: int = 64, words: int = 300) -> Path:
    """Write a folder whose safetensors header is a small Llama's, over no numbers at all."""
    inner = 2 * hidden
    config = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "vocab_size": words}
    make_model_folder(folder, config=LLAMA | config | {"tie_word_embeddings": True})
    names = {"self_attn.q_proj": (hidden, hidden), "self_attn.v_proj": (hidden, hidden)}
    names |= {"mlp.up_proj": (inner, hidden), "mlp.down_proj": (hidden, inner)}
    shapes = {f"model.layers.{layer}.{name}.weight": shape for layer in range(layers) for name, shape in names.items()}
    shapes |= {"model.embed_tokens.weight": (words, hidden), "lm_head.weight": (words, hidden)}
    tensors = {name: {"dtype": "F16", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    header = json.dumps(tensors).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return folder
