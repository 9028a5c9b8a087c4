"""What the assignments of a config say: plain values, and none that grow without end."""

import ast

import pytest

from app.domain.xtuner_source import MOST_LEAVES, PlainConfig


def value_of(text: str, name: str = "x") -> object:
    """Return the value that a program gives to a name; None where it is none that is plain."""
    return PlainConfig(ast.parse(text)).value(name)


def nested(first: str, *, deep: int) -> str:
    """Return a program in which every list names the one before it ten times."""
    return f"a0 = {first}\n" + "".join(f"a{n} = [{', '.join([f'a{n - 1}'] * 10)}]\n" for n in range(1, deep + 1))


def test_lists_of_lists_are_values() -> None:
    """Names stand for what they were given."""
    assert value_of(nested("[1, 'b']", deep=1) + "x = [a1[0]] if 0 else a1\n", "a1") == [[1, "b"]] * 10


@pytest.mark.parametrize("first", ["[1]", "[]", "'text'"], ids=["numbers", "nothing", "texts"])
def test_lists_that_name_lists_end(first: str) -> None:
    """Ten times as many at each name: beyond the most, the value is not known."""
    deep = len(str(MOST_LEAVES))
    text = nested(first, deep=deep)

    assert value_of(text, "a2") is not None
    assert value_of(text, f"a{deep}") is None
    assert value_of(f"{text}y = [a{deep}]\n", "y") is None


def test_long_texts_in_lists_count_by_their_length() -> None:
    """A thousand names for one text of a megabyte would be a gigabyte when written out."""
    text = f"a = '{'x' * 1_000_000}'\n"

    assert value_of(f"{text}x = a\n") == "x" * 1_000_000
    assert value_of(f"{text}x = [{'a, ' * 1_000}]\n") is None


@pytest.mark.parametrize(
    "expression", ["a * 9", "a + a", "f'{a}{a}'", "[a] * 9", "-[a]", f"0x{'f' * 5_000}", "10 ** 9 ** 9"]
)
def test_nothing_but_numbers_is_calculated_with(expression: str) -> None:
    """Texts and lists neither add up nor multiply, and no number has thousands of digits."""
    assert value_of(f"a = 'text'\nx = {expression}\n") is None
