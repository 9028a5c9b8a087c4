"""Another question to checkpoints that are there already: the form, and how far the asking is."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from sqlmodel import Session

from app.domain.answers import MAX_RUNS
from app.domain.askings import add_probe, request_asking
from app.domain.errors import AppError, ConflictError, FieldError, InvalidError
from app.domain.messages import Message, message
from app.domain.models import Run
from app.domain.recipe_checks import field_error
from app.domain.recipes import Probe
from app.domain.runs import get_runs, id_of
from app.web.addresses import read_ids
from app.web.asking_view import AskingPart, build_asking
from app.web.deps import ReadSession, WriteSession
from app.web.render import is_fragment, render

router = APIRouter(include_in_schema=False)

PageName = Literal["run", "compare"]
RunIds = Annotated[str, Form(max_length=1_000)]


@dataclass(frozen=True)
class AskingReply:
    """The form alone."""

    asking: AskingPart


@router.get("/askings", name="askings.show")
def show_form(
    request: Request, session: ReadSession, runs: Annotated[str, Query(max_length=1_000)], page: PageName = "compare"
) -> Response:
    """Answer with the form for some runs."""
    part = build_asking(session, _runs(session, runs), page=page)
    return render(request, "runs/_asking.html", AskingReply(part))


@router.get("/askings/state", name="askings.state")
def show_state(
    request: Request, session: ReadSession, runs: Annotated[str, Query(max_length=1_000)], page: PageName = "run"
) -> Response:
    """Answer with how far an asking is that was under way; once it is over, the comparison is loaded anew."""
    part = build_asking(session, _runs(session, runs), page=page, was_live=True)
    reply = render(request, "runs/_asking_state.html", AskingReply(part))
    if part.has_ended and page == "compare":
        reply.headers["HX-Refresh"] = "true"  # its own address says what is shown, which this part does not know
    return reply


@router.post("/askings", name="askings.ask")
def ask(  # noqa: PLR0913 - one argument for each field of the form
    request: Request,
    session: WriteSession,
    runs: RunIds,
    *,
    page: Annotated[PageName, Form()] = "run",
    question: Annotated[str, Form()] = "",
    group: Annotated[str, Form()] = "general",
    reference: Annotated[str, Form()] = "",
) -> Response:
    """Add a probe to each of some runs, and have their checkpoints asked; 422 where none of them takes it."""
    chosen = _runs(session, runs)
    typed = {"question": question, "group": group, "reference": reference}
    try:
        probe = Probe.model_validate(typed)
    except ValidationError as error:
        errors = {found.field: found.message for found in map(field_error, error.errors())}
        part = build_asking(session, chosen, page=page, typed=typed, errors=errors)
        return _refused(request, part, InvalidError([field_error(each) for each in error.errors()]))
    refusals = {id_of(run): refusal for run in _to_lock(chosen) if (refusal := _refusal(session, run, probe))}
    if len(refusals) == len(chosen):
        errors = {"question": next(iter(refusals.values()))}
        return _refused(request, build_asking(session, chosen, page=page, typed=typed, errors=errors), None)
    return _done(request, build_asking(session, chosen, page=page, refusals=refusals))


@router.post("/askings/again", name="askings.again")
def ask_again(
    request: Request, session: WriteSession, runs: RunIds, *, page: Annotated[PageName, Form()] = "run"
) -> Response:
    """Have the checkpoints of some runs asked what they have no answer to."""
    chosen = _runs(session, runs)
    refusals: dict[int, Message] = {}
    for run in _to_lock(chosen):
        try:
            request_asking(session, id_of(run))
        except ConflictError as error:
            refusals[id_of(run)] = error.message
    return _done(request, build_asking(session, chosen, page=page, refusals=refusals if len(chosen) == 1 else {}))


def _runs(session: Session, ids: str) -> list[Run]:
    runs = get_runs(session, read_ids("runs", [ids])[:MAX_RUNS])
    if not runs:
        raise InvalidError([FieldError("runs", message("Give ids of {name}, such as 1,2,3.", name="runs"))])
    return runs


def _to_lock(runs: Sequence[Run]) -> list[Run]:
    """Return runs in the order in which everybody locks them: two forms at once then wait, and not for each other."""
    return sorted(runs, key=id_of)


def _refusal(session: Session, run: Run, probe: Probe) -> Message | None:
    """Add a probe to a run, or say why that cannot be; nothing is written then."""
    try:
        add_probe(session, id_of(run), probe)
    except InvalidError as error:
        return error.fields[0].message
    except ConflictError as error:
        return error.message
    return None


def _refused(request: Request, part: AskingPart, error: AppError | None) -> Response:
    """Show the form again with what is wrong in it; without htmx, the page of an error."""
    if not is_fragment(request):
        raise error or ConflictError(next(iter(part.errors.values())))
    return render(request, "runs/_asking.html", AskingReply(part), HTTPStatus.UNPROCESSABLE_ENTITY)


def _done(request: Request, part: AskingPart) -> Response:
    if not is_fragment(request):
        address = f"/compare?runs={part.ids}" if part.page == "compare" else f"/runs/{part.ids}"
        return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)
    return render(request, "runs/_asking.html", AskingReply(part))
