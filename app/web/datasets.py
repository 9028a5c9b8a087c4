"""Saved sets of rows: the list with its upload, one version with its rows and what is wrong with them."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response

from app.domain.datasets import store
from app.domain.downloads import DownloadFile
from app.domain.errors import ConflictError
from app.domain.models import Role
from app.domain.runs import id_of
from app.web.dataset_pages import build_dataset_page, build_datasets_page
from app.web.dataset_uploads import UploadForm, receive_dataset
from app.web.deps import LARGEST_ID, Id, ReadSession, WriteSession
from app.web.downloads import send_file
from app.web.render import render

router = APIRouter(include_in_schema=False)

MOST_PAGE = 1_000_000  # beyond it an offset no longer fits what databases count with


@router.get("/datasets", name="datasets.index")
def list_datasets(
    request: Request,
    session: ReadSession,
    q: Annotated[str, Query(max_length=200)] = "",
    page: Annotated[int, Query(ge=1, le=MOST_PAGE)] = 1,
) -> Response:
    """Show a page of the list."""
    view = build_datasets_page(session, words=q.strip(), page=page)
    return render(request, "datasets/index.html", view, partial="datasets/_list.html")


@router.post("/datasets", name="datasets.upload")
async def upload_dataset(request: Request, session: WriteSession) -> Response:
    """Keep a file and go to its page; or show the form again with what is wrong, and keep nothing."""
    kept = await receive_dataset(request, session)
    if not isinstance(kept, UploadForm):
        return RedirectResponse(f"/datasets/{id_of(kept)}", status_code=303)
    form = kept

    def show() -> Response:
        return render(request, "datasets/index.html", build_datasets_page(session, upload=form), form.status)

    return await run_in_threadpool(show)


@router.get("/datasets/{dataset_id}", name="datasets.show")
def show_dataset(
    request: Request,
    dataset_id: Id,
    session: ReadSession,
    row: Annotated[int, Query(ge=1, le=LARGEST_ID)] = 1,
) -> Response:
    """Show one version; for htmx its rows alone."""
    dataset = store.get_dataset(session, dataset_id)
    may_change = request.state.user.may(Role.RUNNER)
    page = build_dataset_page(session, dataset, row=row, may_change=may_change)
    return render(request, "datasets/show.html", page, partial="datasets/_page.html")


@router.get("/datasets/{dataset_id}/download", name="datasets.download")
def download_dataset(dataset_id: Id, session: ReadSession) -> Response:
    """Send the stored rows as JSON Lines."""
    dataset = store.get_dataset(session, dataset_id)
    path = store.whole_file(dataset)
    return send_file(DownloadFile(store.download_name(dataset), path, dataset.size_bytes, dataset.sha256))


@router.post("/datasets/{dataset_id}/delete", name="datasets.delete")
def delete_dataset(request: Request, dataset_id: Id, session: WriteSession) -> Response:
    """Delete a version and go to the list; or say why it stays."""
    dataset = store.get_dataset(session, dataset_id)
    name = dataset.name
    try:
        store.delete_dataset(session, dataset_id)
    except ConflictError as error:
        page = build_dataset_page(session, dataset, row=1, may_change=True, trouble=error.message)
        return render(request, "datasets/show.html", page, error.status_code)
    left = store.newest_version(session, name=name)
    return RedirectResponse(f"/datasets/{id_of(left)}" if left else "/datasets", status_code=303)
