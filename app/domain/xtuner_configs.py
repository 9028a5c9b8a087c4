"""
The configs that xtuner ships, as a start for the form: what `xtuner list-cfg -p` finds.

A config is a Python program. It is read by `ast` and never run, and xtuner is never imported:
only plain values, and names given to plain values earlier in the file, are understood. What a
config says and the form has no field for is named, so that nothing is dropped in silence.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from app.domain.errors import NotFoundError
from app.domain.messages import Message, message
from app.domain.recipes import MAX_PROBES, Method
from app.domain.training import Precision, Schedule
from app.domain.xtuner_source import UNKNOWN, PlainConfig, arguments_of, package_folder, type_of

MAX_FOUND = 50  # names shown at once; a longer list is better searched than read


@dataclass(frozen=True)
class FoundConfig:
    """What the form can take of a config, and what it cannot."""

    name: str
    base_model: str = ""
    """Hub id of the model that the config was written for."""
    values: dict[str, Any] = field(default_factory=dict)
    """Nested, by the recipe's own names."""
    notes: tuple[Message, ...] = ()
    """What the form has no field for."""


# ── Finding ────────────────────────────────────────────────────────────────


def list_names(pattern: str = "") -> list[str]:
    """
    Return the names that hold `pattern`, upper or lower case; all of them when it is empty.

    Raises:
        UnavailableError: xtuner is not installed where the web server runs.
    """
    wanted = pattern.strip().lower()
    return [name for name in _files() if wanted in name.lower()]


@cache
def _files() -> Mapping[str, Path]:
    folder = package_folder() / "configs"
    found = {path.stem: path for path in folder.rglob("*.py") if path.stem != "__init__"}
    return dict(sorted(found.items()))


def read_config(name: str) -> FoundConfig:
    """
    Read a config of xtuner's by its name.

    Raises:
        NotFoundError: xtuner has no config of this name.
        UnavailableError: xtuner is not installed where the web server runs.
    """
    path = _files().get(name)
    if path is None:
        raise NotFoundError(message("xtuner has no config named “{name}”.", name=name))
    return read_text(name, path.read_text("utf-8"))


def read_text(name: str, text: str) -> FoundConfig:
    """Read a config's text."""
    config = PlainConfig(ast.parse(text))
    values: dict[str, Any] = {}
    for path, value in _values(config):
        *parts, last = path.split(".")
        inner = values
        for part in parts:
            inner = inner.setdefault(part, {})
        inner[last] = value
    base = config.value("pretrained_model_name_or_path") or config.value("llm_name_or_path")
    return FoundConfig(name, base if isinstance(base, str) else "", values, tuple(_notes(config)))


# ── What the form takes ────────────────────────────────────────────────────

_SETTINGS = {  # names of PART 1, and where they go
    "SYSTEM": "mix.system",
    "max_length": "training.max_length",
    "pack_to_max_length": "training.packing",
    "use_varlen_attn": "training.varlen_attention",
    "batch_size": "training.batch_size",
    "accumulative_counts": "training.accumulation",
    "max_epochs": "training.epochs",
    "max_iters": "training.iterations",
    "lr": "training.learning_rate",
    "weight_decay": "training.weight_decay",
    "max_norm": "training.max_norm",
    "warmup_ratio": "training.warmup_ratio",
    "save_steps": "checkpoints.every",
    "save_total_limit": "checkpoints.keep",
}
_LORA = {"r": "r", "lora_alpha": "alpha", "lora_dropout": "dropout"}


def _values(config: PlainConfig) -> Iterator[tuple[str, Any]]:
    for name, path in _SETTINGS.items():
        value = config.value(name)
        if value is not None:
            yield path, value
    yield "method", _method(config)
    for name, node in _lora(config).items():
        value = config.evaluate(node)
        if name in _LORA and value is not UNKNOWN:
            yield f"training.lora.{_LORA[name]}", value
    yield "training.schedule", _schedule(config)
    precision = _precision(config)
    if precision is not None:
        yield "training.precision", precision
    checkpointing = config.evaluate(
        config.arguments("model").get("use_activation_checkpointing", ast.Constant(value=True))
    )
    yield "training.activation_checkpointing", checkpointing is not False
    questions = config.value("evaluation_inputs")
    if questions:
        asked = [str(question) for question in questions][:MAX_PROBES]
        yield "probes", [{"question": question, "group": "general", "reference": ""} for question in asked]


def _llm(config: PlainConfig) -> dict[str, ast.expr]:
    return arguments_of(config.arguments("model").get("llm"))


def _lora(config: PlainConfig) -> dict[str, ast.expr]:
    model = config.arguments("model")
    return arguments_of(model.get("lora") or model.get("llm_lora"))


def _method(config: PlainConfig) -> Method:
    if not _lora(config):
        return Method.FULL
    llm = _llm(config)
    is_quantised = arguments_of(llm.get("quantization_config")) or "quantization_llm" in config.arguments("model")
    return Method.QLORA if is_quantised else Method.LORA


def _schedule(config: PlainConfig) -> Schedule:
    node = config.expressions.get("param_scheduler")
    steps = node.elts if isinstance(node, ast.List) else [node] if node is not None else []
    kinds = [type_of(arguments_of(step)) for step in steps]
    if "CosineAnnealingLR" in kinds:
        return Schedule.COSINE
    return Schedule.LINEAR if kinds[1:] == ["LinearLR"] else Schedule.CONSTANT


def _precision(config: PlainConfig) -> Precision | None:
    loaded = _llm(config).get("torch_dtype")
    stated = config.arguments("optim_wrapper").get("dtype")
    for name in (
        ast.unparse(node).strip("'\"").removeprefix("torch.") for node in (loaded, stated) if node is not None
    ):
        if name in set(Precision):
            return Precision(name)
    return None


# ── What it has no field for ───────────────────────────────────────────────

_USUAL = {  # values that every recipe of Temper has anyway
    "optim_type": "AdamW",
    "betas": "(0.9, 0.999)",
    "dataloader_num_workers": "0",
    "sequence_parallel_size": "1",
    "load_from": "None",
    "resume": "False",
    "log_level": "'INFO'",
    "visualizer": "None",
}
_BUILT = {  # built out of the settings above, or by Temper itself
    "pretrained_model_name_or_path",
    "llm_name_or_path",
    "prompt_template",
    "evaluation_inputs",
    "evaluation_freq",
    "tokenizer",
    "model",
    "sampler",
    "train_dataloader",
    "optim_wrapper",
    "param_scheduler",
    "train_cfg",
    "custom_hooks",
    "default_hooks",
    "env_cfg",
    "log_processor",
    "randomness",
}
_LORA_USUAL = {"type", "r", "lora_alpha", "lora_dropout", "bias", "task_type"}
LONGEST_VALUE = 60  # characters of a value that a note quotes


def _notes(config: PlainConfig) -> Iterator[Message]:
    kind = type_of(config.arguments("model"))
    if kind and kind != "SupervisedFinetune":
        yield message("Kind of training {kind}: a run of Temper is a plain fine-tune.", kind=kind)
    template = config.expressions.get("prompt_template")
    if template is not None:
        name = ast.unparse(template).removeprefix("PROMPT_TEMPLATE.")
        yield message(
            "Prompt template {name}: it belongs to the model, and is set where that is registered.", name=name
        )
    for name, node in _lora(config).items():
        if name not in _LORA_USUAL:
            yield message("LoRA {name} = {value}", name=name, value=_quoted(node))
    every, asked = config.value("save_steps"), config.value("evaluation_freq")
    if asked is not None and asked != every:
        yield message("Questions asked every {count} iterations: Temper asks at every save.", count=asked)
    yield from _unknown_names(config)


def _unknown_names(config: PlainConfig) -> Iterator[Message]:
    for name, node in config.expressions.items():
        is_taken = name in _BUILT or (name in _SETTINGS and config.value(name) is not None)
        if is_taken or _USUAL.get(name) == ast.unparse(node):
            continue
        kind = type_of(arguments_of(node))
        if "dataset" in kind or kind in {"load_dataset", "LLaVADataset"}:
            yield message("Dataset {name}: a run of Temper takes its rows from the mix.", name=name)
        else:
            yield message("{name} = {value}", name=name, value=_quoted(node))


def _quoted(node: ast.expr) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
