"""Datasets: upload a file of rows, look at it, take it away."""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import ConfigDict, JsonValue
from sqlmodel import Session

from app.api.errors import documented
from app.api.once import RequestKey, find_first, keep_late, key_of_upload
from app.api.paging import Cursor, Page, WantsLines, as_lines, cursor_at, mark_in
from app.api.types import LARGEST_ID, MOST_LISTED, Id, Limit, Reply
from app.domain import db
from app.domain.datasets import store
from app.domain.datasets.kinds import Container, RowForm
from app.domain.datasets.uses import used_by
from app.domain.downloads import DownloadFile
from app.domain.models import Dataset
from app.domain.paging import Mark
from app.web.dataset_uploads import keep_upload, received
from app.web.deps import ReadSession, WriteSession
from app.web.downloads import send_file

router = APIRouter(prefix="/datasets", tags=["datasets"])

EXAMPLE: dict[str, JsonValue] = {
    "id": 3,
    "name": "support answers",
    "sha256": "8c7f0a0c2d7d9b8f1a1f2f60f5f2c3f4d5e6f708192a3b4c5d6e7f8091a2b3c4",
    "rows": 12_000,
    "left_out": 0,
    "size_bytes": 2_400_000,
    "form": "alpaca",
    "container": "jsonl",
    "source_name": "support.jsonl",
    "created_at": "2026-11-26T09:00:00Z",
}
BINARY = {"schema": {"type": "string", "format": "binary"}}
UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "description": "The file itself, or a form with it. What it is, is recognised by what it holds.",
        "content": {
            "application/octet-stream": BINARY,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}, "name": {"type": "string"}},
                }
            },
        },
    }
}


class DatasetReply(Reply):
    """One version of a saved set of rows."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    id: int
    name: str
    sha256: str
    """Of the stored rows: a recipe names it, and so pins the version."""
    rows: int
    left_out: int
    """Rows of the upload that it marked as having no answer, and that are not stored."""
    size_bytes: int
    """Of the stored rows."""
    form: RowForm
    """The shape of the rows as they came."""
    container: Container
    """What they came in."""
    source_name: str
    """The name of the file as it was uploaded."""
    created_at: datetime


class DatasetDetail(DatasetReply):
    """A version with the others of its name."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE | {"versions": [EXAMPLE], "used_by": 2}})

    versions: list[DatasetReply]
    """All of this name, the newest first."""
    used_by: int
    """Runs whose recipe names these rows; while there is one, they stay."""


class DatasetList(Page):
    """One page of sets, each at its newest version."""

    datasets: list[DatasetReply]
    total: int
    """How many there are in all that fit."""


class TurnReply(Reply):
    """One turn of a conversation."""

    system: str
    input: str
    output: str
    output_with_loss: bool
    """Whether the answer is learnt."""


class DatasetRowReply(Reply):
    """One row, in xtuner's native form."""

    conversation: list[TurnReply]


class RowList(Page):
    """Some rows of a version, in their order."""

    dataset_id: int
    rows: list[DatasetRowReply]
    first_row: int
    """The number of the first of them, counted from 1 as findings count."""
    total: int


@router.post(
    "",
    status_code=201,
    summary="Upload a dataset",
    response_model=DatasetReply,
    responses=documented(409, 413, 415, 503)
    | {200: {"model": DatasetReply, "description": "This version is there already."}},
    openapi_extra=UPLOAD_BODY,
)
async def upload_dataset(
    request: Request,
    session: WriteSession,
    response: Response,
    *,
    name: Annotated[str, Query(max_length=1_000, description="Of the set; the file's own without it.")] = "",
    filename: Annotated[
        str, Query(max_length=1_000, description="Of the file, where the body is the file itself.")
    ] = "",
    idempotency_key: RequestKey = None,
) -> DatasetReply | Response:
    """
    Store a file of rows as the newest version of a name: 201, or 200 where this version is there already.

    JSON, JSON Lines, CSV or Parquet; OpenAI messages, Alpaca, ShareGPT, xtuner's own form or plain
    pairs. The body is streamed; a file that cannot be used is refused with the line or the row.
    """
    if name:
        store.checked_name(name)  # before gigabytes come for nothing
    async with received(request) as upload:
        sha256 = await run_in_threadpool(hash_of, upload.path) if idempotency_key else ""
        asked = key_of_upload(request, idempotency_key, sha256)
        if first := await run_in_threadpool(find_first, asked):
            return first
        kept = await keep_upload(session, upload, name=name, file_name=filename)
    response.status_code = 201 if kept.is_new else 200
    response.headers["Location"] = f"/api/v1/datasets/{kept.dataset.id}"
    return await run_in_threadpool(keep_late, session, asked, DatasetReply.model_validate(kept.dataset), response)


@router.get("", summary="List datasets", response_model=DatasetList, responses=documented(lines=DatasetReply))
def list_datasets(
    session: ReadSession,
    *,
    is_lines: WantsLines,
    q: Annotated[str, Query(max_length=200, description="Words in the name.")] = "",
    name: Annotated[str, Query(max_length=200, description="The whole name.")] = "",
    cursor: Cursor = "",
    limit: Limit = 25,
) -> DatasetList | Response:
    """Return one page of sets, each at its newest version, the newest first; as lines, all of them."""
    if is_lines:
        return as_lines(_all_datasets(q, name))
    after = mark_in(cursor, "datasets", q, name)
    page = store.list_datasets(session, query=q, name=name, before_id=after.id if after else None, limit=limit + 1)
    datasets = [DatasetReply.model_validate(dataset) for dataset in page.datasets[:limit]]
    has_more = len(page.datasets) > limit
    more = cursor_at(Mark(None, datasets[-1].id), "datasets", q, name) if has_more else None
    return DatasetList(datasets=datasets, total=page.total, next_cursor=more)


def _all_datasets(query: str, name: str) -> Iterator[DatasetReply]:
    before_id: int | None = None
    while True:
        with db.reading() as session:
            found = store.list_datasets(session, query=query, name=name, before_id=before_id, limit=MOST_LISTED)
            replies = [DatasetReply.model_validate(dataset) for dataset in found.datasets]
        yield from replies
        if len(replies) < MOST_LISTED:
            return
        before_id = replies[-1].id


@router.get("/{dataset_id}", summary="Look at a dataset", responses=documented(404))
def get_dataset(dataset_id: Id, session: ReadSession) -> DatasetDetail:
    """Return a version, the others of its name, and how many runs use it."""
    return _detail(session, store.get_dataset(session, dataset_id))


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _detail(session: Session, dataset: Dataset) -> DatasetDetail:
    own: dict[str, Any] = DatasetReply.model_validate(dataset).model_dump()
    versions = [DatasetReply.model_validate(version) for version in store.versions_of(session, dataset.name)]
    return DatasetDetail(**own, versions=versions, used_by=used_by(session, dataset))


@router.get("/{dataset_id}/rows", summary="Read rows of a dataset", responses=documented(404))
def get_dataset_rows(
    dataset_id: Id,
    session: ReadSession,
    *,
    row: Annotated[int, Query(ge=1, le=LARGEST_ID, description="The first row wanted, counted from 1.")] = 1,
    cursor: Cursor = "",
    limit: Limit = 25,
) -> RowList:
    """Return some rows as they are stored; all of them at once are the download."""
    dataset = store.get_dataset(session, dataset_id)
    after = mark_in(cursor, "rows", dataset_id)
    skipped = after.id if after is not None else row - 1
    rows = [DatasetRowReply.model_validate(each) for each in store.rows_of(dataset, offset=skipped, limit=limit)]
    last = skipped + len(rows)
    more = cursor_at(Mark(None, last), "rows", dataset_id) if rows and last < dataset.rows else None
    return RowList(dataset_id=dataset_id, rows=rows, first_row=skipped + 1, total=dataset.rows, next_cursor=more)


@router.get(
    "/{dataset_id}/download",
    summary="Take a dataset's file",
    response_class=Response,
    responses=documented(404, files=("application/octet-stream",)),
)
def download_dataset(dataset_id: Id, session: ReadSession) -> Response:
    """Send the stored rows as JSON Lines, byte for byte; their hash is the tag, and a part may be asked for."""
    dataset = store.get_dataset(session, dataset_id)
    path = store.whole_file(dataset)
    return send_file(DownloadFile(store.download_name(dataset), path, dataset.size_bytes, dataset.sha256))


@router.delete("/{dataset_id}", status_code=204, summary="Delete a dataset", responses=documented(404, 409))
def delete_dataset(dataset_id: Id, session: WriteSession) -> None:
    """Delete a version; one that a run was made from stays."""
    store.delete_dataset(session, dataset_id)
