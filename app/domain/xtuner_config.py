"""
From a recipe to the xtuner config that trains it, as text.

An xtuner config is a Python program, so nothing a user typed may become code: every value goes
in by `repr()`, every name is one of ours, and the text is parsed and checked before it leaves. The
parts and their names are those of xtuner's own configs, so that who knows xtuner can read it.
Needs neither torch nor xtuner.
"""

from dataclasses import dataclass

from app.domain import xtuner_parts, xtuner_schedule
from app.domain.config_check import WORD, check_literals, check_values, held_out_without_words, without_words
from app.domain.held_out import HeldOut, held_out_part, hold_out
from app.domain.recipes import Recipe
from app.domain.xtuner_parts import Device

TEMPLATES = (
    "default",
    "zephyr",
    "internlm_chat",
    "internlm2_chat",
    "moss_sft",
    "llama2_chat",
    "code_llama_chat",
    "chatglm2",
    "chatglm3",
    "qwen_chat",
    "baichuan_chat",
    "baichuan2_chat",
    "wizardlm",
    "wizardcoder",
    "vicuna",
    "deepseek_coder",
    "deepseek_moe",
    "deepseek_v2",
    "mistral",
    "mixtral",
    "minicpm",
    "minicpm3",
    "gemma",
    "cohere_chat",
    "llama3_chat",
    "phi3_chat",
)
"""xtuner 0.2.0's prompt templates that train and answer alike."""


@dataclass(frozen=True)
class ConfigParts:
    """A rendered config: what it imports, and its five parts."""

    imports: str
    settings: str
    model: str
    data: str
    schedule: str
    runtime: str

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """The five parts, each with its heading."""
        bodies = (self.settings, self.model, self.data, self.schedule, self.runtime)
        return tuple(zip(HEADINGS, bodies, strict=True))

    @property
    def text(self) -> str:
        """The whole file."""
        bar = "#" * 71
        parts = (f"{bar}\n#{heading:^69}#\n{bar}\n{body}" for heading, body in self.parts)
        return "\n".join((self.imports, *parts))


HEADINGS = (
    "PART 1  Settings",
    "PART 2  Model & Tokenizer",
    "PART 3  Dataset & Dataloader",
    "PART 4  Scheduler & Optimizer",
    "PART 5  Runtime",
)


def render_config(  # noqa: PLR0913 - one keyword for each thing a config needs beside the recipe
    recipe: Recipe,
    *,
    model_path: str,
    template: str,
    run_folder: str,
    data_file: str,
    rows: int,
    device: Device,
    held_out: HeldOut | None = None,
) -> ConfigParts:
    """
    Render the config that trains a recipe.

    Args:
        model_path: Folder or hub id of the base model.
        template: One of `TEMPLATES`.
        run_folder: Where checkpoints go.
        data_file: JSON Lines in xtuner's `conversation` form.
        rows: How many rows that file has.
        held_out: Pairs whose likelihood is measured; those of the recipe alone where none are given.

    Raises:
        ValueError: the template is unknown.
        ConfigError: a text has become more than a literal; this is for tests to find, and stops the run.

    Source:
        The layout of xtuner 0.2.0's `internlm2_chat_1_8b_qlora_alpaca_e3.py`.
    """
    _check_template(template)
    values = held_out or hold_out(recipe)
    parts = _parts(recipe, Places(model_path, run_folder, data_file), values, template, rows=rows, device=device)
    plain = _parts(without_words(recipe), Places(), held_out_without_words(values), template, rows=rows, device=device)
    check_literals(parts.text, plain=plain.text)
    places = {"pretrained_model_name_or_path": model_path, "data_path": data_file, "work_dir": run_folder}
    check_values(parts.text, places | _words(recipe, values))
    return parts


def _words(recipe: Recipe, held_out: HeldOut) -> dict[str, object]:
    """Return the texts of a recipe under the names that a config has them by."""
    return {
        "SYSTEM": recipe.mix.system,
        "evaluation_inputs": [probe.question for probe in recipe.probes],
        "held_out_identity": [[pair.question, pair.answer] for pair in held_out.identity],
        "held_out_general": [[pair.question, pair.answer] for pair in held_out.general],
    }


@dataclass(frozen=True)
class Places:
    """Where a config's files are; a plain word each for the program that it is held against."""

    model: str = WORD
    run_folder: str = WORD
    data_file: str = WORD


def _parts(
    recipe: Recipe, places: Places, held_out: HeldOut, template: str, *, rows: int, device: Device
) -> ConfigParts:
    settings = xtuner_parts.settings_part(
        recipe, model_path=places.model, template=template, data_file=places.data_file
    )
    return ConfigParts(
        imports=xtuner_parts.imports_part(recipe),
        settings=settings + held_out_part(held_out),
        model=xtuner_parts.model_part(recipe),
        data=xtuner_parts.data_part(rows=rows),
        schedule=xtuner_schedule.schedule_part(recipe, device),
        runtime=xtuner_parts.runtime_part(recipe, run_folder=places.run_folder, device=device),
    )


def _check_template(template: str) -> None:
    if template not in TEMPLATES:
        raise ValueError(f"xtuner 0.2.0 has no prompt template {template!r}")
