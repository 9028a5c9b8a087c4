"""
What the recipe says of its settings, as the form shows it: title, help, unit, bounds, choices.

Everything is read from the fields of `app.domain.recipes`; only the words for choices are added.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import NoneType
from typing import Any, get_args

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.domain.messages import N_, Message, message
from app.domain.recipes import Method, ProbeGroup, Recipe
from app.domain.training import LoraTargets, Schedule
from app.web.formats import number, scientific

CHOICE_WORDS: dict[StrEnum, str] = {
    Method.QLORA: N_("QLoRA, 4 bit"),
    Method.LORA: N_("LoRA"),
    Method.FULL: N_("full"),
    Schedule.COSINE: N_("cosine"),
    Schedule.LINEAR: N_("linear"),
    Schedule.CONSTANT: N_("constant"),
    LoraTargets.ALL: N_("all linear layers"),
    LoraTargets.ATTENTION: N_("attention only"),
    LoraTargets.QUERY_VALUE: N_("q and v"),
    ProbeGroup.IDENTITY: N_("identity"),
    ProbeGroup.NEAR_MISS: N_("near-miss"),
    ProbeGroup.GENERAL: N_("general"),
}
"""Where a choice's own word is not what people say; precisions are called what they are."""


SWITCH_WORDS = {"on": N_("on"), "off": N_("off")}


@dataclass(frozen=True)
class Setting:
    """One setting, as its recipe field describes it."""

    path: str
    """Dotted, as in the form's names."""
    title: str
    help: str
    unit: str
    bounds: Message | None
    xtuner: str
    """What xtuner's own 1.8B QLoRA config has; empty where it has nothing of the kind."""
    kind: str
    """`text`, `whole`, `decimal`, `choice` or `switch`."""
    choices: Sequence[tuple[str, str]] = ()
    """Values, and the words for them."""

    @property
    def id(self) -> str:
        """The control's id on the page."""
        return id_of_path(self.path)


def id_of_path(path: str) -> str:
    """Return the id of what a dotted path is edited with."""
    return path.replace(".", "-")


@cache
def setting(path: str) -> Setting:
    """
    Describe the setting at a dotted path.

    Raises:
        KeyError: the recipe has no such setting.
    """
    model: type[BaseModel] = Recipe
    *parts, last = path.split(".")
    for part in parts:
        model = _inner(model.model_fields[part])
    return describe(path, model.model_fields[last])


def describe(path: str, info: FieldInfo) -> Setting:
    """Describe a field that was made by `recipe_parts.setting`."""
    kind = _plain_type(info)
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return Setting(
        path=path,
        title=info.title or path.rpartition(".")[2],
        help=info.description or "",
        unit=str(extra.get("unit", "")),
        bounds=_bounds(info, kind),
        xtuner=_xtuner_words(str(extra.get("xtuner", "")), kind),
        kind=_KINDS.get(kind, "choice" if issubclass(kind, StrEnum) else "text"),
        choices=_choices(kind),
    )


def setting_or_none(path: str) -> Setting | None:
    """Describe the setting at a dotted path; None where there is none."""
    try:
        return setting(path)
    except KeyError:
        return None


_KINDS: dict[type, str] = {str: "text", int: "whole", float: "decimal", bool: "switch"}


def _inner(info: FieldInfo) -> type[BaseModel]:
    annotation = info.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    raise KeyError(info.title)


def _plain_type(info: FieldInfo) -> type[Any]:
    """Return the type of a field's value: `int` of `int | None`, and `str` of any text or list."""
    annotation = next((kind for kind in get_args(info.annotation) if kind is not NoneType), info.annotation)
    return annotation if isinstance(annotation, type) else str


def _choices(kind: type[Any]) -> Sequence[tuple[str, str]]:
    return [(value.value, CHOICE_WORDS.get(value, value.value)) for value in kind] if issubclass(kind, StrEnum) else ()


def _xtuner_words(value: str, kind: type[Any]) -> str:
    if not value or not issubclass(kind, StrEnum):
        return SWITCH_WORDS.get(value, value)
    choice = kind(value)
    return CHOICE_WORDS.get(choice, choice.value)


def _bounds(info: FieldInfo, kind: type[Any]) -> Message | None:
    if kind not in (int, float):
        return None
    least: float | None = None
    most: float | None = None
    is_open = False
    for bound in info.metadata:
        if isinstance(bound, annotated_types.Ge):
            least = _as_number(bound.ge)
        elif isinstance(bound, annotated_types.Gt):
            least, is_open = _as_number(bound.gt), True
        elif isinstance(bound, annotated_types.Le):
            most = _as_number(bound.le)
    if least is None or most is None:
        return None
    words = N_("Above {least}, up to {most}.") if is_open else N_("{least} to {most}.")
    return message(words, least=_shown(least), most=_shown(most))


def _as_number(bound: object) -> float | None:
    return bound if isinstance(bound, int | float) else None


def _shown(value: float) -> str:
    return number(value) if float(value).is_integer() else scientific(value)
