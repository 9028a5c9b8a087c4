"""Recipes as files: YAML, TOML, JSON or a recipe card, each read as data and never as code."""

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.output import fail
from app.domain.card_files import recipe_in_card, toml_or_yaml
from app.domain.recipe_yaml import YAMLError, read_yaml

MOST_BYTES = 32 << 20  # of a recipe with as many pairs as fit, card and answers included
FORMS = "YAML, TOML or JSON, or a recipe card"

RecipeFile = Annotated[Path, typer.Argument(help=f"A recipe in {FORMS}; - reads standard input.", metavar="RECIPE")]
Settings = Annotated[
    list[str], typer.Option("--set", metavar="PATH=VALUE", help="Change one setting, such as mix.general_count=50.")
]


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe file; what is none ends the command."""
    try:
        text = _text_of(path)
        read = _reader_of(path, text)(text)
    except RecursionError:
        fail(f"{path} cannot be read: it is nested too deeply.")
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}.")
    except (ValueError, YAMLError) as error:
        fail(f"{path} cannot be read: {error}")
    if not isinstance(read, dict):
        fail(f"{path} holds no recipe: an object with named settings is needed.")
    return read


def _text_of(path: Path) -> str:
    if str(path) == "-":
        data = sys.stdin.buffer.read(MOST_BYTES + 1)
    else:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB")
    if not data.strip():
        raise ValueError("it is empty")
    return data.decode("utf-8-sig")


def _reader_of(path: Path, text: str) -> Callable[[str], Any]:
    """Choose by the end of the name, and by the beginning of the text where that says nothing."""
    if text.lstrip()[:1] == "<":
        return recipe_in_card
    by_name: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".json": json.loads,
        ".yaml": read_yaml,
        ".yml": read_yaml,
    }
    return by_name.get(path.suffix.lower()) or (json.loads if text.lstrip()[:1] in {"{", "["} else toml_or_yaml)


# ── Changed on the way ─────────────────────────────────────────────────────


def with_changes(recipe: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """Put the `PATH=VALUE` changes of a command line into a recipe."""
    for change in changes:
        path, equals, value = change.partition("=")
        if not equals:
            fail(f"--set {change}: write it as PATH=VALUE.")
        *parents, name = path.split(".")
        place = recipe
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                fail(f"--set {change}: {parent} holds a value, not settings.")
        place[name] = _value(value)
    return recipe


def _value(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(text)
    except ValueError:
        return text
