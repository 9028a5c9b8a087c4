"""
What is wrong with a recipe, in one sentence for each field.

Pydantic finds what is wrong within a field, and `field_error` says it; the checks find what is wrong
between fields.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails
from sqlmodel import Session

from app.domain.datasets.store import dataset_file
from app.domain.datasets.uses import hold_sets
from app.domain.errors import FieldError, InvalidError
from app.domain.messages import Message, message
from app.domain.mix_rows import counted_rows, plan_rows, shares_fit, sum_of_shares
from app.domain.mixes import NAME, filled_lengths, sources_of
from app.domain.recipe_parts import LONGEST_TEXT
from app.domain.recipes import MAX_PAIRS, MAX_ROWS, FileSource, Mix, ProbeGroup, Recipe

VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,31}")
LONGEST_FILLED = 4 * LONGEST_TEXT  # characters of a text whose variables are filled in
MOST_FILLED = 2 * MAX_PAIRS * LONGEST_TEXT  # of all identity pairs: no more than they may have without variables
SHOWN_LENGTH = 40  # characters of a wrong value: what fits beside a field on a phone


def check_recipe(recipe: Recipe) -> Iterator[FieldError]:
    """Yield what is wrong between fields that are each right alone."""
    yield from _check_mix(recipe)
    yield from _check_length(recipe)
    yield from _check_varlen(recipe)
    yield from _check_cadence(recipe)
    yield from _check_answers(recipe)


def _check_mix(recipe: Recipe) -> Iterator[FieldError]:
    yield from _check_variables(recipe.mix)
    yield from check_filled(recipe.mix)
    yield from _check_files(recipe.mix)
    yield from _check_shares(recipe.mix)
    rows = sum(source.rows for source in plan_rows(sources_of(recipe.mix)))
    if rows == 0:
        yield FieldError("mix", message("The mix is empty. Add an identity pair, a general pair or a saved set."))
    if rows > MAX_ROWS:
        text = message(
            "{rows} rows are too many; {limit} is the most. Lower the copies or the shares.", rows=rows, limit=MAX_ROWS
        )
        yield FieldError("mix", text)


def _check_variables(mix: Mix) -> Iterator[FieldError]:
    for name in mix.variables:
        if name == NAME:
            text = message("{name} is filled by “Whose assistant”. Give this variable another name.", name="{name}")
            yield FieldError(f"mix.variables.{name}", text)
        elif not VARIABLE.fullmatch(name):
            text = message(
                "“{name}” cannot be a variable's name. Begin with a small letter, and use small letters, digits and _ "
                "only, 32 at most.",
                name=_shown(name),
            )
            yield FieldError(f"mix.variables.{name}", text)


def check_filled(mix: Mix) -> Iterator[FieldError]:
    """Yield what variables make too long; nothing may be built of such a mix."""
    total = 0
    for number, pair in enumerate(filled_lengths(mix)):
        for field, length in zip(("question", "answer"), pair, strict=True):
            total += length
            if length > LONGEST_FILLED:
                text = message(
                    "With its variables filled in this text has {length} characters; {limit} fit.",
                    length=length,
                    limit=LONGEST_FILLED,
                )
                yield FieldError(f"mix.identity.{number}.{field}", text)
    if total > MOST_FILLED:
        text = message(
            "With their variables filled in these pairs have {length} characters; {limit} fit.",
            length=total,
            limit=MOST_FILLED,
        )
        yield FieldError("mix.identity", text)


def _check_files(mix: Mix) -> Iterator[FieldError]:
    for number, file in enumerate(mix.files):
        if not dataset_file(file.sha256).is_file():
            yield _no_such_set(file, number)


def check_saved(session: Session, files: Sequence[FileSource]) -> None:
    """See that sets are saved, so that nobody deletes one before this transaction ends; InvalidError if not."""
    saved = hold_sets(session, {file.sha256 for file in files})
    if problems := [_no_such_set(file, number) for number, file in enumerate(files) if file.sha256 not in saved]:
        raise InvalidError(problems)


def _no_such_set(file: FileSource, number: int) -> FieldError:
    text = message("There is no saved set “{name}” in this version. Choose one of those saved.", name=file.dataset)
    return FieldError(f"mix.files.{number}.sha256", text)


def _check_shares(mix: Mix) -> Iterator[FieldError]:
    sources = sources_of(mix)
    if shares_fit(sources):
        return
    last = next(source.key for source in reversed(sources) if source.share is not None and source.distinct)
    field = f"mix.{last}.share" if last.startswith("files.") else f"mix.{last}_share"
    percent = f"{100 * sum_of_shares(sources):.4g} %"
    if counted_rows(sources):
        text = message(
            "The shares add up to {percent}, and other sources have copies. Stay below 100 %.", percent=percent
        )
    else:
        text = message(
            "Every source has a share, and they add up to {percent}. Make it 100 %, or give one of them copies.",
            percent=percent,
        )
    yield FieldError(field, text)


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


def _check_answers(recipe: Recipe) -> Iterator[FieldError]:
    checkpoints, is_stopping = recipe.checkpoints, recipe.stopping.at_sweet_spot
    if checkpoints.evaluate and not recipe.probes:
        yield FieldError("probes", message("Add at least one probe, or switch answering off."))
    if is_stopping and not checkpoints.evaluate:
        text = message("Without answers the sweet spot is not seen. Let the probes be answered at every checkpoint.")
        yield FieldError("stopping.at_sweet_spot", text)
    elif is_stopping and all(probe.group is not ProbeGroup.IDENTITY for probe in recipe.probes):
        text = message("No probe asks for the identity, so nothing tells when it is learnt. Add an identity probe.")
        yield FieldError("stopping.at_sweet_spot", text)
    elif is_stopping and all(probe.group is ProbeGroup.IDENTITY for probe in recipe.probes):
        text = message(
            "Every probe asks for the identity, so nothing tells what leaks. Add a near-miss or general probe."
        )
        yield FieldError("stopping.at_sweet_spot", text)
    if checkpoints.keep_best and not checkpoints.evaluate:
        text = message("Without answers nothing tells the good ones. Let the probes be answered at every checkpoint.")
        yield FieldError("checkpoints.keep_best", text)


def field_error(detail: ErrorDetails) -> FieldError:
    """Say in words what pydantic found wrong with one field."""
    path = ".".join(str(part) or '""' for part in detail["loc"])  # a name may be empty, too
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
    "less_than": lambda value, bounds: message(
        "{value} is too large. Give a value below {bound}.", value=value, bound=bounds["lt"]
    ),
    "string_pattern_mismatch": lambda value, _: message(
        "“{value}” is not a hash. Give the 64 digits that the saved set shows.", value=value
    ),
    "string_too_short": lambda _, __: message("Write something here."),
    "string_too_long": lambda _, bounds: message(
        "This text is too long; {limit} characters fit.", limit=bounds["max_length"]
    ),
    "not_storable": lambda _, __: message("This text holds a zero character, which cannot be stored. Delete it."),
    "string_unicode": lambda _, __: message("This text holds half a character, which cannot be stored. Delete it."),
    "string_type": lambda _, __: message("Give a text."),
    "too_long": lambda _, bounds: message("These are too many; {limit} fit.", limit=bounds["max_length"]),
    "enum": lambda value, bounds: message("“{value}” is none of {choices}.", value=value, choices=bounds["expected"]),
    "model_type": _no_object,
    "model_attributes_type": _no_object,
    "tuple_type": lambda _, __: message("Give a list."),
}
