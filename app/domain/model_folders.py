"""
What a base model is, read from its folder: architecture, parameters, size and prompt template.

Only JSON and the headers of safetensors files are read; nothing of the model is loaded or run.
Covers folders in Hugging Face form. Does not cover hub ids: nothing is fetched here.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.errors import FieldError, InvalidError
from app.domain.messages import Message, message
from app.domain.safetensors_files import read_header

MAX_JSON_BYTES = 64 << 20  # the largest tokenizer_config.json and index in the wild are a tenth of it

INTERNLM2 = "internlm2"

NATIVE_TYPES = frozenset(
    {
        "cohere",
        "cohere2",
        "gemma",
        "gemma2",
        "gemma3_text",
        "glm",
        "llama",
        "mistral",
        "mixtral",
        "olmo",
        "olmo2",
        "phi",
        "phi3",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "smollm3",
        "stablelm",
        "starcoder2",
    }
)
"""Model types that transformers trains with its own code, whatever code their folder carries too."""


@dataclass(frozen=True)
class ModelFacts:
    """What the files of a model say of it."""

    architecture: str
    model_type: str
    parameters: int
    size_bytes: int
    """Of the weights."""
    template: str
    """The prompt template that fits, by xtuner's name."""

    @property
    def must_be_laid_out_anew(self) -> bool:
        """Whether it trains only after its weights have been laid out as Llama."""
        return self.model_type == INTERNLM2


def read_model(folder: Path) -> ModelFacts:
    """
    Read what a folder holds.

    Raises:
        InvalidError: at `source`, saying why runs cannot start from it.
    """
    config = _read_config(folder)
    _check_config(config)
    _check_tokenizer(folder)
    files = weight_files(folder)
    model_type = str(config.get("model_type", ""))
    return ModelFacts(
        architecture=_architecture(config),
        model_type=INTERNLM2 if _is_internlm2(config) else model_type,
        parameters=sum(_count_parameters(file) for file in files),
        size_bytes=sum(file.stat().st_size for file in files),
        template=propose_template(config, name=folder.name, chat_template=_chat_template(folder)),
    )


def refuse(text: Message) -> InvalidError:
    """Make the error that names the source."""
    return InvalidError([FieldError("source", text)])


# ── config.json ────────────────────────────────────────────────────────────


def _read_config(folder: Path) -> dict[str, Any]:
    if folder.suffix == ".gguf" and folder.is_file():
        raise refuse(_GGUF)
    if not folder.is_dir():
        raise refuse(message("There is no folder {folder} on this machine.", folder=str(folder)))
    path = folder / "config.json"
    if not path.is_file():
        raise refuse(_GGUF if any(folder.glob("*.gguf")) else _no_config(folder))
    config = read_json(path)
    if config is None:
        raise refuse(message("config.json in this folder cannot be read."))
    return config


_GGUF = message(
    "This is a GGUF file: quantised for answering, and not to be trained. "
    "Register the folder it was made from, with config.json and safetensors files."
)


def _no_config(folder: Path) -> Message:
    inner = next((path.parent for path in sorted(folder.glob("*/config.json"))), None)
    if inner is not None:
        return message("There is no config.json in this folder. Did you mean {folder}?", folder=str(inner))
    return message("There is no config.json in this folder, so it is not a model in Hugging Face form.")


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None when there is none, or something else."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:  # a pipe would never end
            return None
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _check_config(config: Mapping[str, Any]) -> None:
    architecture, model_type = _architecture(config), str(config.get("model_type", ""))
    if not architecture.endswith("ForCausalLM") and not _is_internlm2(config):
        text = message(
            "This is a model of kind {kind}. Temper tunes models that write text: "
            "their architecture ends in ForCausalLM.",
            kind=architecture or model_type or "?",
        )
        raise refuse(text)
    if config.get("auto_map") and model_type not in NATIVE_TYPES and not _is_internlm2(config):
        raise refuse(
            message("This model runs code of its own ({kind}), and Temper runs none but its own.", kind=architecture)
        )
    quantised = config.get("quantization_config")
    if isinstance(quantised, Mapping):
        method = str(quantised.get("quant_method", "?"))
        text = message(
            "These weights are quantised already ({method}). Register the model they were made from.", method=method
        )
        raise refuse(text)


def _architecture(config: Mapping[str, Any]) -> str:
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""


def _is_internlm2(config: Mapping[str, Any]) -> bool:
    return config.get("model_type") == INTERNLM2 or _architecture(config) == "InternLM2ForCausalLM"


def _check_tokenizer(folder: Path) -> None:
    names = ("tokenizer.json", "tokenizer.model", "vocab.json")
    if not any((folder / name).is_file() for name in names):
        raise refuse(message("There is no tokenizer in this folder: none of {names}.", names=", ".join(names)))


# ── Weights ────────────────────────────────────────────────────────────────


def weight_files(folder: Path) -> list[Path]:
    """Return a model's safetensors files; InvalidError at `source` when there are none, or one is missing."""
    files = list(_named_files(folder))
    for file in files:
        if not file.is_file():
            raise refuse(message("{file} is missing from this folder. Was the download cut short?", file=file.name))
    if files:
        return files
    if any(folder.glob("*.bin")) or any(folder.glob("*.pth")):
        raise refuse(
            message(
                "The weights in this folder are pickled (.bin), which can run code when they are read. "
                "Register a copy that holds safetensors files."
            )
        )
    if any(folder.glob("*.gguf")):
        raise refuse(_GGUF)
    raise refuse(message("There are no weights in this folder: no safetensors file."))


def _named_files(folder: Path) -> Iterator[Path]:
    """Yield the weight files: those that the index names, where there is one."""
    index = read_json(folder / "model.safetensors.index.json")
    if index is None:
        whole = folder / "model.safetensors"
        yield from [whole] if whole.is_file() else []
        return
    named = index.get("weight_map")
    names = {str(name) for name in named.values()} if isinstance(named, dict) else set()
    for name in sorted(names):
        if Path(name).name != name:
            text = message("model.safetensors.index.json names a file outside of this folder: {file}.", file=name)
            raise refuse(text)
        yield folder / name


def _count_parameters(file: Path) -> int:
    """Count the numbers in a safetensors file, from its header alone; InvalidError where that is not to be trusted."""
    try:
        return sum(math.prod(tensor["shape"]) for tensor in read_header(file).values())
    except (OSError, ValueError):
        text = message(
            "{file} is not a safetensors file. A Git LFS pointer in its place looks like this.", file=file.name
        )
        raise refuse(text) from None


# ── Prompt template ────────────────────────────────────────────────────────

_BY_MARK = (  # what a chat template writes around a turn, the most telling first
    ("<|start_header_id|>", "llama3_chat"),
    ("<start_of_turn>", "gemma"),
    ("<|START_OF_TURN_TOKEN|>", "cohere_chat"),
    ("<|im_start|>", "qwen_chat"),
    ("<｜User｜>", "deepseek_v2"),
)
_BY_TYPE = {
    INTERNLM2: "internlm2_chat",
    "mixtral": "mixtral",
    "mistral": "mistral",
    "phi3": "phi3_chat",
    "gemma": "gemma",
    "gemma2": "gemma",
    "gemma3_text": "gemma",
    "cohere": "cohere_chat",
    "qwen2": "qwen_chat",
    "qwen2_moe": "qwen_chat",
    "qwen3": "qwen_chat",
    "qwen3_moe": "qwen_chat",
    "minicpm3": "minicpm3",
    "minicpm": "minicpm",
}
_BY_NAME = (
    (r"zephyr", "zephyr"),
    (r"internlm2", "internlm2_chat"),
    (r"vicuna", "vicuna"),
    (r"wizardcoder", "wizardcoder"),
    (r"wizardlm", "wizardlm"),
    (r"code-?llama", "code_llama_chat"),
    (r"deepseek-?coder", "deepseek_coder"),
    (r"llama-?_?3", "llama3_chat"),
    (r"llama-?_?2", "llama2_chat"),
    (r"smollm|qwen|chatml", "qwen_chat"),
)


def propose_template(config: Mapping[str, Any], *, name: str, chat_template: str = "") -> str:
    """
    Name the prompt template of xtuner that fits a model.

    InternLM2 comes first, since ChatML is what its own template looks like; then what the model's
    chat template writes, its type, its name; `default` where nothing tells.
    """
    if _is_internlm2(config):
        return "internlm2_chat"
    for mark, template in _BY_MARK:
        if mark in chat_template:
            return template
    by_type = _BY_TYPE.get(str(config.get("model_type", "")))
    if by_type is not None:
        return by_type if by_type != "mistral" or not re.search("zephyr", name, re.IGNORECASE) else "zephyr"
    for pattern, template in _BY_NAME:
        if re.search(pattern, name, re.IGNORECASE):
            return template
    return "llama2_chat" if "[INST]" in chat_template else "default"


def _chat_template(folder: Path) -> str:
    settings = read_json(folder / "tokenizer_config.json") or {}
    template = settings.get("chat_template", "")
    if isinstance(template, list):  # several, by name
        template = " ".join(str(entry.get("template", "")) for entry in template if isinstance(entry, dict))
    path = folder / "chat_template.jinja"
    if not template and path.is_file() and path.stat().st_size <= MAX_JSON_BYTES:
        template = path.read_text("utf-8", errors="replace")
    return str(template)
