"""The mix of the form: its buttons, the search among saved sets, and its rows as the model reads them."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.domain.registry import find_model
from app.web.deps import ReadSession
from app.web.dilution_view import dilute_data
from app.web.form_page import SET_TITLES, build_view
from app.web.forms import SentForm, check_form, recipe_data_from_form, without_unwritten
from app.web.mix_changes import change_mix
from app.web.mix_files import FoundSets, find_sets
from app.web.new_run import PreviewPart, build_page, find_configs, origin_of
from app.web.reading import build_reading
from app.web.render import is_fragment, render

router = APIRouter(include_in_schema=False)


@router.post("/runs/new/mix", name="new_run.mix")
def change_form(request: Request, session: ReadSession, form: SentForm) -> Response:
    """Change the mix as a button says, and show it with all that follows; whatever was typed stays."""
    data = change_mix(session, recipe_data_from_form(form), str(form.get("change", "")))
    checked = check_form(session, data)
    origin = origin_of(session, form.get("origin"), form.get("cloned_from"), checked)
    diluted_from = str(form.get("diluted_from", ""))
    view = build_view(session, checked, origin=origin, problems=without_unwritten(checked), diluted_from=diluted_from)
    if not is_fragment(request):
        return render(request, "runs/new.html", build_page(session, view, find_configs("")))
    return render(request, "runs/_form_mix_reply.html", PreviewPart(view, SET_TITLES, ()))


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
    checked = check_form(session, data)
    origin = origin_of(session, form.get("origin"), form.get("cloned_from"), checked)
    diluted_from = str(form.get("diluted_from", ""))
    view = build_view(session, checked, origin=origin, problems=without_unwritten(checked), diluted_from=diluted_from)
    if not is_fragment(request):
        return render(request, "runs/new.html", build_page(session, view, find_configs("")))
    return render(request, "runs/_form_dilution_reply.html", PreviewPart(view, SET_TITLES, ()))
