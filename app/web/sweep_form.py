"""
The form that starts a sweep: from its fields to a plan, and from a plan to its fields.

The recipe travels with the form as JSON, so that a sweep can start from whatever a form, a run, a
preset or a file holds. What was typed stays as it was typed, right or wrong.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlmodel import Session
from starlette.datastructures import FormData

from app.domain.errors import FieldError
from app.domain.messages import N_, Message, message
from app.domain.recipe_checks import field_error
from app.domain.recipes import Method, Recipe
from app.domain.registry import find_model, problem_of
from app.domain.sweep_plans import (
    MOST_RUNS,
    SHARES,
    SweepAxis,
    SweepPlan,
    SweepSetting,
    checked_plan,
    value_text,
    why_not,
)
from app.domain.sweep_results import value_in
from app.web.recipe_settings import Setting, id_of_path, setting, setting_or_none

BETWEEN_VALUES = re.compile(r"[\s,;，；、]+")
LONGEST_RECIPE = 20_000_000  # characters
LONGEST_VALUES = 2_000


@dataclass(frozen=True)
class AxisField:
    """One setting that may vary, and what was typed for it."""

    about: Setting
    name: SweepSetting
    text: str
    """Values as they were typed; empty where it does not vary."""
    present: str
    """What the recipe has."""
    error: Message | None
    reason: Message | None
    """Why varying it would change nothing."""

    @property
    def id(self) -> str:
        """Of its control."""
        return f"axis-{id_of_path(self.name)}"


@dataclass(frozen=True)
class SweepFields:
    """What stands in the form."""

    name: str
    recipe: str
    """As JSON."""
    axes: Mapping[SweepSetting, str]
    at_once: str
    keeps_strength: bool
    stops_parrots: bool
    cloned_from: int | None


@dataclass(frozen=True)
class CheckedSweep:
    """A form, every problem in it by field, and the plan where one can be made."""

    fields: SweepFields
    recipe: Recipe | None
    plan: SweepPlan | None
    """None where its runs cannot even be planned."""
    problems: Mapping[str, Message]
    """By `name`, `at_once`, `axes`, `recipe.…`, or a setting's path."""

    @property
    def valid(self) -> SweepPlan | None:
        """The plan, if a sweep can be made of it."""
        return None if self.problems else self.plan


def fields_of_form(form: FormData, cloned_from: int | None) -> SweepFields:
    """Return what was sent."""

    def text(name: str, longest: int = LONGEST_VALUES) -> str:
        value = form.get(name, "")
        return value[:longest] if isinstance(value, str) else ""

    return SweepFields(
        name=text("name"),
        recipe=text("recipe", LONGEST_RECIPE),
        axes={name: text(f"axis.{name}") for name in SweepSetting if text(f"axis.{name}").strip()},
        at_once=text("at_once"),
        keeps_strength=form.get("keeps_strength") == "on",
        stops_parrots=form.get("stops_parrots") == "on",
        cloned_from=cloned_from,
    )


def fields_of_plan(plan: SweepPlan, *, cloned_from: int | None = None) -> SweepFields:
    """Return the fields of a sweep that is to be started again."""
    return SweepFields(
        name=plan.name,
        recipe=recipe_text(plan.recipe),
        axes={axis.setting: ", ".join(value_text(axis.setting, value) for value in axis.values) for axis in plan.axes},
        at_once=str(plan.at_once),
        keeps_strength=all(axis.keeps_strength for axis in plan.axes if axis.setting is SweepSetting.LORA_R),
        stops_parrots=plan.stops_parrots,
        cloned_from=cloned_from,
    )


def fields_of_recipe(data: Mapping[str, Any], *, name: str = "", cloned_from: int | None = None) -> SweepFields:
    """Return the fields of a sweep whose recipe is there, and whose axes are still to be thought of."""
    text = json.dumps(data, ensure_ascii=False, indent=2)
    return SweepFields(name or str(data.get("name", "")), text, {}, "1", True, True, cloned_from)  # noqa: FBT003


def recipe_text(recipe: Recipe) -> str:
    """Write a recipe as it stands in the form."""
    return json.dumps(recipe.model_dump(mode="json"), ensure_ascii=False, indent=2)


# ── What is wrong ──────────────────────────────────────────────────────────


def check_sweep(session: Session, fields: SweepFields) -> CheckedSweep:
    """Find everything that is wrong with a form."""
    recipe, problems = _read_recipe(session, fields.recipe)
    problems += _plain_problems(fields)
    typed = {name: _typed(name, text) for name, text in fields.axes.items()}
    problems += [FieldError(name, bad) for name, (_, bad) in typed.items() if bad]
    if recipe is None:
        return CheckedSweep(fields, None, None, _first_of(problems))
    plan = SweepPlan.model_construct(
        name=fields.name.strip() or recipe.name,
        recipe=recipe,
        axes=tuple(_axis(name, values, fields) for name, (values, bad) in typed.items() if not bad),
        at_once=int(fields.at_once) if _is_count(fields.at_once) else 1,
        stops_parrots=fields.stops_parrots,
    )
    plan, found = checked_plan(plan)
    named = [FieldError(_on_page(plan, each.field), each.message) for each in found]
    can_plan = not [each for each in found if each.field.startswith("axes")] and plan.axes
    is_explained = any(bad for _, bad in typed.values())  # a setting that cannot be read may be what makes two runs
    problems += [each for each in named if not (is_explained and each.field == "axes")]
    return CheckedSweep(fields, recipe, plan if can_plan else None, _first_of(problems))


def _axis(name: SweepSetting, values: Sequence[float], fields: SweepFields) -> SweepAxis:
    keeps = fields.keeps_strength and name is SweepSetting.LORA_R
    return SweepAxis.model_construct(setting=name, values=tuple(values), keeps_strength=keeps)


def _read_recipe(session: Session, text: str) -> tuple[Recipe | None, list[FieldError]]:
    try:
        recipe = Recipe.model_validate(json.loads(text))
    except ValidationError as error:
        found = [field_error(detail) for detail in error.errors()]
        return None, [FieldError(f"recipe.{each.field}", each.message) for each in found]
    except (ValueError, RecursionError):
        return None, [FieldError("recipe", message("This is no recipe in JSON. Start from a preset or a run."))]
    problem = problem_of(recipe.model, find_model(session, recipe.model))
    return recipe, [FieldError("recipe.model", problem)] if problem else []


def _plain_problems(fields: SweepFields) -> list[FieldError]:
    problems = []
    if not fields.name.strip():
        problems.append(FieldError("name", message("Write something here.")))
    elif len(fields.name.strip()) > 120:  # noqa: PLR2004 - as a run's
        problems.append(FieldError("name", message("This text is too long; {limit} characters fit.", limit=120)))
    if not _is_count(fields.at_once):
        problems.append(FieldError("at_once", message("Give 1 to {most} runs.", most=MOST_RUNS)))
    return problems


def _is_count(text: str) -> bool:
    text = text.strip()
    return text.isascii() and text.isdigit() and len(text) <= len(str(MOST_RUNS)) and 1 <= int(text) <= MOST_RUNS


def _typed(name: SweepSetting, text: str) -> tuple[Sequence[float], Message | None]:
    """Read values as they are typed: `24, 150, 600`, with any comma or none, and percent for shares."""
    values: list[float] = []
    for word in BETWEEN_VALUES.split(re.sub(r"\s*[%％]", "", text).strip()):
        if not word:
            continue
        try:
            value = int(word) if re.fullmatch(r"[+-]?\d{1,18}", word, re.ASCII) else float(word)
        except ValueError:
            return (), message("“{value}” is not a number. Give numbers with commas between them.", value=word[:40])
        values.append(value / 100 if name in SHARES else value)
    return values, None


def _on_page(plan: SweepPlan, field: str) -> str:
    """Return the field of the page that a problem of a plan belongs to."""
    first, _, rest = field.partition(".")
    if first != "axes" or not rest:
        return field
    return plan.axes[int(rest.split(".")[0])].setting.value


def _first_of(problems: Iterable[FieldError]) -> dict[str, Message]:
    found: dict[str, Message] = {}
    for problem in problems:
        found.setdefault(problem.field, problem.message)
    return found


# ── What the page shows ────────────────────────────────────────────────────


def axis_fields(checked: CheckedSweep) -> list[AxisField]:
    """Return the settings that may vary: shares where the recipe has shares, else copies; its own kind of length."""
    recipe, typed = checked.recipe, checked.fields.axes
    names = _names_for(recipe) if recipe else [*_WITHOUT_A_RECIPE]
    names += [name for name in typed if name not in names]
    return [
        AxisField(
            about=setting(name.value),
            name=name,
            text=typed.get(name, ""),
            present=_present(recipe, name),
            error=checked.problems.get(name.value),
            reason=why_not(recipe, name) if recipe else None,
        )
        for name in names
    ]


_WITHOUT_A_RECIPE: Sequence[SweepSetting] = (
    SweepSetting.IDENTITY_COUNT,
    SweepSetting.GENERAL_COUNT,
    SweepSetting.LEARNING_RATE,
    SweepSetting.ITERATIONS,
    SweepSetting.LORA_R,
)


def _names_for(recipe: Recipe) -> list[SweepSetting]:
    has_identity_share = recipe.mix.identity_share is not None
    has_general_share = recipe.mix.general_share is not None
    names = [
        SweepSetting.IDENTITY_SHARE if has_identity_share else SweepSetting.IDENTITY_COUNT,
        SweepSetting.GENERAL_SHARE if has_general_share else SweepSetting.GENERAL_COUNT,
        SweepSetting.LEARNING_RATE,
        SweepSetting.EPOCHS if recipe.training.epochs is not None else SweepSetting.ITERATIONS,
    ]
    return names if recipe.method is Method.FULL else [*names, SweepSetting.LORA_R]


def _present(recipe: Recipe | None, name: SweepSetting) -> str:
    try:
        return value_text(name, value_in(recipe, name)) if recipe else ""
    except TypeError:  # of two kinds of length a recipe has one
        return ""


NAMES = {
    "name": N_("Name of the sweep"),
    "at_once": N_("Runs at once"),
    "axes": N_("What varies"),
    "recipe": N_("Recipe"),
}


def problem_name(field: str) -> str:
    """Return what a field is called, untranslated."""
    if field in NAMES:
        return NAMES[field]
    about = setting_or_none(field.removeprefix("recipe."))
    return about.title if about else field


def problem_id(field: str) -> str:
    """Return the id of the control that a problem is about."""
    if field.startswith("recipe") or field in {"name", "at_once", "axes"}:
        return f"sweep-{field.partition('.')[0]}"
    return f"axis-{id_of_path(field)}"
