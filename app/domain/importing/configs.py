"""
The config of a work folder, read by `ast` and never run.

Both forms are understood: the program that a person edits, and what xtuner writes down of it at the start
of a run. What is no plain value is passed over; what a recipe has no place for is named.
"""

import ast
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from app.domain.importing.found import FoundConfig
from app.domain.importing.places import fitting
from app.domain.messages import message
from app.domain.texts import storable
from app.domain.xtuner_configs import read_text
from app.domain.xtuner_source import UNKNOWN, PlainConfig, arguments_of, type_of

LONGEST_CONFIG = 1 << 20  # characters; to parse them takes some hundred times as much memory
MOST_NODES = 200_000  # of a syntax tree; xtuner's configs have some thousands
MOST_QUESTIONS = 64
MOST_FILES = 64  # of rows
_LAST_NAME = re.compile(r"[\w]+$")


def read_config(name: str, text: str) -> FoundConfig | None:
    """Read a config's text; None where it is no config that can be read."""
    if len(text) > LONGEST_CONFIG:
        return None
    try:
        tree = ast.parse(text)
        if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
            return None
        config = PlainConfig(tree)
        if not ({"model", "train_cfg", "pretrained_model_name_or_path"} & config.expressions.keys()):
            return None
        return _read(name, text, config)
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


def _read(name: str, text: str, config: PlainConfig) -> FoundConfig:
    known = read_text(name, text)
    values = {key: value for key, value in known.values.items() if key != "probes"}
    chat = _hook(config, "EvaluateChatHook")
    if longest := _count(config.value("max_new_tokens") or _value(config, chat, "max_new_tokens")):
        values["checkpoints"] = {**values.get("checkpoints", {}), "max_new_tokens": longest}
    questions = config.value("evaluation_inputs") or _value(config, chat, "evaluation_inputs") or ()
    return FoundConfig(
        name=storable(name),
        text=text,
        values=values,
        model=_plain(known.base_model or _value(config, _llm(config), "pretrained_model_name_or_path")),
        template=_template(config, chat),
        system=_plain(config.value("SYSTEM") or _value(config, chat, "system")),
        questions=tuple(_questions(questions)),
        evaluation_every=_count(config.value("evaluation_freq") or _value(config, chat, "every_n_iters")),
        is_greedy=_is_greedy(config, chat),
        data_files=tuple(islice(dict.fromkeys(_data_files(config)), MOST_FILES)),
        notes=_epoch_note(values),
    )


def _epoch_note(values: dict[str, Any]) -> tuple[Any, ...]:
    training = values.get("training", {})
    if "epochs" in training and "iterations" in training:
        del training["epochs"]
        return (message("The config gives epochs and iterations; the iterations are taken."),)
    return ()


def _plain(value: object) -> str:
    return fitting(value) if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _questions(value: object) -> Iterator[str]:
    """Yield the questions; one alone may stand without a list around it."""
    for question in ([value] if isinstance(value, str) else value if isinstance(value, list) else [])[:MOST_QUESTIONS]:
        if isinstance(question, str):
            yield fitting(question)


def _value(config: PlainConfig, arguments: dict[str, ast.expr], name: str) -> Any:  # noqa: ANN401 - whatever it says
    found = config.evaluate(arguments[name]) if name in arguments else None
    return None if found is UNKNOWN else found


def _llm(config: PlainConfig) -> dict[str, ast.expr]:
    return arguments_of(config.arguments("model").get("llm"))


def _hook(config: PlainConfig, kind: str) -> dict[str, ast.expr]:
    node = config.expressions.get("custom_hooks")
    hooks = node.elts if isinstance(node, ast.List | ast.Tuple) else []
    return next((found for hook in hooks if type_of(found := arguments_of(hook)) == kind), {})


def _template(config: PlainConfig, chat: dict[str, ast.expr]) -> str:
    node = config.expressions.get("prompt_template") or chat.get("prompt_template")
    if node is None:
        return ""
    found = _LAST_NAME.search(ast.unparse(node).strip("'\""))
    return found[0] if found else ""


def _is_greedy(config: PlainConfig, chat: dict[str, ast.expr]) -> bool:
    settings = arguments_of(chat.get("generation_kwargs"))
    return "do_sample" in settings and config.evaluate(settings["do_sample"]) is False


def _data_files(config: PlainConfig) -> Iterator[str]:
    """Yield where the rows were: `data_files` of a loader, however deep it stands."""
    for expression in config.expressions.values():
        for node in ast.walk(expression):
            named = arguments_of(node) if isinstance(node, ast.Call) else {}
            if "data_files" in named:
                yield from islice(_paths(config, named["data_files"]), MOST_FILES)
    for name in ("data_files", "data_path"):
        yield from _paths(config, ast.Name(id=name))


def _paths(config: PlainConfig, node: ast.expr) -> Iterator[str]:
    inner = [*arguments_of(node).values(), *(node.values if isinstance(node, ast.Dict) else ())]
    for each in inner or [node]:
        value = config.evaluate(each)
        for path in value[:MOST_FILES] if isinstance(value, list) else [value]:
            if isinstance(path, str) and path and path == fitting(path):
                yield path
