"""
YAML as a recipe is written in it: data and never code.

It is read by the rules of 1.2: `no` and `12:30` are texts, `1e-3` is a number. What aliases would blow up beyond what
a recipe can hold is refused before it is built. The reader is the slow one in Python, since the one in C can be made
to overflow its stack; larger recipes are written as JSON or TOML.
"""

import re
from collections.abc import Hashable
from typing import Any, NoReturn

import yaml
from yaml import YAMLError

__all__ = ["YAMLError", "read_yaml"]

MOST_CHARACTERS = 512 << 10  # about three seconds of reading
DEEP = re.compile(r"(?:[\[{]\s*){32}")  # what takes quadratic time to find out that it is too deep
MOST_NODES = 1_000_000  # of a document with every alias written out; a recipe of 5,000 pairs has some 30,000


class RecipeLoader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML ships no types
    """A safe loader with the plain types of YAML 1.2, which refuses a name that stands twice, or is no text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own way

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        """Build a mapping."""
        names = [each.value for each, _ in node.value if isinstance(each, yaml.ScalarNode) and each.value != "<<"]
        twice = next((name for name in names if names.count(name) > 1), None) if len(names) != len(set(names)) else None
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"“{twice}” stands here twice", node.start_mark)
        built: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        if not all(isinstance(name, str) for name in built):
            raise yaml.constructor.ConstructorError(None, None, "a name here is no text", node.start_mark)
        return built


for _tag, _form, _first in (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", "-+.0123456789"),
    ("merge", "<<", "<"),
):
    RecipeLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_form})$"), list(_first))
RecipeLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^$"), [""])
RecipeLoader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))


def read_yaml(text: str) -> Any:  # noqa: ANN401 - whatever it holds
    """
    Read one YAML document.

    Raises:
        ValueError: it is too large or too deep, or its aliases make more of it than a recipe can hold, or lead back
            to themselves.
        yaml.YAMLError: it is no YAML, or asks for something that is no data.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"YAML of more than {MOST_CHARACTERS >> 10} KB is not read: write it as JSON or TOML")
    if DEEP.search(text):
        raise ValueError("it is nested too deeply")
    loader = RecipeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _nodes_of(node, {}) > MOST_NODES:
            raise ValueError(f"its aliases make more than {MOST_NODES:,} values of it")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _nodes_of(node: yaml.Node, known: dict[int, int]) -> int:
    """Count a node with all that is below it, every alias as if it were written out."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        if not known[id(node)]:
            _refuse_loop()
        return known[id(node)]
    known[id(node)] = 0  # being counted: what is met again now leads back to itself
    parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    known[id(node)] = count = min(1 + sum(_nodes_of(part, known) for part in parts), MOST_NODES + 1)
    return count


def _refuse_loop() -> NoReturn:
    raise ValueError("an alias in it leads back to itself")
