"""Conversations as lists of who said what: OpenAI's and ShareGPT's, as xtuner reads the former."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.datasets.refusals import RefusedRowError, shown
from app.domain.datasets.rows import Turn, turn
from app.domain.datasets.strict_json import parse_json
from app.domain.messages import N_, Message, message

Speaker = Literal["system", "user", "assistant"]
TOOL_ROLES = frozenset({"tool", "function", "observation", "function_call"})
TOOL_NAMES = ("tool_calls", "function_call")
WEIGHTS: dict[float, bool] = {0: False, 1: True}  # OpenAI knows these two


@dataclass(frozen=True)
class Words:
    """How a conversation names who speaks, and what they say."""

    role: str
    text: str
    speakers: Mapping[str, Speaker]


OPENAI = Words("role", "content", {"system": "system", "user": "user", "assistant": "assistant"})
SHAREGPT = Words(
    "from",
    "value",
    {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"},
)
SHAREGPT_OPENAI = Words("role", "content", SHAREGPT.speakers)


def turns_of(said: object, *, name: str, words: Words) -> list[Turn]:
    """
    Return what a conversation teaches, as xtuner's `openai_map_fn` does.

    Answers before the first question are left out, several questions in a row are one, and what
    follows the last answer teaches nothing.

    Raises:
        RefusedRowError: somebody unknown speaks, something is no text, or nobody answers.
    """
    turns: list[Turn] = []
    system = question = ""
    has_begun = False
    for number, each in enumerate(listed(said, name=name), 1):
        speaker = _speaker(each, number, words)
        has_begun = has_begun or speaker != "assistant"
        if not has_begun:
            continue
        text = _said(each, number, words)
        if speaker == "system":
            system = text
        elif speaker == "user":
            question += text
        else:
            turns.append(turn(question, text, system=system, with_loss=_is_learnt(each, number)))
            system = question = ""
    if not turns:
        raise RefusedRowError(message("Nobody answers in “{name}”: there is nothing to learn from it.", name=name))
    return turns


def _speaker(said: object, number: int, words: Words) -> Speaker:
    if not isinstance(said, dict):
        raise RefusedRowError(message("Turn {turn} is no object with “{role}” and “{text}”.",
                                      turn=number, role=words.role, text=words.text))  # fmt: skip
    role = said.get(words.role)
    if (isinstance(role, str) and role in TOOL_ROLES) or any(said.get(name) for name in TOOL_NAMES):
        raise RefusedRowError(
            message("Turn {turn} uses a tool, which xtuner 0.2.0 cannot train on. Leave such rows out.", turn=number)
        )
    speaker = words.speakers.get(role) if isinstance(role, str) else None
    if speaker is None:
        raise RefusedRowError(
            message(
                "Turn {turn} has the “{name}” “{role}”. It may be {known}.",
                turn=number,
                name=words.role,
                role=shown(role),
                known=", ".join(words.speakers),
            )
        )
    return speaker


def _said(said: Mapping[str, Any], number: int, words: Words) -> str:
    text = said.get(words.text)
    if isinstance(text, str):
        return text
    raise RefusedRowError(
        message("The “{name}” of turn {turn} is {kind}, not text.", name=words.text, turn=number, kind=kind_of(text))
    )


def _is_learnt(said: Mapping[str, Any], number: int) -> bool:
    """Read `loss` as xtuner does and `weight` as OpenAI does; where a Parquet file fills both with null, neither."""
    loss, weight = said.get("loss"), said.get("weight")
    words = {"true": True, "false": False}
    is_learnt = True if loss is None else words.get(str(loss).lower())
    if is_learnt is None:
        raise RefusedRowError(message("The “{name}” of turn {turn} is {value}. Write true or false.",
                                      name="loss", turn=number, value=shown(loss)))  # fmt: skip
    has_weight = True if weight is None else WEIGHTS.get(weight) if isinstance(weight, int | float) else None
    if has_weight is None:
        raise RefusedRowError(message("The “{name}” of turn {turn} is {value}. Write 0 or 1.",
                                      name="weight", turn=number, value=shown(weight)))  # fmt: skip
    return is_learnt and has_weight


def listed(value: object, *, name: str) -> list[Any]:
    """Return a list that stands as such, or as JSON in the cell of a table."""
    read = parse_json(value) if isinstance(value, str) else value
    if isinstance(read, list):
        return read
    raise RefusedRowError(message("“{name}” is {kind}, not a list.", name=name, kind=kind_of(read)))


def text_of(record: Mapping[str, Any], name: str) -> str:
    """Return a text; one that is null or not there is empty."""
    value = record.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    raise RefusedRowError(message("“{name}” is {kind}, not text.", name=name, kind=kind_of(value)))


def kind_of(value: object) -> Message:
    """Name the kind of a value."""
    kinds = (
        (type(None), N_("null")),
        (bool, N_("true or false")),
        (int | float, N_("a number")),
        (str, N_("text")),
        (list, N_("a list")),
        (dict, N_("an object")),
    )
    return Message(next((name for kind, name in kinds if isinstance(value, kind)), N_("a value of another kind")))
