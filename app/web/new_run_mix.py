"""The mix of the form: its buttons, the search among saved sets, and its rows as the model reads them."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.web.deps import ReadSession
from app.web.form_page import SET_TITLES, build_view
from app.web.forms import SentForm, check_form, recipe_data_from_form, without_unwritten
from app.web.mix_changes import change_mix
from app.web.mix_files import FoundSets, find_sets
from app.web.new_run import PreviewPart, build_page, find_configs, origin_of
from app.web.render import is_fragment, render

router = APIRouter(include_in_schema=False)


@router.post("/runs/new/mix", name="new_run.mix")
def change_form(request: Request, session: ReadSession, form: SentForm) -> Response:
    """Change the mix as a button says, and show it with all that follows; whatever was typed stays."""
    data = change_mix(session, recipe_data_from_form(form), str(form.get("change", "")))
    checked = check_form(session, data)
    origin = origin_of(session, form.get("origin"), form.get("cloned_from"), checked)
    view = build_view(session, checked, origin=origin, problems=without_unwritten(checked))
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
