"""What the documentation tells one to type."""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from sqlmodel import Session
from typer.core import TyperGroup
from typer.exceptions import TyperException

from app.cli import app
from app.cli.examples import EXAMPLES
from app.cli.recipe_files import read_recipe
from app.domain.presets import SMALL_MODEL
from app.domain.recipe_checks import check_recipe
from app.domain.recipes import ProbeGroup, Recipe
from app.domain.runs import create_run
from tests.factories import make_model
from tests.settings_page import ROOT

PAGES = [ROOT / "README.md", ROOT / ".env.example", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"`(temper [^`]+)`|^(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(temper .+)$|web (temper .+)$", re.MULTILINE)
RECIPE = re.compile(r"^```toml\n(.+?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> Iterator[str]:
    """Yield every `temper …` that stands as code in a page, and the examples of the command's own help."""
    yield from EXAMPLES.values()
    for page in PAGES:
        for found in COMMAND.finditer(page.read_text("utf-8")):
            yield next(text for text in found.groups() if text)


def parse(arguments: list[str]) -> None:
    """Read a command line down to its last command, and run nothing."""
    command, context = typer.main.get_command(app), None
    if arguments[1:] and arguments[1] in {"--install-completion", "--show-completion"}:  # run as soon as they are read
        assert any(arguments[1] in option.opts for option in command.params)
        return
    while isinstance(command, TyperGroup):
        context = command.make_context(arguments[0], arguments[1:], parent=context)
        arguments = [*context._protected_args, *context.args]
        if not arguments:  # a group that does something by itself, such as `temper models`
            return
        found = command.get_command(context, arguments[0])
        assert found is not None, f"there is no command {arguments[0]}"
        command = found
    command.make_context(arguments[0], arguments[1:], parent=context)


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_that_is_shown_can_be_typed(command: str) -> None:
    """Its words are those of a command, and nothing that it needs is missing."""
    with suppress(typer.Exit):  # `--version` says it and ends
        parse(shlex.split(command, comments=True))


@pytest.mark.parametrize("wrong", ["temper models add FOLDER", "temper token create --name ci", "temper nothing"])
def test_a_command_that_cannot_be_typed_is_found_out(wrong: str) -> None:
    """Missing words, unknown options and unknown commands are all refused."""
    with pytest.raises((TyperException, AssertionError)):
        parse(shlex.split(wrong))


def recipes() -> list[str]:
    """Return every recipe that stands in a page."""
    return [found for page in PAGES for found in RECIPE.findall(page.read_text("utf-8"))]


def test_a_recipe_is_shown() -> None:
    """Whoever has read the pages can write one."""
    assert recipes()


@pytest.mark.parametrize("text", recipes())
def test_every_recipe_that_is_shown_is_one(session: Session, tmp_path: Path, text: str) -> None:
    """The command reads it, nothing is wrong within or between its settings, and a run can be made of it."""
    path = tmp_path / "recipe.toml"
    path.write_text(text, "utf-8")
    make_model(session, name=SMALL_MODEL)

    recipe = Recipe.model_validate(read_recipe(path))

    assert list(check_recipe(recipe)) == []
    assert create_run(session, recipe).name == recipe.name
    assert {probe.group for probe in recipe.probes} == set(ProbeGroup)
