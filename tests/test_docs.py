"""What the documentation tells one to type."""

import re
import shlex
from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from app.cli import app
from tests.settings_page import ROOT

PAGES = [ROOT / "README.md", ROOT / ".env.example", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"`(temper [^`]+)`|^(temper .+)$|web (temper .+)$", re.MULTILINE)


def commands() -> Iterator[str]:
    """Yield every `temper …` that stands as code in a page."""
    for page in PAGES:
        for found in COMMAND.finditer(page.read_text("utf-8")):
            yield next(text for text in found.groups() if text)


def parse(arguments: list[str]) -> None:
    """Read a command line down to its last command, and run nothing."""
    command, context = typer.main.get_command(app), None
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
    parse(shlex.split(command, comments=True))


@pytest.mark.parametrize("wrong", ["temper models add FOLDER", "temper token create --name ci", "temper nothing"])
def test_a_command_that_cannot_be_typed_is_found_out(wrong: str) -> None:
    """Missing words, unknown options and unknown commands are all refused."""
    with pytest.raises((TyperException, AssertionError)):
        parse(shlex.split(wrong))
