"""
The recipe form: from its fields to recipe data, and from recipe data to its fields.

A field's name is its setting's dotted path in the recipe (`training.learning_rate`,
`mix.identity.0.question`), so that one function reads them all. What was typed stays as it was
typed: the values of the page are those of the form, right or wrong.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import ValidationError
from sqlmodel import Session
from starlette.datastructures import FormData

from app.domain.errors import FieldError
from app.domain.messages import Message, message
from app.domain.recipe_checks import check_filled, check_recipe, field_error
from app.domain.recipes import MAX_FILES, MAX_PAIRS, MAX_PROBES, MAX_VARIABLES, Recipe
from app.domain.registry import find_model, problem_of
from app.web.mix_fields import (
    at_row,
    in_percent,
    read_amounts,
    variable_problems,
    with_table_of_variables,
)

# Two texts a pair in two lists, three fields a probe, five a saved set, two a variable, the rest.
MAX_FIELDS = 4 * MAX_PAIRS + 3 * MAX_PROBES + 5 * MAX_FILES + 2 * MAX_VARIABLES + 100
LONGEST_KEY = 200
MAX_REPAIRS = 3  # rounds; removing a bad value can uncover another
TOP_NAMES = frozenset({"name", "model", "method"})
LENGTH, LENGTH_UNIT = "length", "length_unit"
LENGTH_UNITS = ("iterations", "epochs")
TEXTS = ("name", "question", "answer", "value")  # fields that may be empty until the form is sent
UNKNOWN_TEXT = "?"


async def _read(request: Request) -> FormData:
    return await request.form(max_fields=MAX_FIELDS, max_files=0)


SentForm = Annotated[FormData, Depends(_read)]


def request_key_of(form: FormData) -> str | None:
    """Return the page's own key of a request, by which the same one sent twice is known; None where it has none."""
    key = str(form.get("request_key", ""))[:LONGEST_KEY]
    return key if key and key.isprintable() else None


# ── From fields to data ────────────────────────────────────────────────────


def recipe_data_from_form(form: FormData) -> dict[str, Any]:
    """Return the form's fields as the recipe nests them; the values are as they were typed."""
    tree: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, str) and ("." in name or name in TOP_NAMES):
            _put(tree, name.split("."), value.replace("\r\n", "\n"))
    _read_length(tree)
    data = {name: _listed(value) for name, value in tree.items()}
    read_amounts(data.get("mix"))
    return data


def _put(tree: dict[str, Any], parts: Sequence[str], value: str) -> None:
    *path, last = parts
    for part in path:
        inner = tree.setdefault(part, {})
        if not isinstance(inner, dict):
            return  # `name` and `name.x` cannot both be meant
        tree = inner
    if last == "general_sets":
        tree.setdefault(last, []).append(value)
    else:
        tree[last] = value  # a box that is ticked comes after the hidden field that says it is not


def _read_length(tree: dict[str, Any]) -> None:
    """Turn the one length and its unit into epochs or iterations."""
    training = tree.get("training")
    if not isinstance(training, dict):
        return
    length, unit = training.pop(LENGTH, None), training.pop(LENGTH_UNIT, LENGTH_UNITS[0])
    for name in LENGTH_UNITS:
        if length is None:
            training[name] = training.get(name) or None
        else:
            training[name] = length if name == unit else None


def _listed(value: Any) -> Any:  # noqa: ANN401 - a tree of texts
    """Turn the numbered entries of a tree into lists, in the order of their numbers."""
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(part) for name, part in value.items()}
    if inner and all(name.isdecimal() and len(name) < len(str(MAX_FIELDS)) + 1 for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


# ── From data to fields ────────────────────────────────────────────────────


def value_at(data: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - a text, or a value of the recipe
    """Return what is at a dotted path; None where nothing is."""
    found: Any = data
    for part in path.split("."):
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list | tuple) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found


def length_of(data: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the length and its unit."""
    for unit in LENGTH_UNITS:
        value = value_at(data, f"training.{unit}")
        if value is not None:
            return value, unit
    return "", LENGTH_UNITS[0]


# ── What is wrong ──────────────────────────────────────────────────────────


@dataclass(frozen=True)
class CheckedForm:
    """A form's data, every problem in it, and a recipe to show meanwhile."""

    data: dict[str, Any]
    problems: tuple[FieldError, ...]
    recipe: Recipe | None
    """The recipe as it is, or with defaults in place of bad values; None where nothing can be built of that either."""

    @property
    def valid(self) -> Recipe | None:
        """The recipe, if a run can be made of it."""
        return None if self.problems else self.recipe


def check_form(session: Session, data: dict[str, Any]) -> CheckedForm:
    """Find everything that is wrong with a form's data, within fields and between them."""
    recipe, problems = _parse(with_table_of_variables(data))
    problems = [at_row(data, problem, is_of_value=True) for problem in problems] + list(variable_problems(data))
    if recipe is not None:
        named = [problem.field for problem in problems]
        between = [at_row(data, problem, is_of_value=False) for problem in check_recipe(recipe)]
        problems += [problem for problem in between if not _is_explained(problem.field, named)]
        if "model" not in named:
            text = problem_of(recipe.model, find_model(session, recipe.model))
            problems += [FieldError("model", text)] if text else []
        if any(check_filled(recipe.mix)):
            recipe = None  # it would fill gigabytes
    return CheckedForm(data, tuple(_in_own_words(data, problem) for problem in problems), recipe)


def _is_explained(field: str, named: Sequence[str]) -> bool:
    """Whether a problem between fields only repeats that one of them is bad."""
    is_length = field in {"training.epochs", "training.iterations"}
    related = LENGTH_UNITS if is_length else ()
    return any(
        name == field or name.startswith(f"{field}.") or name in {f"training.{unit}" for unit in related}
        for name in named
    )


def _parse(data: dict[str, Any]) -> tuple[Recipe | None, list[FieldError]]:
    problems: list[FieldError] = []
    tried = data
    for _ in range(MAX_REPAIRS):
        try:
            return Recipe.model_validate(tried), problems
        except ValidationError as error:
            found = [field_error(detail) for detail in error.errors()]
        problems += [problem for problem in found if problem.field not in {known.field for known in problems}]
        for problem in found:
            tried = _repaired(tried, problem.field.split("."))
    return None, problems


def _repaired(tree: Any, path: Sequence[str]) -> Any:  # noqa: ANN401 - part of the data
    """Return a copy without the value at a path; a text becomes a question mark, since a row may need it."""
    first, *rest = path
    if isinstance(tree, Mapping):
        copy = dict(tree)
        if rest and first in copy:
            copy[first] = _repaired(copy[first], rest)
        elif first in TEXTS or first == "model":
            copy[first] = UNKNOWN_TEXT
        else:
            copy.pop(first, None)
        return copy
    if isinstance(tree, list | tuple) and first.isdecimal() and int(first) < len(tree):
        items = list(tree)
        items[int(first)] = _repaired(items[int(first)], rest) if rest else {}
        return items
    return {} if rest else tree


def _in_own_words(data: Mapping[str, Any], problem: FieldError) -> FieldError:
    """Ask for a value where none was given: “” is not a number is no help."""
    typed = value_at(data, problem.field)
    if typed != "":
        return in_percent(problem, typed)
    is_text = problem.field.rpartition(".")[2] in TEXTS
    text: Message = message("Write something here.") if is_text else message("This needs a value.")
    return FieldError(problem.field, text)


def without_unwritten(checked: CheckedForm) -> Iterator[FieldError]:
    """Yield the problems but those of texts not written yet: while a form is filled in, these are no mistakes."""
    for problem in checked.problems:
        is_text = problem.field.rpartition(".")[2] in TEXTS
        if not (is_text and not value_at(checked.data, problem.field)):
            yield problem
