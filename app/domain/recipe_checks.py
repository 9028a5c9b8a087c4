"""
What is wrong with a recipe, in one sentence for each field.

Pydantic finds what is wrong within a field, and `field_error` says it; the checks find what is wrong
between fields.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from app.domain.errors import FieldError
from app.domain.messages import Message, message
from app.domain.mixes import count_rows
from app.domain.recipes import MAX_ROWS, Recipe

SHOWN_LENGTH = 40  # characters of a wrong value: what fits beside a field on a phone


def check_recipe(recipe: Recipe) -> Iterator[FieldError]:
    """Yield what is wrong between fields that are each right alone."""
    yield from _check_mix(recipe)
    yield from _check_length(recipe)
    yield from _check_varlen(recipe)
    yield from _check_cadence(recipe)
    if recipe.checkpoints.evaluate and not recipe.probes:
        yield FieldError("probes", message("Add at least one probe, or switch answering off."))


def _check_mix(recipe: Recipe) -> Iterator[FieldError]:
    rows = count_rows(recipe.mix).total
    if rows == 0:
        yield FieldError("mix", message("The mix is empty. Add an identity pair or a general pair."))
    if rows > MAX_ROWS:
        text = message("{rows} rows are too many; {limit} is the most. Lower n or m.", rows=rows, limit=MAX_ROWS)
        yield FieldError("mix", text)


def _check_length(recipe: Recipe) -> Iterator[FieldError]:
    training = recipe.training
    if training.epochs is None and training.iterations is None:
        yield FieldError("training.epochs", message("Say how long to train: in epochs or in iterations."))
    if training.epochs is not None and training.iterations is not None:
        yield FieldError("training.iterations", message("Give epochs or iterations, not both."))


def _check_varlen(recipe: Recipe) -> Iterator[FieldError]:
    training = recipe.training
    if training.varlen_attention and training.batch_size != 1:
        text = message("Variable-length attention takes batch size 1 only. Set it to 1 and raise the maximum length.")
        yield FieldError("training.batch_size", text)
    if training.varlen_attention and not training.packing:
        text = message("Variable-length attention works on packs. Switch packing on.")
        yield FieldError("training.packing", text)


def _check_cadence(recipe: Recipe) -> Iterator[FieldError]:
    every, keep, iterations = recipe.checkpoints.every, recipe.checkpoints.keep, recipe.training.iterations
    if keep == 0:
        yield FieldError("checkpoints.keep", message("Keep at least 1 checkpoint, or -1 for all."))
    if iterations is not None and every > iterations:
        text = message(
            "The run ends at iteration {iterations}, before the first save. Give {iterations} or less.",
            iterations=iterations,
        )
        yield FieldError("checkpoints.every", text)


def field_error(detail: ErrorDetails) -> FieldError:
    """Say in words what pydantic found wrong with one field."""
    path = ".".join(str(part) for part in detail["loc"])
    make = _SENTENCES.get(detail["type"])
    if make is None:
        return FieldError(path, message("This value cannot be used: {detail}.", detail=detail["msg"]))
    return FieldError(path, make(_shown(detail.get("input")), detail.get("ctx", {})))


def _shown(value: object) -> str:
    """Quote what the user gave, short enough for a line beside a field."""
    text = str(value)
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 1] + "…"


_Sentence = Callable[[str, Mapping[str, Any]], Message]


def _not_a_number(value: str, _bounds: Mapping[str, Any]) -> Message:
    return message("“{value}” is not a number. Give one such as 0.001.", value=value)


def _not_whole(value: str, _bounds: Mapping[str, Any]) -> Message:
    return message("“{value}” is not a whole number.", value=value)


def _no_object(_value: str, _bounds: Mapping[str, Any]) -> Message:
    return message("Give an object with named settings.")


_SENTENCES: dict[str, _Sentence] = {
    "missing": lambda _, __: message("This is needed."),
    "extra_forbidden": lambda _, __: message("There is no setting of this name."),
    "finite_number": lambda value, _: message("{value} is not a finite number. Give one such as 2e-4.", value=value),
    "float_parsing": _not_a_number,
    "float_type": _not_a_number,
    "int_parsing": _not_whole,
    "int_type": _not_whole,
    "int_from_float": _not_whole,
    "int_parsing_size": lambda _, __: message("This number is far too large."),
    "bool_parsing": lambda _, __: message("Say true or false."),
    "greater_than": lambda value, bounds: message(
        "{value} is too small. Give a value above {bound}.", value=value, bound=bounds["gt"]
    ),
    "greater_than_equal": lambda value, bounds: message(
        "{value} is too small. Give {bound} or more.", value=value, bound=bounds["ge"]
    ),
    "less_than_equal": lambda value, bounds: message(
        "{value} is too large. Give {bound} or less.", value=value, bound=bounds["le"]
    ),
    "string_too_short": lambda _, __: message("Write something here."),
    "string_too_long": lambda _, bounds: message(
        "This text is too long; {limit} characters fit.", limit=bounds["max_length"]
    ),
    "not_storable": lambda _, __: message("This text holds a zero character, which cannot be stored. Delete it."),
    "string_type": lambda _, __: message("Give a text."),
    "too_long": lambda _, bounds: message("These are too many; {limit} fit.", limit=bounds["max_length"]),
    "enum": lambda value, bounds: message("“{value}” is none of {choices}.", value=value, choices=bounds["expected"]),
    "model_type": _no_object,
    "model_attributes_type": _no_object,
    "tuple_type": lambda _, __: message("Give a list."),
}
