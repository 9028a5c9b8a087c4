"""The form that starts runs: empty, from a preset, from a run, or from one of xtuner's own configs."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlmodel import Session
from starlette.datastructures import FormData

from app.config import settings
from app.domain import db, xtuner_configs
from app.domain.errors import AppError, FieldError, InvalidError, NotFoundError, UnavailableError
from app.domain.messages import Message
from app.domain.mixes import general_pairs
from app.domain.presets import PRESETS, Preset
from app.domain.recipes import GeneralSet, Pair
from app.domain.runs import create_run, get_run, id_of, live_runs, recipe_of
from app.web import i18n
from app.web.addresses import id_in
from app.web.dataset_uploads import UploadForm
from app.web.deps import ReadSession
from app.web.form_page import SET_TITLES, FormView, Origin, build_view, differing_settings
from app.web.form_starts import StartQuery, start_of
from app.web.forms import CheckedForm, SentForm, check_form, recipe_data_from_form, request_key_of, without_unwritten
from app.web.proposals import ShownProposal
from app.web.recipe_settings import Setting, setting_or_none
from app.web.render import render
from app.web.workers import live_workers

router = APIRouter(include_in_schema=False)

_PATH = re.compile(r"[a-z_]+(\.[a-z0-9_]+)*")


@dataclass(frozen=True)
class FoundConfigs:
    """What a search among xtuner's configs found."""

    query: str
    names: Sequence[str]
    total: int
    trouble: Message | None = None


@dataclass(frozen=True)
class NewRunPage:
    """The whole page."""

    view: FormView
    presets: Sequence[Preset]
    found: FoundConfigs
    notes: Sequence[Message]
    """What the form has no field for, of a config it was filled from."""
    sets: Mapping[GeneralSet, Sequence[Pair]]
    set_titles: Mapping[GeneralSet, str]
    has_worker: bool
    live_runs: Sequence[tuple[int | None, str]]
    """What this one may wait for."""
    after: int | None
    request_key: str
    """Names this sending of the form: pressed twice, it starts one run."""
    proposal: ShownProposal | None
    """What was proposed after a run, and the form is filled with."""
    upload: UploadForm
    largest_bytes: int
    """Of an upload."""
    is_typed: bool
    """Somebody has filled the form in: what it holds is in no address."""
    file_problems: Sequence[FieldError] = ()
    """Why no recipe could be read from a file that was sent."""


@dataclass(frozen=True)
class PreviewPart:
    """What changes on the page while the form is filled in."""

    view: FormView
    set_titles: Mapping[GeneralSet, str]
    solved: Sequence[tuple[str, Setting | None]]
    """Paths whose error stood on the page and stands there no more, with what helps there."""


# ── Opening the form ───────────────────────────────────────────────────────


@router.get("/runs/new", name="new_run.show")
def show_form(
    request: Request,
    session: ReadSession,
    query: Annotated[StartQuery, Depends()],
    q: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Show the form, filled from what the address names; from the first preset when it names nothing."""
    start = start_of(session, query)
    checked = check_form(session, start.data)
    view = build_view(session, checked, origin=start.origin, problems=without_unwritten(checked))
    page = build_page(session, view, find_configs(q), start.notes, proposal=start.proposal)
    return render(request, "runs/new.html", page)


def build_page(
    session: Session,
    view: FormView,
    found: FoundConfigs,
    notes: Sequence[Message] = (),
    *,
    proposal: ShownProposal | None = None,
    sent: FormData | None = None,
) -> NewRunPage:
    """Put the whole page together."""
    return NewRunPage(
        view=view,
        presets=PRESETS,
        found=found,
        notes=notes,
        sets={name: general_pairs(name) for name in GeneralSet},
        set_titles=SET_TITLES,
        has_worker=bool(live_workers()),
        live_runs=live_runs(session),
        after=id_in(sent.get("after")) if sent else None,
        request_key=secrets.token_urlsafe(16),
        proposal=proposal,
        upload=UploadForm(),
        largest_bytes=settings().largest_upload_bytes,
        is_typed=sent is not None,
    )


@router.get("/runs/new/xtuner", name="new_run.find")
def find_form(request: Request, q: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Answer a search among xtuner's own configs."""
    return render(request, "runs/_form_found.html", FoundPart(find_configs(q)))


@dataclass(frozen=True)
class FoundPart:
    """The list of configs found, alone."""

    found: FoundConfigs


def find_configs(query: str) -> FoundConfigs:
    """Search xtuner's configs by name; nothing is found by nothing."""
    if not query.strip():
        return FoundConfigs(query, (), 0)
    try:
        names = xtuner_configs.list_names(query)
    except UnavailableError as error:
        return FoundConfigs(query, (), 0, error.message)
    return FoundConfigs(query, names[: xtuner_configs.MAX_FOUND], len(names))


# ── While it is filled in ──────────────────────────────────────────────────


@router.post("/runs/new/preview", name="new_run.preview")
def preview_form(request: Request, session: ReadSession, form: SentForm) -> Response:
    """Answer with what the form as it stands would do; what is being typed is not touched."""
    view = view_of(session, form)
    shown = {path for path in form.getlist("shown") if isinstance(path, str) and _PATH.fullmatch(path)}
    solved = [(path, setting_or_none(path)) for path in sorted(shown - view.form.problems.keys())]
    return render(request, "runs/_form_preview.html", PreviewPart(view, SET_TITLES, solved))


@router.post("/runs/new", name="new_run.translate")
def translate_form(request: Request, session: ReadSession, form: SentForm) -> Response:
    """Show the form as it stands in another language, and remember that one."""
    chosen = str(form.get("language", ""))
    i18n.speak(chosen)
    reply = show_sent(request, session, form, view_of(session, form))
    i18n.remember(reply, chosen)
    return reply


def view_of(session: Session, form: FormData, *, data: dict[str, Any] | None = None) -> FormView:
    """Return what a sent form shows; with `data` in place of what was sent, where a button changed it."""
    checked = check_form(session, recipe_data_from_form(form) if data is None else data)
    is_sent = bool(form.get("is_sent"))
    return build_view(
        session,
        checked,
        origin=origin_of(session, form.get("origin"), form.get("cloned_from"), checked),
        problems=checked.problems if is_sent else tuple(without_unwritten(checked)),
        is_sent=is_sent,
        diluted_from=str(form.get("diluted_from", "")),
    )


def show_sent(
    request: Request, session: Session, form: FormData, view: FormView, *, status: int = HTTPStatus.OK
) -> Response:
    """Show the whole page again as it was sent: nothing that is no part of the recipe is forgotten either."""
    page = build_page(session, view, find_configs(""), _notes_on(view.origin), sent=form)
    return render(request, "runs/new.html", page, status)


def _notes_on(origin: Origin) -> Sequence[Message]:
    """Say again what the form has no field for, where it was filled from a config that is still there."""
    try:
        return xtuner_configs.read_config(origin.name).notes if origin.kind == "xtuner" else ()
    except AppError:
        return ()


def origin_of(session: Session, kind_and_name: object, cloned_from: object, checked: CheckedForm) -> Origin:
    """Return what a sent form was filled from, and in what it differs by now."""
    kind, _, name = str(kind_and_name or "").partition(":")
    if kind != "clone":
        return Origin(kind if kind in {"preset", "xtuner", "file"} else "", name)
    try:
        run = get_run(session, id_in(cloned_from) or 0)
    except NotFoundError:
        return Origin()
    differing = differing_settings(checked.recipe, recipe_of(run)) if checked.recipe else []
    return Origin("clone", run.name, id_of(run), differing)


# ── Sending it ─────────────────────────────────────────────────────────────


@router.post("/runs", name="new_run.start")
def start_run(request: Request, session: ReadSession, form: SentForm) -> Response:
    """
    Start a run and go to its page; or show the form again with every bad field named, and start nothing.

    Only a run that is created opens a unit of work: showing a form takes long enough to hold up every worker.
    """
    checked = check_form(session, recipe_data_from_form(form))
    origin = origin_of(session, form.get("origin"), form.get("cloned_from"), checked)
    if checked.valid is None:
        return _show_again(request, session, form, checked=checked, origin=origin, problems=checked.problems)
    after = id_in(form.get("after"))
    key = request_key_of(form)
    try:
        with db.unit_of_work() as work:
            run = create_run(work, checked.valid, cloned_from_id=origin.run_id, after_run_id=after, request_key=key)
    except InvalidError as error:  # the model or a set went between the check and this
        return _show_again(request, session, form, checked=checked, origin=origin, problems=error.fields)
    return RedirectResponse(f"/runs/{id_of(run)}", status_code=HTTPStatus.SEE_OTHER)


def _show_again(
    request: Request,
    session: Session,
    form: FormData,
    *,
    checked: CheckedForm,
    origin: Origin,
    problems: Sequence[FieldError],
) -> Response:
    view = build_view(session, checked, origin=origin, problems=problems, is_sent=True)
    return show_sent(request, session, form, view, status=HTTPStatus.UNPROCESSABLE_ENTITY)
