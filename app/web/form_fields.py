"""The fields of the recipe form as its page shows them: what was typed, and what is wrong with it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from app.domain.errors import FieldError
from app.domain.messages import N_, Message
from app.domain.recipes import MAX_PROBES
from app.web.formats import scientific
from app.web.forms import length_of, value_at
from app.web.mix_fields import percent_text, variable_rows
from app.web.recipe_settings import Setting, id_of_path, setting, setting_or_none

__all__ = ["Amount", "FormField", "Problem", "RecipeForm", "TextRow", "as_text", "value_at"]

LENGTH_PATHS = frozenset({"training.epochs", "training.iterations"})
PAIR_OR_PROBE = ("question", "answer", "group", "reference")
LENGTH_PATH = "training.length"  # one field on the page, epochs or iterations in the recipe


@dataclass(frozen=True)
class FormField:
    """One setting of the form with what stands in it."""

    about: Setting
    value: str
    error: Message | None


@dataclass(frozen=True)
class TextRow:
    """One pair or probe of the form."""

    path: str
    values: Mapping[str, str]
    errors: Mapping[str, Message | None]


@dataclass(frozen=True)
class Amount:
    """How much of a source is wanted: copies, or a share of all rows in percent."""

    path: str
    count: str
    share: str
    is_share: bool
    error: Message | None

    @property
    def id(self) -> str:
        """What the ids of its controls begin with."""
        return id_of_path(self.path)


@dataclass(frozen=True)
class Problem:
    """What is wrong with one field, and where on the page that is."""

    path: str
    name: str
    number: int | None
    """Of a row, from 1 on."""
    message: Message

    @property
    def id(self) -> str:
        """Id of the control."""
        return id_of_path(self.path)


class RecipeForm:
    """The form's fields: what was typed, and what is wrong with it."""

    def __init__(self, data: Mapping[str, Any], problems: Iterable[FieldError]) -> None:
        """Keep the data as it is."""
        self.data = data
        self.problems: dict[str, Problem] = {}
        for error in problems:
            problem = _problem(error)
            self.problems.setdefault(problem.path, problem)

    def __getitem__(self, path: str) -> FormField:
        """Return the field at a dotted path."""
        return FormField(setting(path), self.text(path), self.error(path))

    def text(self, path: str) -> str:
        """Return what stands in a field."""
        return as_text(value_at(self.data, path))

    def is_on(self, path: str) -> bool:
        """Whether a switch is on."""
        return self.text(path) in {"true", "on"}

    def error(self, path: str) -> Message | None:
        """Return what is wrong at a dotted path."""
        problem = self.problems.get(_on_page(path))
        return problem.message if problem else None

    @property
    def length(self) -> tuple[str, str]:
        """The length as typed, and its unit."""
        value, unit = length_of(self.data)
        return as_text(value), unit

    @property
    def general_sets(self) -> Sequence[str]:
        """The built-in sets that are chosen."""
        chosen = value_at(self.data, "mix.general_sets")
        return [as_text(name) for name in chosen] if isinstance(chosen, list | tuple) else []

    def amount(self, path: str) -> Amount:
        """Return how much of a source is wanted; the path ends with what joins it to a name: `mix.identity_`."""
        share = value_at(self.data, f"{path}share")
        return Amount(
            path=path,
            count=self.text(f"{path}count"),
            share=percent_text(share),
            is_share=share is not None,
            error=self.error(f"{path}share") if share is not None else self.error(f"{path}count"),
        )

    @property
    def has_room_for_probes(self) -> bool:
        """Whether another probe fits."""
        return len(self.rows("probes")) < MAX_PROBES

    @property
    def variables(self) -> Sequence[TextRow]:
        """The variables as rows of name and value."""
        rows = variable_rows(value_at(self.data, "mix.variables"))
        return [self._row(f"mix.variables.{index}", row, names=("name", "value")) for index, row in enumerate(rows)]

    def rows(self, path: str) -> Sequence[TextRow]:
        """Return the pairs or probes at a dotted path."""
        rows = value_at(self.data, path)
        return (
            [self._row(f"{path}.{index}", row) for index, row in enumerate(rows)]
            if isinstance(rows, list | tuple)
            else []
        )

    def _row(self, path: str, row: object, *, names: Sequence[str] = PAIR_OR_PROBE) -> TextRow:
        values = {name: as_text(row.get(name)) if isinstance(row, Mapping) else "" for name in names}
        return TextRow(path, values, {name: self.error(f"{path}.{name}") for name in names})


def as_text(value: object) -> str:
    """Write a value as it is typed into a field."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return scientific(value)
    return str(value.value if isinstance(value, Enum) else value)


def _on_page(path: str) -> str:
    return LENGTH_PATH if path in LENGTH_PATHS else path


ROW_NAMES = {
    ("mix.identity", "question"): N_("identity question"),
    ("mix.identity", "answer"): N_("identity answer"),
    ("mix.general", "question"): N_("general question"),
    ("mix.general", "answer"): N_("general answer"),
    ("mix.variables", "name"): N_("name of variable"),
    ("mix.variables", "value"): N_("value of variable"),
    ("mix.files", "count"): N_("copies of saved set"),
    ("mix.files", "share"): N_("share of saved set"),
    ("mix.files", "sha256"): N_("saved set"),
    ("mix.files", "dataset"): N_("saved set"),
    ("probes", "question"): N_("probe"),
    ("probes", "group"): N_("group of probe"),
    ("probes", "reference"): N_("reference of probe"),
}
OTHER_NAMES = {"mix": N_("Mix"), **dict.fromkeys(LENGTH_PATHS, N_("Length"))}


def _problem(error: FieldError) -> Problem:
    *path, number, last = ["", "", *error.field.split(".")]
    row = ROW_NAMES.get((".".join(path).strip("."), last))
    if row is not None and number.isdecimal():
        return Problem(error.field, row, int(number) + 1, error.message)
    if error.field in OTHER_NAMES:
        return Problem(_on_page(error.field), OTHER_NAMES[error.field], None, error.message)
    about = setting_or_none(error.field)
    return Problem(error.field, about.title if about else error.field, None, error.message)
