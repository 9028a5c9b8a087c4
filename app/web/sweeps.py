"""Sweeps on pages: the list, one sweep with its heat map, the answers of a cell, how many at once, and Stop."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from app.domain.sweep_plans import MOST_RUNS
from app.domain.sweep_results import results_of
from app.domain.sweeps import change_at_once, get_sweep, stop_sweep
from app.web.addresses import path_on_this_server
from app.web.deps import LARGEST_ID, Id, ReadSession, WriteSession
from app.web.render import render
from app.web.sweep_pages import answers_of, build_list, build_page, news_of
from app.web.sweep_query import AskedSweep

MOST_PAGES = 1_000_000  # beyond it an offset no longer fits what databases count with
router = APIRouter(include_in_schema=False)


@router.get("/sweeps", name="sweeps.index")
def list_sweeps(
    request: Request, session: ReadSession, page: Annotated[int, Query(ge=1, le=MOST_PAGES)] = 1
) -> Response:
    """Show a page of the list."""
    return render(request, "sweeps/index.html", build_list(session, page), partial="sweeps/_list.html")


@router.get("/sweeps/{sweep_id}", name="sweeps.show")  # noqa: FAST003 - the query holds it
def show_sweep(request: Request, session: ReadSession, query: AskedSweep) -> Response:
    """Show one sweep."""
    return render(request, "sweeps/show.html", build_page(session, query), partial="sweeps/_sweep.html")


@router.get("/sweeps/{sweep_id}/news", name="sweeps.news")  # noqa: FAST003 - the query holds it
def show_news(request: Request, session: ReadSession, query: AskedSweep, seen: str = "") -> Response:
    """Answer with the sweep again when a run of it has got further than the reader has seen."""
    if news_of(results_of(session, get_sweep(session, query.sweep_id))) == seen:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return render(request, "sweeps/_sweep.html", build_page(session, query))


@router.get("/sweeps/{sweep_id}/answers", name="sweeps.answers")  # noqa: FAST003 - the query holds it
def show_answers(
    request: Request,
    session: ReadSession,
    query: AskedSweep,
    checkpoint: Annotated[int, Query(ge=1, le=LARGEST_ID)],
) -> Response:
    """Show what one checkpoint of the sweep answers, beside the base model's answers."""
    return render(request, "sweeps/_answers.html", AnswersPart(answers_of(session, query, checkpoint)))


@dataclass(frozen=True)
class AnswersPart:
    """The answers of one checkpoint, alone."""

    open_answers: object


@router.post("/sweeps/{sweep_id}/stop", name="sweeps.stop")
def stop(sweep_id: Id, session: WriteSession) -> Response:
    """Stop what waits and what trains, and show the sweep again."""
    stop_sweep(session, sweep_id)
    return RedirectResponse(f"/sweeps/{sweep_id}", status_code=HTTPStatus.SEE_OTHER)


@router.post("/sweeps/{sweep_id}/at-once", name="sweeps.at_once")
def set_at_once(
    sweep_id: Id,
    session: WriteSession,
    at_once: Annotated[int, Form(ge=1, le=MOST_RUNS)],
    back: Annotated[str, Form()] = "",
) -> Response:
    """Let more or fewer of its runs train at once, and show the page again that asked."""
    change_at_once(session, sweep_id, at_once=at_once)
    where = path_on_this_server(back) if back else f"/sweeps/{sweep_id}"
    return RedirectResponse(where, status_code=HTTPStatus.SEE_OTHER)
