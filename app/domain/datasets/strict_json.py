"""
One JSON value, read strictly: what other readers take silently is named here.

Python's own reader takes NaN, lets the second of two equal names win, and goes as deep as its
stack. A row of training data with any of these was damaged before it came here.
"""

import json
from typing import Any

from app.domain.datasets.refusals import RefusedRowError, shown
from app.domain.messages import Message, message

MOST_DEPTH = 32  # lists and objects inside each other; a conversation needs four


def parse_json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value that a text spells; RefusedRowError says what is wrong with it."""
    try:
        value = _decode(text)
    except json.JSONDecodeError as error:
        raise RefusedRowError(_problem_of(error)) from None
    except RecursionError:
        raise RefusedRowError(too_deep()) from None
    except ValueError:  # Python reads no number of more than 4,300 digits
        raise RefusedRowError(message("It holds a number of more digits than can be read.")) from None
    if text.count("{") + text.count("[") > MOST_DEPTH and _is_deeper(value, MOST_DEPTH):
        raise RefusedRowError(too_deep())
    return value


def too_deep() -> Message:
    """Say that something is nested too deep."""
    return message(
        "It is nested more than {most} deep. Rows are flat: look for what wrapped this one.", most=MOST_DEPTH
    )


def named_twice(name: str) -> Message:
    """Say that a name stands twice in one object."""
    return message("The name “{name}” stands twice in one object. Keep one of the two.", name=shown(name))


def no_number(constant: str) -> Message:
    """Say that a value is one that JSON does not have."""
    return message("{constant} is no JSON. Write a number, or null.", constant=constant)


def cut_off() -> Message:
    """Say that a file ends too early."""
    return message("It ends in the middle: the file may be cut off. Save or download it anew.")


def half_a_character() -> Message:
    """Say that a text cannot be written as UTF-8."""
    return message("It holds half a character (a lone surrogate, as in \\ud83d). The text was cut: take it anew.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            break
        seen.add(name)
    raise RefusedRowError(named_twice(name))


def _constant(text: str) -> None:
    raise RefusedRowError(no_number(text))


_decode = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant).decode


def _problem_of(error: json.JSONDecodeError) -> Message:
    if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string"):
        return cut_off()
    return message(
        "It is not JSON at character {place}: {problem}.", place=error.pos + 1, problem=error.msg.rstrip(" :")
    )


def _is_deeper(value: object, most: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return most == 0 or any(_is_deeper(each, most - 1) for each in inside)
