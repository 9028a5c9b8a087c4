"""YAML as a recipe is written in it: data, never code, and no more of it than a recipe can hold."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.recipe_yaml import YAMLError, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: no", {"a": "no"}),
        ("a: Yes", {"a": "Yes"}),
        ("a: true", {"a": True}),
        ("a: 1e-3", {"a": 0.001}),
        ("a: 5.0e-4", {"a": 0.0005}),
        ("a: -7", {"a": -7}),
        ("a: 010", {"a": 10}),
        ("a: 12:30:45", {"a": "12:30:45"}),
        ("a: 2026-11-26", {"a": "2026-11-26"}),
        ("a: 0x1f", {"a": "0x1f"}),
        ("a: .inf", {"a": math.inf}),
        ("a: ~\nb:\nc: null", {"a": None, "b": None, "c": None}),
        ("a: '1'", {"a": "1"}),
        ("a: |\n  我是\n  Ada\n", {"a": "我是\nAda\n"}),
        ("b: &x {r: 1}\na:\n  <<: *x\n  s: 2", {"b": {"r": 1}, "a": {"r": 1, "s": 2}}),
        ("", None),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    """An answer `No` stays a text, and a learning rate `1e-3` is a number."""
    assert read_yaml(text) == value


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 10)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        MERGES,
        "a: &a [*a]",
        "a: 1\na: 2",
        "a: !!python/object/apply:os.system ['true']",
        "!!python/name:os.system",
        "a: !mine 1",
        "a: 1\n---\nb: 2",
        "a: [1",
        "a: {1: x}",
        "a: *nobody",
        "a: \x00",
        "a: " + "[" * 100_000,
        "a: x\n" * 200_000,
    ],
    ids=[
        "aliases",
        "merges",
        "loop",
        "twice",
        "call",
        "name",
        "tag",
        "two documents",
        "broken",
        "number as name",
        "no anchor",
        "nul",
        "deep",
        "large",
    ],
)
def test_what_is_no_recipe_is_refused(text: str) -> None:
    """A bomb of aliases before it is built, a call before it is made, and a name that stands twice."""
    with pytest.raises((ValueError, YAMLError)):
        read_yaml(text)


@settings(max_examples=40)
@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever it is, it is data or an error, and nothing else."""
    try:
        read = read_yaml(text)
    except (ValueError, YAMLError, RecursionError):
        return
    assert isinstance(read, dict | list | str | int | float | bool | None)
