"""The xtuner config of a form that is being filled in: its five parts, with the open values marked."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.config import settings
from app.domain.errors import FieldError
from app.domain.messages import N_
from app.domain.mixes import count_rows
from app.domain.models import Model
from app.domain.recipes import Method, Recipe
from app.domain.xtuner_config import render_config
from app.domain.xtuner_parts import Device
from app.web.forms import CheckedForm, value_at
from app.web.i18n import comma, gettext, ngettext
from app.web.recipe_settings import setting_or_none
from app.web.workers import live_workers

RUN_FOLDER = "runs/…"  # a run gets its number when it starts
DATA_FILE = "mixes/….jsonl"  # and its rows their hash
NAMES = {  # of settings in the config, where they are not the setting's own
    "model": "pretrained_model_name_or_path",
    "mix.system": "SYSTEM",
    "training.learning_rate": "lr",
    "training.accumulation": "accumulative_counts",
    "training.packing": "pack_to_max_length",
    "training.varlen_attention": "use_varlen_attn",
    "training.activation_checkpointing": "use_activation_checkpointing",
    "training.lora.alpha": "lora_alpha",
    "training.lora.dropout": "lora_dropout",
    "training.lora.targets": "target_modules",
    "training.precision": "torch_dtype",
    "checkpoints.every": "save_steps",
    "checkpoints.keep": "save_total_limit",
    "training.seed": "randomness",
}
LENGTHS = {"training.epochs": "max_epochs", "training.iterations": "max_iters"}
"""The config has one of these lines, and where the length is bad it may be the other one."""


@dataclass(frozen=True)
class ConfigLine:
    """One line, and whether a value in it is still open."""

    text: str
    is_comment: bool
    note: str = ""
    """What the line still needs; marks it."""


@dataclass(frozen=True)
class ConfigPart:
    """One of the five parts."""

    title: str
    summary: str
    lines: Sequence[ConfigLine]


def device_here() -> Device:
    """Return what the workers that are there train on; what the settings say when none is."""
    workers = live_workers()
    if workers:
        return "cpu" if all(worker.device == "CPU" for worker in workers) else "cuda"
    return "cuda" if settings().device == "cuda" else "cpu"


def preview_config(checked: CheckedForm, model: Model | None, *, rows: int | None) -> Sequence[ConfigPart]:
    """
    Render the config that a form would be trained with; nothing while it is no recipe at all.

    Args:
        rows: How many the mix has; None while that is not known.
    """
    recipe = checked.recipe
    if recipe is None:
        return ()
    rendered = render_config(
        recipe,
        model_path=model.path if model else "?",
        template=model.template if model else "default",
        run_folder=RUN_FOLDER,
        data_file=DATA_FILE,
        rows=count_rows(recipe.mix).total,
        device=device_here(),
    )
    open_values = _open_values(checked.problems, checked.data, recipe.model_dump(mode="json"))
    bodies = [[_line(text, open_values) for text in body.strip("\n").split("\n")] for _, body in rendered.parts]
    words = zip(_titles(), _summaries(recipe, rows), bodies, strict=True)
    return [ConfigPart(title, _open_summary(lines) or summary, lines) for title, summary, lines in words]


def _open_values(
    problems: Iterable[FieldError], data: dict[str, Any], used: dict[str, Any]
) -> dict[str, tuple[str, bool]]:
    """Return, by name in the config, what is open and whether the value itself cannot be shown."""
    found: dict[str, tuple[str, bool]] = {}
    for problem in problems:
        about = setting_or_none(problem.field)
        if about is None:
            continue
        is_unreadable = str(value_at(data, problem.field)) != str(value_at(used, problem.field))
        if problem.field in LENGTHS:
            found |= dict.fromkeys(LENGTHS.values(), (N_("Length"), is_unreadable))
        else:
            name = NAMES.get(problem.field, problem.field.rpartition(".")[2])
            found.setdefault(name, (about.title, is_unreadable))
    return found


_ASSIGNMENT = re.compile(r"\s*(?P<name>\w+) ?= ?")


def _line(text: str, open_values: dict[str, tuple[str, bool]]) -> ConfigLine:
    matched = _ASSIGNMENT.match(text)
    title, is_unreadable = open_values.get(matched["name"], ("", False)) if matched else ("", False)
    if matched is None or not title or matched["name"] == text.strip().rstrip(",").rpartition("=")[2]:
        return ConfigLine(text, is_comment=text.lstrip().startswith("#"))
    note = gettext("%(title)s needs another value", title=gettext(title))
    return ConfigLine(f"{matched[0]}?" if is_unreadable else text, is_comment=False, note=note)


def _open_summary(lines: Sequence[ConfigLine]) -> str:
    count = sum(1 for line in lines if line.note)
    return ngettext("%(num)s open value", "%(num)s open values", count) if count else ""


def _titles() -> Sequence[str]:
    return (
        gettext("Part 1, settings"),
        gettext("Part 2, model and tokenizer"),
        gettext("Part 3, dataset and dataloader"),
        gettext("Part 4, scheduler and optimizer"),
        gettext("Part 5, runtime"),
    )


def _summaries(recipe: Recipe, rows: int | None) -> Sequence[str]:
    training = recipe.training
    packed = gettext("packed") if training.packing else gettext("one by one")
    lora = gettext("%(method)s r %(r)s, alpha %(alpha)s", method="LoRA", r=training.lora.r, alpha=training.lora.alpha)
    return (
        "",
        gettext("full tuning") if recipe.method is Method.FULL else lora,
        packed
        if rows is None
        else ngettext("%(num)s row, %(packed)s", "%(num)s rows, %(packed)s", rows, packed=packed),
        comma().join((gettext(training.schedule.value), "AdamW")),
        gettext("seed %(seed)s", seed=training.seed),
    )
