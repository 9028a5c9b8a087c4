"""The mix of the form: its buttons, the search among saved sets, and its rows as the model reads them."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlmodel import Session
from starlette.datastructures import FormData

from app.domain.registry import find_model
from app.web.deps import ReadSession
from app.web.dilution_view import dilute_data
from app.web.form_page import SET_TITLES, FormView
from app.web.forms import SentForm, check_form, recipe_data_from_form
from app.web.mix_changes import change_mix, loses_own
from app.web.mix_files import FoundSets, find_sets
from app.web.new_run import PreviewPart, show_sent, view_of
from app.web.reading import build_reading
from app.web.render import is_fragment, render

router = APIRouter(include_in_schema=False)


@router.post("/runs/new/mix", name="new_run.mix")
def change_form(request: Request, session: ReadSession, form: SentForm) -> Response:
    """
    Change the mix as a button says, and show it with all that follows.

    Whatever was typed stays, but for what the button takes out. One that replaces what somebody
    made of the mix asks first, and does it when it is pressed again in the question.
    """
    data, change = recipe_data_from_form(form), str(form.get("change", ""))
    if loses_own(data, change):
        view = replace(view_of(session, form), asks=change)
    else:
        view = view_of(session, form, data=change_mix(session, data, change))
    return _show(request, session, form, view=view, part="runs/_form_mix_reply.html")


def _show(request: Request, session: Session, form: FormData, *, view: FormView, part: str) -> Response:
    if not is_fragment(request):
        return show_sent(request, session, form, view)
    return render(request, part, PreviewPart(view, SET_TITLES, ()))


@dataclass(frozen=True)
class FoundSetsPart:
    """The list of sets found, alone."""

    found_sets: FoundSets


@router.get("/runs/new/sets", name="new_run.sets")
def find_saved_sets(request: Request, session: ReadSession, q: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Answer a search among the saved sets."""
    return render(request, "runs/_form_found_sets.html", FoundSetsPart(find_sets(session, q.strip())))


@router.post("/runs/new/reading", name="new_run.reading")
def read_rows_of_form(request: Request, session: ReadSession, form: SentForm) -> Response:
    """Show rows of the form's mix as the model reads them."""
    checked = check_form(session, recipe_data_from_form(form))
    model = find_model(session, checked.recipe.model) if checked.recipe else None
    part = build_reading(checked.recipe, model, str(form.get("read", "")))
    return render(request, "runs/reading.html", part, partial="runs/_form_reading.html")


@router.post("/runs/new/dilution", name="new_run.dilution")
def dilute_form(request: Request, session: ReadSession, form: SentForm) -> Response:
    """Set n and m so that the identity has the wanted share of what is learnt, and show what follows."""
    data = dilute_data(session, recipe_data_from_form(form), str(form.get("identity_loss_share", "")))
    view = view_of(session, form, data=data)
    return _show(request, session, form, view=view, part="runs/_form_dilution_reply.html")
