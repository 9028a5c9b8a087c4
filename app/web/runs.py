"""Runs on pages: the list, one run, its config and its log, and Stop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlmodel import Session

from app.config import settings
from app.domain.beneath import is_plain_beneath
from app.domain.downloads import open_rows
from app.domain.errors import NotFoundError
from app.domain.logs import log_file
from app.domain.messages import message
from app.domain.models import Run, RunState
from app.domain.runs import get_run, request_stop, resume_run
from app.domain.waiting import move_in_queue
from app.web.addresses import path_on_this_server
from app.web.deps import Id, ReadSession, WriteSession
from app.web.downloads import SentFile, send_file
from app.web.kept_pages import kept
from app.web.render import render
from app.web.run_configs import imported_config, plain_parts, rendered_config, written_config
from app.web.run_list import MAX_PAGE, ListQuery, build_runs_page
from app.web.run_page import build_run_view

router = APIRouter(include_in_schema=False)


@router.get("/", name="home")
def show_home() -> Response:
    """Lead to the list of runs."""
    return RedirectResponse("/runs", status_code=307)


@dataclass(frozen=True)
class WorkersPart:
    """The line in the top bar, alone."""


@router.get("/workers", name="workers.line")
def show_workers(request: Request) -> Response:
    """Answer with the workers' line; the top bar asks every few seconds."""
    return render(request, "_workers.html", WorkersPart())


def list_query(q: str = "", state: str = "", sort: str = "-created", page: str = "1") -> ListQuery:
    """Read the list's address; what cannot be read is as if it were not there, as links grow old."""
    return ListQuery(
        words=q.strip()[:200],
        state=RunState(state) if state in set(RunState) else None,
        sort=sort,
        page=min(max(1, int(page)), MAX_PAGE) if page.isdecimal() and len(page) < len(str(MAX_PAGE)) else 1,
    )


@router.get("/runs", name="runs.index")
def list_runs(request: Request, query: Annotated[ListQuery, Depends(list_query)]) -> Response:
    """Show a page of the list."""

    def make(session: Session) -> Response:
        return render(request, "runs/index.html", build_runs_page(session, query), partial="runs/_found.html")

    return kept(request, make)


@router.get("/runs/{run_id}", name="runs.show")
def show_run(request: Request, run_id: Id) -> Response:
    """Show one run."""

    def make(session: Session) -> Response:
        return render(request, "runs/show.html", build_run_view(session, run_id), partial="runs/_panel.html")

    return kept(request, make)


@router.post("/runs/{run_id}/stop", name="runs.stop")
def stop_run(run_id: Id, session: WriteSession, *, keep: Annotated[bool, Form()] = False) -> Response:
    """Stop a run, and show it again."""
    request_stop(session, run_id, keep=keep)
    return RedirectResponse(f"/runs/{run_id}", status_code=303)


@router.post("/runs/{run_id}/resume", name="runs.resume")
def resume(run_id: Id, session: WriteSession) -> Response:
    """Let a run go on from its newest whole checkpoint, and show it again."""
    resume_run(session, run_id)
    return RedirectResponse(f"/runs/{run_id}", status_code=303)


@router.post("/runs/{run_id}/queue", name="runs.queue")
def move_run(
    run_id: Id,
    session: WriteSession,
    place: Annotated[int, Form(ge=1, le=1_000_000)],
    back: Annotated[str, Form()] = "",
) -> Response:
    """Give a waiting run another place, and show the page again that asked: the run's own when none is named."""
    move_in_queue(session, run_id, place=place)
    return RedirectResponse(path_on_this_server(back) if back else f"/runs/{run_id}", status_code=303)


@router.get("/runs/{run_id}/log", name="runs.log")
def show_log(run_id: Id, session: ReadSession) -> Response:
    """Send the whole log of the run's live or last attempt."""
    path = log_file(get_run(session, run_id))
    return SentFile(path, media_type="text/plain; charset=utf-8", filename=f"run-{run_id}.log")


@dataclass(frozen=True)
class ConfigPage:
    """The xtuner config of a run, in its five parts."""

    run: Run
    parts: Sequence[tuple[str, str]]
    is_written: bool
    """It is the file that the trainer read; else it is what a trainer would read now."""


@router.get("/runs/{run_id}/mix", name="runs.mix")
def download_rows(run_id: Id, session: ReadSession) -> Response:
    """Send the rows that the run was trained on, byte for byte."""
    return send_file(open_rows(session, run_id))


@router.get("/runs/{run_id}/config", name="runs.config")
def show_config(request: Request, run_id: Id, session: ReadSession) -> Response:
    """Show the config that the run was trained with, read-only."""
    run = get_run(session, run_id)
    written = imported_config(run_id) if run.imported_from else written_config(run_id)
    return render(
        request, "runs/config.html", ConfigPage(run, written or plain_parts(rendered_config(run)), bool(written))
    )


@router.get("/runs/{run_id}/config.py", name="runs.config_file")
def download_config(run_id: Id, session: ReadSession) -> Response:
    """Send the config file that the trainer read."""
    get_run(session, run_id)
    path = settings().run_folder(run_id) / "config.py"
    if not is_plain_beneath(settings().runs_folder, path):
        raise NotFoundError(message("Run {id} has not started yet: its config is not written.", id=run_id))
    return SentFile(path, media_type="text/x-python; charset=utf-8", filename=f"run-{run_id}-config.py")
