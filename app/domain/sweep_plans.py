"""
A sweep before it is started: a recipe, the settings that vary, and the runs that follow from them.

The runs are all combinations of the values, the last setting varying fastest. Says of every value
whether it can be used, and of every run whether it could be trained; starts nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from math import prod
from typing import Annotated, Any

from pydantic import Field, StrictBool, ValidationError

from app.domain.errors import FieldError
from app.domain.messages import N_, Message, message
from app.domain.mixes import sources_of
from app.domain.recipe_checks import check_recipe, field_error
from app.domain.recipe_parts import RecipePart, ShortText
from app.domain.recipe_parts import setting as described
from app.domain.recipes import Method, Mix, Recipe
from app.domain.training import Lora, Training

MOST_RUNS = 64  # rows of a heat map that a person can still read; a night of work for one GPU
MOST_VALUES = 8  # of one setting: three settings with more would be past the most runs anyway
MOST_SENT = 200  # values of one setting that are looked at at all
LONGEST_NAME = 120

Value = int | float


class SweepSetting(StrEnum):
    """A setting that a sweep may vary, by its dotted path in the recipe."""

    IDENTITY_COUNT = "mix.identity_count"
    GENERAL_COUNT = "mix.general_count"
    IDENTITY_SHARE = "mix.identity_share"
    GENERAL_SHARE = "mix.general_share"
    LEARNING_RATE = "training.learning_rate"
    LORA_R = "training.lora.r"
    EPOCHS = "training.epochs"
    ITERATIONS = "training.iterations"


SHORT_NAMES: dict[SweepSetting, str] = {
    SweepSetting.IDENTITY_COUNT: "n",
    SweepSetting.GENERAL_COUNT: "m",
    SweepSetting.IDENTITY_SHARE: N_("identity share"),
    SweepSetting.GENERAL_SHARE: N_("general share"),
    SweepSetting.LEARNING_RATE: N_("learning rate"),
    SweepSetting.LORA_R: "r",
    SweepSetting.EPOCHS: N_("epochs"),
    SweepSetting.ITERATIONS: N_("Iterations"),
}
SHARES = frozenset({SweepSetting.IDENTITY_SHARE, SweepSetting.GENERAL_SHARE})
LENGTHS = frozenset({SweepSetting.EPOCHS, SweepSetting.ITERATIONS})

_PARTS: dict[str, type[RecipePart]] = {"mix": Mix, "training": Training, "training.lora": Lora}


class SweepAxis(RecipePart):
    """One setting that varies, and its values."""

    setting: SweepSetting = described(title=N_("Setting"), help=N_("Its dotted path in the recipe."))
    values: tuple[Value, ...] = described(
        title=N_("Values"), help=N_("At most 8, none of them twice."), max_length=MOST_SENT
    )
    keeps_strength: StrictBool = described(
        default=False,
        title=N_("Keep alpha / r"),
        help=N_("With r the alpha changes too, so that the adapter is as strong as the recipe's."),
    )


class SweepPlan(RecipePart):
    """A sweep, before it is started."""

    name: ShortText = described(title=N_("Name of the sweep"), help=N_("Shown in lists; may repeat."))
    recipe: Recipe
    axes: Annotated[tuple[SweepAxis, ...], Field(max_length=len(SweepSetting))] = ()
    at_once: int = described(
        1,
        title=N_("Runs at once"),
        help=N_("So many of its runs may train at the same time; it can be changed later."),
        unit=N_("runs"),
        ge=1,
        le=MOST_RUNS,
    )
    stops_parrots: StrictBool = described(
        default=True,
        title=N_("Stop parrots early"),
        help=N_("A run ends once two checkpoints in a row are parrots."),
    )


Values = Mapping[SweepSetting, Value]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep: what it varies, and its whole recipe."""

    values: Values
    recipe: Recipe


def planned_runs(plan: SweepPlan) -> list[PlannedRun]:
    """Return the runs of a plan whose values are right, in the order in which they are started."""
    settings = [axis.setting for axis in plan.axes]
    keeps = any(axis.keeps_strength for axis in plan.axes)
    found = product(*(axis.values for axis in plan.axes))
    return [
        PlannedRun(values, recipe_with(plan.recipe, values, keeps_strength=keeps))
        for values in (dict(zip(settings, each, strict=True)) for each in found)
    ]


def count_planned_runs(plan: SweepPlan) -> int:
    """Count the runs of a plan without making them."""
    return prod(len(axis.values) for axis in plan.axes) if plan.axes else 0


def recipe_with(recipe: Recipe, values: Values, *, keeps_strength: bool = False) -> Recipe:
    """Return a recipe with some of its settings changed; the values are right."""
    training, mix, lora = recipe.training, dict[str, Any](), dict[str, Any]()
    changes: dict[str, Any] = {}
    for name, value in values.items():
        part, _, field = name.rpartition(".")
        {"mix": mix, "training": changes, "training.lora": lora}[part][field] = value
        if name in LENGTHS:
            changes["epochs" if name is SweepSetting.ITERATIONS else "iterations"] = None
    if keeps_strength and "r" in lora:
        lora["alpha"] = round(kept_alpha(recipe, lora["r"]))
    changes["lora"] = training.lora.model_copy(update=lora)
    update = {"mix": recipe.mix.model_copy(update=mix), "training": training.model_copy(update=changes)}
    return recipe.model_copy(update={**update, "name": _name_of(recipe.name, values)})


def kept_alpha(recipe: Recipe, r: float) -> float:
    """Return the alpha with which an adapter of another rank is as strong as the recipe's."""
    return recipe.training.lora.alpha * r / recipe.training.lora.r


def value_text(name: SweepSetting, value: Value) -> str:
    """Write a value as a person types it: shares in percent, small numbers with a power of ten."""
    if name in SHARES:
        return f"{100 * value:g} %"
    if isinstance(value, int) or value >= 0.01:  # noqa: PLR2004 - short enough as it is
        return f"{value:g}" if isinstance(value, float) else str(value)
    digits, _, power = f"{value:e}".partition("e")
    return f"{float(digits):g}e{int(power)}"


def values_text(values: Values) -> str:
    """Write what a run varies in few words: `n 24, m 1`."""
    return ", ".join(f"{SHORT_NAMES[name].lower()} {value_text(name, value)}" for name, value in values.items())


def _name_of(name: str, values: Values) -> str:
    varied = values_text(values)
    if not varied:
        return name
    room = LONGEST_NAME - len(varied) - 2
    return f"{name if len(name) <= room else name[: room - 1].rstrip() + '…'}, {varied}"


# ── What is wrong with it ──────────────────────────────────────────────────


def read_values(axis: SweepAxis) -> tuple[Sequence[Value], list[tuple[int, Message]]]:
    """Return an axis's values as the recipe has them, and what is wrong with some, by their number."""
    part, _, field = axis.setting.rpartition(".")
    read: list[Value] = []
    problems: list[tuple[int, Message]] = []
    for number, value in enumerate(axis.values):
        try:
            found: Value = getattr(_PARTS[part].model_validate({field: value}), field)
        except ValidationError as error:
            problems.append((number, field_error(error.errors()[0]).message))
            continue
        if found in read:
            problems.append(
                (number, message("{value} stands here twice. Take one out.", value=value_text(axis.setting, found)))
            )
        read.append(found)
    return read, problems


def checked_plan(plan: SweepPlan) -> tuple[SweepPlan, list[FieldError]]:
    """Return a plan with its values as the recipe has them, and everything that is wrong with it."""
    axes, problems = [], list(_check_settings(plan))
    for number, axis in enumerate(plan.axes):
        values, wrong = read_values(axis)
        axes.append(axis.model_copy(update={"values": tuple(values)}))
        problems += [FieldError(f"axes.{number}.values.{place}", text) for place, text in wrong]
        problems += _check_axis(plan.recipe, axes[-1], number, are_right=not wrong)
    plan = plan.model_copy(update={"axes": tuple(axes)})
    problems += [] if problems else _check_count(plan)
    problems += [] if problems else _check_runs(plan)
    return plan, problems


def _check_settings(plan: SweepPlan) -> Iterator[FieldError]:
    seen = [axis.setting for axis in plan.axes]
    for number, name in enumerate(seen):
        if name in seen[:number]:
            yield FieldError(f"axes.{number}.setting", message("This setting varies already. Give all values once."))
        elif name in LENGTHS and LENGTHS & set(seen[:number]):
            yield FieldError(f"axes.{number}.setting", message("Vary epochs or iterations, not both."))


def _check_axis(recipe: Recipe, axis: SweepAxis, number: int, *, are_right: bool) -> Iterator[FieldError]:
    if not axis.values:
        yield FieldError(f"axes.{number}.values", message("Give at least one value."))
    if len(axis.values) > MOST_VALUES:
        text = message("{count} values are too many; {limit} fit.", count=len(axis.values), limit=MOST_VALUES)
        yield FieldError(f"axes.{number}.values", text)
    elif reason := why_not(recipe, axis.setting):
        yield FieldError(f"axes.{number}.setting", reason)
    elif axis.keeps_strength and axis.setting is SweepSetting.LORA_R and are_right:
        for place, r in enumerate(axis.values):
            alpha = kept_alpha(recipe, r)
            if not alpha.is_integer() or not 1 <= alpha <= 1_024:  # noqa: PLR2004 - alpha's own bounds
                text = message(
                    "With alpha / r kept, r {r} needs alpha {alpha}, which cannot be had. Take it out, or let the "
                    "strength change.",
                    r=r,
                    alpha=f"{alpha:g}",
                )
                yield FieldError(f"axes.{number}.values.{place}", text)


def why_not(recipe: Recipe, name: SweepSetting) -> Message | None:
    """Say why a setting would change nothing in a recipe; None where it would."""
    mix, (identity, general) = recipe.mix, sources_of(recipe.mix)[:2]
    if name in {SweepSetting.IDENTITY_COUNT, SweepSetting.IDENTITY_SHARE} and not identity.distinct:
        return message("The recipe has no identity pair: this would change nothing. Add one.")
    if name in {SweepSetting.GENERAL_COUNT, SweepSetting.GENERAL_SHARE} and not general.distinct:
        return message("The recipe has no general pair: this would change nothing. Add some, or a built-in set.")
    has_share = {
        SweepSetting.IDENTITY_COUNT: mix.identity_share is not None,
        SweepSetting.GENERAL_COUNT: mix.general_share is not None,
    }
    if has_share.get(name):
        return message("The recipe gives this source a share of the rows, so copies change nothing: vary its share.")
    if name is SweepSetting.LORA_R and recipe.method is Method.FULL:
        return message("Full tuning has no adapter: r would change nothing. Choose LoRA or QLoRA.")
    return None


def _check_count(plan: SweepPlan) -> Iterator[FieldError]:
    count = count_planned_runs(plan)
    if count < 2:  # noqa: PLR2004 - one run is no sweep
        yield FieldError("axes", message("A sweep has at least two runs: give one setting two values."))
    if count > MOST_RUNS:
        text = message("{count} runs are too many; {limit} is the most. Take values out.", count=count, limit=MOST_RUNS)
        yield FieldError("axes", text)


def _check_runs(plan: SweepPlan) -> Iterator[FieldError]:
    """Yield what is wrong between the fields of the runs: what every run has with the recipe, else at the axis."""
    runs = planned_runs(plan)
    found = [(run, problem) for run in runs for problem in check_recipe(run.recipe)]
    fields = {problem.field: [run for run, other in found if other.field == problem.field] for _, problem in found}
    said: set[str] = set()
    for run, problem in found:
        if problem.field in said:
            continue
        said.add(problem.field)
        if len(fields[problem.field]) == len(runs) and _axis_of(plan, problem.field) is None:
            yield FieldError(f"recipe.{problem.field}", problem.message)
            continue
        number = _axis_of(plan, problem.field)
        text = message("{values}: {problem}", values=values_text(run.values), problem=problem.message)
        yield FieldError("axes" if number is None else f"axes.{number}.values", text)


def _axis_of(plan: SweepPlan, field: str) -> int | None:
    """Return the number of the axis that a problem between fields comes from."""
    is_length = field in LENGTHS or field == "checkpoints.every"
    for number, axis in enumerate(plan.axes):
        is_of_mix = field.startswith("mix") and axis.setting.startswith("mix.")
        if field == axis.setting or is_of_mix or (is_length and axis.setting in LENGTHS):
            return number
    return None
