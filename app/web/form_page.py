"""What the page of the recipe form shows: its fields, the mix in numbers, the forecast, the config."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlmodel import Session

from app.domain.errors import FieldError
from app.domain.forecasts import Forecast, MixForecast, forecast_mix, forecast_recipe
from app.domain.messages import N_, Message
from app.domain.models import Model
from app.domain.recipes import GeneralSet, Mix, Recipe, Variables
from app.domain.registry import find_model, list_models
from app.web.config_preview import ConfigPart, preview_config
from app.web.formats import scientific
from app.web.forms import CheckedForm, length_of, value_at
from app.web.recipe_settings import Setting, id_of_path, setting, setting_or_none
from app.web.workers import device_of_workers

LENGTH_PATHS = frozenset({"training.epochs", "training.iterations"})
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

    def rows(self, path: str) -> Sequence[TextRow]:
        """Return the pairs or probes at a dotted path."""
        rows = value_at(self.data, path)
        return (
            [self._row(f"{path}.{index}", row) for index, row in enumerate(rows)]
            if isinstance(rows, list | tuple)
            else []
        )

    def _row(self, path: str, row: object) -> TextRow:
        names = ("question", "answer", "group", "reference")
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


# ── The page ───────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Origin:
    """What the form was filled from."""

    kind: str = ""
    """`clone`, `xtuner`, `preset`, or empty."""
    name: str = ""
    run_id: int | None = None
    differing: Sequence[str] = ()
    """Titles of the settings that are not the origin's."""


@dataclass(frozen=True)
class FormView:
    """All of the form that changes while it is filled in."""

    form: RecipeForm
    origin: Origin
    mix: MixForecast
    forecast: Forecast | None
    parts: Sequence[ConfigPart]
    model: Model | None
    models: Sequence[Model]
    is_sent: bool
    """The form was sent and refused: from now on texts not written yet are mistakes too."""


def build_view(
    session: Session,
    checked: CheckedForm,
    *,
    origin: Origin,
    problems: Iterable[FieldError],
    is_sent: bool = False,
) -> FormView:
    """Put together what a form shows."""
    recipe = checked.recipe
    model = find_model(session, recipe.model) if recipe else None
    bad = {problem.field for problem in checked.problems}
    mix = forecast_mix(
        recipe.mix if recipe else Mix(),
        knows_identity="mix.identity_count" not in bad,
        knows_general="mix.general_count" not in bad,
    )
    return FormView(
        form=RecipeForm(checked.data, problems),
        origin=origin,
        mix=mix,
        forecast=_forecast(session, recipe, model) if recipe else None,
        parts=preview_config(checked, model, rows=mix.rows),
        model=model,
        models=list_models(session),
        is_sent=is_sent,
    )


def _forecast(session: Session, recipe: Recipe, model: Model | None) -> Forecast:
    return forecast_recipe(recipe, session=session, model=model, device=device_of_workers(), waits=False)


def differing_settings(recipe: Recipe, other: Recipe) -> list[str]:
    """Return the titles of the settings in which two recipes differ; the run's name is no setting."""
    return list(dict.fromkeys(_differing(recipe.model_dump(), other.model_dump(), "")))


def _differing(mine: Mapping[str, Any], other: Mapping[str, Any], path: str) -> Iterable[str]:
    for name, value in mine.items():
        where = f"{path}{name}"
        if isinstance(value, dict) and not isinstance(value, Variables):
            yield from _differing(value, other[name], f"{where}.")
        elif value != other[name] and where != "name":
            yield OTHER_NAMES[where] if where in LENGTH_PATHS else setting(where).title


SET_TITLES = {GeneralSet.ENGLISH: N_("General, English"), GeneralSet.CHINESE: N_("General, Chinese")}
