"""
A recipe in a file: JSON, YAML, TOML, or the recipe card of a run, which holds its recipe as data.

Whatever the file says is data and nothing else: it is read, never run, and is checked as any recipe
is. What is in a card's page beside its data block is not looked at.
"""

import json
import tomllib
from html.parser import HTMLParser
from typing import Any

from app.domain.errors import FieldError, InvalidError
from app.domain.messages import Message, message
from app.domain.recipe_yaml import YAMLError, read_yaml
from app.domain.recipes import Recipe

BLOCK_ID = "recipe"
BLOCK_TYPE = "application/json"
LARGEST_BYTES = 20 << 20  # the largest recipe there can be is 16 MB of texts; a card holds its answers too
# None of these can end the element that the block stands in, nor begin another one.
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def recipe_block(recipe: Recipe) -> str:
    """Write a recipe as JSON that may stand in a page's data block."""
    return json.dumps(recipe.model_dump(mode="json"), ensure_ascii=False, indent=1).translate(_ESCAPES)


def read_recipe_file(content: bytes) -> dict[str, Any]:
    """
    Read a recipe out of a file, by what it holds.

    Raises:
        InvalidError: it is too large, no text, or none of these.
    """
    if len(content) > LARGEST_BYTES:
        raise _refused(message("This file is too large: {most} MB is the most.", most=LARGEST_BYTES >> 20))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _refused(message("This file is no text in UTF-8: give a recipe card, YAML, TOML or JSON.")) from None
    start = text.lstrip()[:1]
    try:
        read = recipe_in_card(text) if start == "<" else json.loads(text) if start == "{" else toml_or_yaml(text)
    except (ValueError, RecursionError, YAMLError):
        raise _refused(
            message("No recipe can be read from this file: give a recipe card, YAML, TOML or JSON.")
        ) from None
    if not isinstance(read, dict) or not read:
        raise _refused(message("This file holds no recipe: an object with named settings is needed."))
    return read


def toml_or_yaml(text: str) -> Any:  # noqa: ANN401 - whatever it holds
    """Read what no text can be both of: TOML has `name = value`, YAML `name: value`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return read_yaml(text)


def recipe_in_card(html: str) -> dict[str, Any]:
    """Return the recipe that a card holds; ValueError when there is none."""
    reader = _BlockReader()
    reader.feed(html)
    read = json.loads("".join(reader.parts))
    if not isinstance(read, dict):
        raise ValueError("the card's data block holds no object")  # noqa: TRY004 - as for any other bad text
    return read


class _BlockReader(HTMLParser):
    """Collects the text of a card's data block, the first of its name."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self._state = "before"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and (given.get("id"), given.get("type")) == (BLOCK_ID, BLOCK_TYPE):
            self._state = "in" if self._state == "before" else "after"

    def handle_endtag(self, tag: str) -> None:
        if tag == "script" and self._state == "in":
            self._state = "after"

    def handle_data(self, data: str) -> None:
        if self._state == "in":
            self.parts.append(data)


def _refused(text: Message) -> InvalidError:
    return InvalidError([FieldError("file", text)])
