"""The probes of the form: a near miss that is proposed becomes one of them."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.domain.recipes import MAX_PROBES, ProbeGroup
from app.web.deps import ReadSession
from app.web.form_page import SET_TITLES
from app.web.forms import SentForm, recipe_data_from_form, value_at
from app.web.new_run import PreviewPart, show_sent, view_of
from app.web.render import is_fragment, render

router = APIRouter(include_in_schema=False)


@router.post("/runs/new/probes", name="new_run.probes")
def add_to_form(request: Request, session: ReadSession, form: SentForm) -> Response:
    """Add the near miss whose button was pressed, and show the probes with all that follows; nothing typed is lost."""
    data = with_probe(recipe_data_from_form(form), str(form.get("near_miss", "")).strip())
    view = view_of(session, form, data=data)
    if not is_fragment(request):
        return show_sent(request, session, form, view)
    return render(request, "runs/_form_probes_reply.html", PreviewPart(view, SET_TITLES, ()))


def with_probe(data: dict[str, Any], question: str) -> dict[str, Any]:
    """Return a form's data with a near miss among its probes; the first empty row takes it, else it comes last."""
    found = value_at(data, "probes")
    rows: Sequence[Any] = found if isinstance(found, list | tuple) else ()
    added = {"question": question, "group": ProbeGroup.NEAR_MISS.value, "reference": ""}
    if not question or any(_question(row) == question for row in rows):
        return data
    empty = next((place for place, row in enumerate(rows) if not _question(row)), len(rows))
    if empty >= MAX_PROBES:
        return data
    return {**data, "probes": [*rows[:empty], added, *rows[empty + 1 :]]}


def _question(row: Any) -> str:  # noqa: ANN401 - whatever was sent for a row
    return str(row.get("question", "")).strip() if isinstance(row, dict) else ""
