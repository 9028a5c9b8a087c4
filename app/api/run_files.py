"""What of a run leaves the server as a file: its rows, its card, its config and its log."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response

from app.api.errors import documented
from app.api.types import Id
from app.domain.downloads import open_rows
from app.domain.logs import TAIL_LINES, log_file, tail_of_log
from app.domain.runs import get_run
from app.web.cards import card_file
from app.web.deps import ReadSession
from app.web.downloads import send_file
from app.web.run_configs import rendered_config, written_text

router = APIRouter(prefix="/runs", tags=["runs"])


@router.get(
    "/{run_id}/mix",
    summary="The rows a run is trained on",
    response_class=Response,
    responses=documented(404, 409, files=("application/octet-stream",)),
)
def get_run_mix(run_id: Id, session: ReadSession) -> Response:
    """Send the rows as JSON Lines in xtuner's own form: the very file, for ever; its `ETag` is its SHA-256."""
    return send_file(open_rows(session, run_id))


@router.get(
    "/{run_id}/card",
    summary="The recipe card of a run",
    response_class=Response,
    responses=documented(404, files=("text/html",)),
)
def get_run_card(request: Request, run_id: Id, session: ReadSession) -> Response:
    """Return one HTML file that holds all of a run and starts it again; in Chinese for `Accept-Language: zh`."""
    return card_file(request, session, run_id)


@router.get(
    "/{run_id}/log",
    summary="The trainer's log",
    response_class=PlainTextResponse,
    responses=documented(404),
)
def get_run_log(
    run_id: Id,
    session: ReadSession,
    *,
    lines: Annotated[int, Query(ge=1, le=1_000)] = TAIL_LINES,
    whole: Annotated[bool, Query(description="All of it; 404 before there is one.")] = False,
) -> Response:
    """Return the log's last lines as text, of the live or last attempt; empty before there is one."""
    if whole:
        return FileResponse(log_file(get_run(session, run_id)), media_type="text/plain; charset=utf-8")
    return PlainTextResponse("\n".join(tail_of_log(get_run(session, run_id), lines=lines)))


@router.get(
    "/{run_id}/config",
    summary="The xtuner config of a run",
    response_class=PlainTextResponse,
    responses=documented(404),
)
def get_run_config(run_id: Id, session: ReadSession) -> PlainTextResponse:
    """Return the config that the trainer read, or would read now: Python that is rendered from the recipe."""
    run = get_run(session, run_id)
    return PlainTextResponse(written_text(run_id) or rendered_config(run).text)
