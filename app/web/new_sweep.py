"""The form that starts sweeps: from a preset, a run, another sweep, or whatever the form of a run holds."""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlmodel import Session
from starlette.datastructures import FormData

from app.domain import db
from app.domain.errors import FieldError, InvalidError
from app.domain.messages import Message
from app.domain.models import Run
from app.domain.presets import PRESETS, Preset
from app.domain.run_lists import list_runs
from app.domain.runs import get_run
from app.domain.sweep_forecasts import SweepForecast, forecast_sweep
from app.domain.sweep_plans import SHORT_NAMES, SweepSetting, Value, count_planned_runs, value_text
from app.domain.sweeps import create_sweep, get_sweep, plan_of, sweep_id_of
from app.web import i18n
from app.web.addresses import id_in
from app.web.deps import LARGEST_ID, ReadSession
from app.web.form_starts import StartQuery, start_of
from app.web.forms import SentForm, check_form, recipe_data_from_form, request_key_of
from app.web.mix_fields import with_table_of_variables
from app.web.render import render
from app.web.sweep_form import (
    AxisField,
    CheckedSweep,
    SweepFields,
    axis_fields,
    check_sweep,
    fields_of_form,
    fields_of_plan,
    fields_of_recipe,
    problem_id,
    problem_name,
    recipe_text,
)
from app.web.workers import device_of_workers, live_workers

NEWEST = 30  # runs to start from
MARK = "is_sweep"  # a field that only this form sends

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Problem:
    """What is wrong with one field, and where on the page that is."""

    id: str
    name: str
    message: Message


@dataclass(frozen=True)
class SweepFormView:
    """All of the form that changes while it is filled in."""

    checked: CheckedSweep
    axes: Sequence[AxisField]
    forecast: SweepForecast | None
    is_sent: bool

    @property
    def fields(self) -> SweepFields:
        """What stands in the form."""
        return self.checked.fields

    @property
    def count(self) -> int:
        """Runs that follow; 0 where they cannot be told."""
        return count_planned_runs(self.checked.plan) if self.checked.plan else 0

    @property
    def problems(self) -> Sequence[Problem]:
        """What needs somebody, in the order of the page; nothing that is only not filled in yet."""
        paths = self.checked.problems
        return [Problem(problem_id(path), problem_name(path), text) for path in paths if (text := self.error(path))]

    def error(self, path: str) -> Message | None:
        """Return what is wrong at a field of the page; that nothing varies yet is no mistake before it is sent."""
        return self.checked.problems.get(path) if self.is_sent or path != "axes" or self.count > 1 else None

    @property
    def recipe_error(self) -> Message | None:
        """The first thing that is wrong with the recipe."""
        return next((text for path, text in self.checked.problems.items() if path.startswith("recipe")), None)


@dataclass(frozen=True)
class NewSweepPage:
    """The whole page."""

    view: SweepFormView
    presets: Sequence[Preset]
    runs: Sequence[Run]
    """Newest ones to start from."""
    preset: str
    """The key of the one that the form was filled from; empty for another start."""
    request_key: str
    is_typed: bool
    short_names: Mapping[SweepSetting, str] = field(default_factory=lambda: SHORT_NAMES)
    value_text: Callable[[SweepSetting, Value], str] = value_text


@dataclass(frozen=True)
class SweepPreview:
    """What changes on the page while the form is filled in."""

    view: SweepFormView
    short_names: Mapping[SweepSetting, str] = field(default_factory=lambda: SHORT_NAMES)
    value_text: Callable[[SweepSetting, Value], str] = value_text


@dataclass(frozen=True)
class SweepStart:
    """What an address asks the form to be filled from."""

    preset: str = ""
    run: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None
    sweep: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None


@router.get("/sweeps/new", name="new_sweep.show")
def show_form(request: Request, session: ReadSession, start: Annotated[SweepStart, Depends()]) -> Response:
    """Show the form, filled from what the address names; from the first preset when it names nothing."""
    fields, preset = _fields_of(session, start)
    return _show(request, session, fields, preset=preset)


def _fields_of(session: Session, start: SweepStart) -> tuple[SweepFields, str]:
    if start.sweep is not None:
        return fields_of_plan(plan_of(get_sweep(session, start.sweep))), ""
    if start.run is not None:
        run = get_run(session, start.run)
        return fields_of_recipe(run.recipe, cloned_from=start.run), ""
    found = start_of(session, StartQuery(preset=start.preset))
    return fields_of_recipe(found.data), found.origin.name


@router.post("/sweeps/new", name="new_sweep.take")
def take_form(request: Request, session: ReadSession, form: SentForm) -> Response:
    """Show the form filled from the form of a run; or, of a sweep's own, as it stands in another language."""
    if form.get(MARK):
        chosen = str(form.get("language", ""))
        i18n.speak(chosen)
        reply = _show(request, session, _sent(form), preset=str(form.get("preset", "")), is_typed=True)
        i18n.remember(reply, chosen)
        return reply
    checked = check_form(session, recipe_data_from_form(form))
    data = with_table_of_variables(checked.data)
    fields = fields_of_recipe(data, cloned_from=_cloned_from(form))
    if checked.valid is not None:
        fields = fields_of_recipe(json.loads(recipe_text(checked.valid)), cloned_from=_cloned_from(form))
    return _show(request, session, fields, is_typed=True)


def _cloned_from(form: FormData) -> int | None:
    return id_in(form.get("cloned_from"))


def _sent(form: FormData) -> SweepFields:
    return fields_of_form(form, _cloned_from(form))


@router.post("/sweeps/new/preview", name="new_sweep.preview")
def preview_form(request: Request, session: ReadSession, form: SentForm) -> Response:
    """Answer with what the form as it stands would do; what is being typed is not touched."""
    view = build_view(session, check_sweep(session, _sent(form)), is_sent=bool(form.get("is_sent")))
    return render(request, "sweeps/_form_preview.html", SweepPreview(view))


def build_view(session: Session, checked: CheckedSweep, *, is_sent: bool = False) -> SweepFormView:
    """Put together what a form shows."""
    forecast = None
    if checked.plan is not None:
        devices = sum(worker.slots for worker in live_workers())
        forecast = forecast_sweep(session, checked.plan, device=device_of_workers(), devices=devices)
    return SweepFormView(checked, axis_fields(checked), forecast, is_sent)


def _show(
    request: Request,
    session: Session,
    fields: SweepFields,
    *,
    preset: str = "",
    is_typed: bool = False,
    problems: Sequence[FieldError] | None = None,
) -> Response:
    checked = check_sweep(session, fields)
    if problems is not None:
        later = {each.field: each.message for each in problems}
        checked = CheckedSweep(fields, checked.recipe, checked.plan, {**later, **checked.problems})
    page = NewSweepPage(
        view=build_view(session, checked, is_sent=problems is not None),
        presets=PRESETS,
        runs=list_runs(session, limit=NEWEST).runs,
        preset=preset,
        request_key=secrets.token_urlsafe(16),
        is_typed=is_typed,
    )
    status = HTTPStatus.OK if problems is None else HTTPStatus.UNPROCESSABLE_ENTITY
    return render(request, "sweeps/new.html", page, status)


@router.post("/sweeps", name="new_sweep.start")
def start_sweep(request: Request, session: ReadSession, form: SentForm) -> Response:
    """Start a sweep and go to its page; or show the form again with every bad field named, and start nothing."""
    fields, preset = _sent(form), str(form.get("preset", ""))
    plan = check_sweep(session, fields).valid
    if plan is None:
        return _show(request, session, fields, preset=preset, is_typed=True, problems=())
    key = request_key_of(form)
    try:
        with db.unit_of_work() as work:
            sweep = create_sweep(work, plan, cloned_from_id=fields.cloned_from, request_key=key)
    except InvalidError as error:  # the model or a set went between the check and this
        return _show(request, session, fields, preset=preset, is_typed=True, problems=error.fields)
    return RedirectResponse(f"/sweeps/{sweep_id_of(sweep)}", status_code=HTTPStatus.SEE_OTHER)
