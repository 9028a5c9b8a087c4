"""Runs on pages: the list, one run, its config and its log, and Stop."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import FileResponse, RedirectResponse, Response

from app.config import settings
from app.domain.downloads import open_rows
from app.domain.errors import NotFoundError
from app.domain.importing.storing import CONFIG_TEXT
from app.domain.logs import log_file
from app.domain.messages import message
from app.domain.mixes import count_rows, rows_file
from app.domain.models import Run, RunState
from app.domain.runs import get_run, id_of, recipe_of, request_stop, resume_run
from app.domain.waiting import move_in_queue
from app.domain.xtuner_config import render_config
from app.web.addresses import path_on_this_server
from app.web.deps import Id, ReadSession, WriteSession
from app.web.downloads import send_file
from app.web.render import render
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
def list_runs(request: Request, query: Annotated[ListQuery, Depends(list_query)], session: ReadSession) -> Response:
    """Show a page of the list."""
    return render(request, "runs/index.html", build_runs_page(session, query), partial="runs/_found.html")


@router.get("/runs/{run_id}", name="runs.show")
def show_run(request: Request, run_id: Id, session: ReadSession) -> Response:
    """Show one run."""
    return render(request, "runs/show.html", build_run_view(session, run_id), partial="runs/_panel.html")


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
    return FileResponse(path, media_type="text/plain; charset=utf-8", filename=f"run-{run_id}.log")


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
    written = _imported_config(run_id) if run.imported_from else _written_config(run_id)
    return render(request, "runs/config.html", ConfigPage(run, written or _rendered_config(run), bool(written)))


@router.get("/runs/{run_id}/config.py", name="runs.config_file")
def download_config(run_id: Id, session: ReadSession) -> Response:
    """Send the config file that the trainer read."""
    get_run(session, run_id)
    path = settings().run_folder(run_id) / "config.py"
    if not path.is_file():
        raise NotFoundError(message("Run {id} has not started yet: its config is not written.", id=run_id))
    return FileResponse(path, media_type="text/x-python; charset=utf-8", filename=f"run-{run_id}-config.py")


_HEADING = re.compile(r"^#{71}\n#(?P<heading>.{69})#\n#{71}\n", re.MULTILINE)


def _written_config(run_id: int) -> list[tuple[str, str]]:
    try:
        text = (settings().run_folder(run_id) / "config.py").read_text("utf-8")
    except OSError:
        return []
    _, *pieces = _HEADING.split(text)
    return [(heading.strip(), body.strip("\n")) for heading, body in zip(pieces[::2], pieces[1::2], strict=True)]


def _imported_config(run_id: int) -> list[tuple[str, str]]:
    try:
        text = (settings().run_folder(run_id) / CONFIG_TEXT).read_text("utf-8")
    except OSError:
        return []
    return [("config", text)]


def _rendered_config(run: Run) -> list[tuple[str, str]]:
    recipe = recipe_of(run)
    folder = settings().run_folder(id_of(run))
    parts = render_config(
        recipe,
        model_path=run.model.path,
        template=run.model.template,
        run_folder=str(folder),
        data_file=str(rows_file(run.mix_sha256 or "…")),  # hashed once the run starts
        rows=count_rows(recipe.mix).total,
        device="cuda" if settings().device == "cuda" else "cpu",
    )
    return [(heading, body.strip("\n")) for heading, body in parts.parts]
