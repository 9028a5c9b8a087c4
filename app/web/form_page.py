"""What the page of the recipe form shows: its fields, the mix in numbers, the forecast, the config."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlmodel import Session

from app.domain.errors import FieldError
from app.domain.forecasts import Forecast, forecast_recipe
from app.domain.messages import N_, Message, message
from app.domain.models import Model
from app.domain.near_misses import NearMiss, by_kind, propose_near_misses
from app.domain.recipes import GeneralSet, Mix, Recipe, Variables
from app.domain.registry import find_model, list_models
from app.domain.token_forecasts import SourceTokens, TokenForecast
from app.web.config_preview import ConfigPart, preview_config
from app.web.dataset_findings import FoundKind
from app.web.dilution_view import Dilution, build_dilution
from app.web.form_fields import LENGTH_PATHS, OTHER_NAMES, RecipeForm
from app.web.forms import CheckedForm
from app.web.mix_files import FileRow, FoundSets, file_rows, find_sets
from app.web.mix_findings import MixFindings, find_in_form
from app.web.mix_table import MixTable, build_mix_table
from app.web.recipe_settings import setting
from app.web.workers import device_of_workers


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
    mix: MixTable
    files: Sequence[FileRow]
    found_sets: FoundSets
    forecast: Forecast | None
    max_length: int
    """What the forecast is made with."""
    parts: Sequence[ConfigPart]
    model: Model | None
    models: Sequence[Model]
    dilution: Dilution | None
    findings: MixFindings | None
    """Within the mix; None while there is none."""
    is_sent: bool
    """The form was sent and refused: from now on texts not written yet are mistakes too."""
    near_misses: Sequence[NearMiss] = ()
    """Probes that are proposed."""
    asks: str = ""
    """A change of the mix that somebody asked for, and by which something would be lost; empty mostly."""

    @property
    def near_misses_by_kind(self) -> Sequence[tuple[Message, Sequence[NearMiss]]]:
        """The proposed probes of each kind, and what they show."""
        return [(each[0].why, each) for _, each in by_kind(self.near_misses)]

    @property
    def is_unfinished(self) -> bool:
        """Something is still counted or searched: the side asks again by itself."""
        is_counting = self.forecast is not None and self.forecast.is_counting
        return is_counting or bool(self.findings and self.findings.unread)

    @property
    def found(self) -> Sequence[FoundKind]:
        """What is wrong within the mix, by kind."""
        return self.findings.found if self.findings else ()

    @property
    def tokens(self) -> TokenForecast | None:
        """One epoch in tokens; None where they cannot be counted."""
        return self.forecast.tokens if self.forecast else None

    def tokens_of(self, key: str) -> SourceTokens | None:
        """Return a source in tokens; None where they cannot be counted."""
        sources = self.tokens.sources if self.tokens else ()
        return next((source for source in sources if source.key == key), None)


def build_view(
    session: Session,
    checked: CheckedForm,
    *,
    origin: Origin,
    problems: Iterable[FieldError],
    is_sent: bool = False,
    diluted_from: str = "",
) -> FormView:
    """Put together what a form shows."""
    recipe = checked.recipe
    model = find_model(session, recipe.model) if recipe else None
    bad = {problem.field for problem in checked.problems}
    mix = build_mix_table(recipe.mix if recipe else Mix(), bad=bad)
    form = RecipeForm(checked.data, problems)
    forecast = _forecast(session, recipe, model) if recipe else None
    if forecast and recipe and mix.rows is None:
        forecast = _without_rows(forecast, recipe)
    return FormView(
        form=form,
        origin=origin,
        mix=mix,
        files=file_rows(session, form),
        found_sets=find_sets(session),
        forecast=forecast,
        max_length=recipe.training.max_length if recipe else 0,
        parts=preview_config(checked, model, rows=mix.rows),
        model=model,
        models=list_models(session),
        dilution=build_dilution(recipe, forecast.tokens if forecast else None, diluted_from),
        findings=find_in_form(recipe.mix) if recipe else None,
        is_sent=is_sent,
        near_misses=_near_misses(recipe) if recipe and form.has_room_for_probes else (),
    )


def _near_misses(recipe: Recipe) -> Sequence[NearMiss]:
    return propose_near_misses(recipe.mix, asked=[probe.question for probe in recipe.probes])


def _forecast(session: Session, recipe: Recipe, model: Model | None) -> Forecast:
    return forecast_recipe(recipe, session=session, model=model, device=device_of_workers(), waits=False)


def _without_rows(known: Forecast, recipe: Recipe) -> Forecast:
    """Leave out what depends on how many rows there are: some amount of the mix is no number."""
    unknown = (message("How many rows there are is not known until every amount of the mix has a value."),)
    left = replace(
        known, rows=None, packs=None, iterations_per_epoch=None, epochs=None, tokens=None, identity_seen=(),
        warnings=(), unknown=unknown,
    )  # fmt: skip
    if recipe.training.iterations is not None:
        return left
    return replace(
        left, iterations=None, updates=None, checkpoints=(), saves=None, answers=None, marks=(), disk_bytes=None,
        peak_bytes=None, training_seconds=None, answering_seconds=None, measured_on="",
    )  # fmt: skip


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
