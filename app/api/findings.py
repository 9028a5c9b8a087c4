"""What is wrong with a dataset's rows, and a version in which it is put right."""

from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.datasets import DatasetReply
from app.api.errors import documented
from app.api.once import once_late
from app.api.types import LARGEST_ID, Id, Reply
from app.domain import db
from app.domain.datasets import store
from app.domain.findings import kinds, stored, versions
from app.domain.findings.choices import Choice
from app.domain.findings.kinds import FindingKind, Findings, RepairAction
from app.domain.models import Dataset, Role
from app.web.deps import WriteSession

router = APIRouter(prefix="/datasets", tags=["datasets"])

COME_BACK_SECONDS = 2
MOST_ROWS = 100_000  # that one request names; whoever means more chooses by kind
Rows = Annotated[list[Annotated[int, Field(ge=1, le=LARGEST_ID)]], Field(max_length=MOST_ROWS)]


class RepairReply(Reply):
    """What would put a row right; nothing is changed before it is asked for."""

    action: RepairAction
    sentence: str
    text: str | None
    """The beginning of what would stand there instead; null where the row would go."""


class FindingReply(Reply):
    """One thing that is wrong with one row. Rows and turns are counted from 1."""

    kind: FindingKind
    row: int
    turn: int | None
    """Null where the whole row is meant."""
    field: kinds.Field | None
    text: str
    """The beginning of the text that is meant."""
    other_row: int | None
    """The earlier row that this one is held against."""
    other_text: str
    sentence: str
    repair: RepairReply | None


class FindingsReply(Reply):
    """What was found in a version."""

    dataset_id: int
    is_ready: bool
    """False while the rows are still searched; the rest is empty then."""
    rows: int
    total: int
    counts: dict[FindingKind, int]
    """Over all rows; kinds that were not found are left out."""
    findings: list[FindingReply]
    """The first of each kind, in order of row; 200 of a kind are kept."""


class RepairBody(BaseModel):
    """Which repairs to make."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    kinds: list[FindingKind] = []
    """All proposals of these kinds are taken."""
    rows: Rows | None = None
    """Only in these rows, counted from 1; null takes all rows."""
    drop: Rows = []
    """Rows that go, whatever was found in them."""


def _dataset(dataset_id: Id) -> Dataset:
    """Return a version and let go of the database: what follows takes seconds."""
    with db.reading() as session:
        return store.get_dataset(session, dataset_id)


StoredDataset = Annotated[Dataset, Depends(_dataset)]


@router.get(
    "/{dataset_id}/findings",  # noqa: FAST003 - `_dataset` takes the id
    summary="Find what is wrong with a dataset",
    responses=documented(403, 404, 413, 503)
    | {202: {"model": FindingsReply, "description": "Still searching: ask again."}},
)
def get_findings(
    request: Request,
    dataset: StoredDataset,
    response: Response,
    *,
    kind: Annotated[FindingKind | None, Query(description="Examples of this kind only.")] = None,
    limit: Annotated[int, Query(ge=0, le=kinds.MOST_EXAMPLES, description="Examples of each kind.")] = 25,
) -> FindingsReply:
    """
    Return conflicts, duplicates, empty texts and damage, each with its row and a proposed repair.

    The first request for a version begins to search it, which takes seconds for a million rows, and
    takes a runner. A search of more than a second is answered with 202 and `Retry-After`; once it has
    ended, the result is there at once.
    """
    begins = request.state.user.may(Role.RUNNER)
    found = stored.look_up(store.whole_file(dataset), source=dataset.name, begins=begins)
    if found is None:
        response.status_code = 202
        response.headers["Retry-After"] = str(COME_BACK_SECONDS)
    return _reply(dataset, found, list(FindingKind) if kind is None else [kind], limit)


def _reply(dataset: Dataset, found: Findings | None, wanted: list[FindingKind], limit: int) -> FindingsReply:
    shown = found or Findings()
    return FindingsReply(
        dataset_id=dataset.id or 0,
        is_ready=found is not None,
        rows=shown.rows,
        total=shown.total,
        counts=dict(shown.counts),
        findings=[_finding_reply(each) for kind in wanted for each in islice(shown.of(kind), limit)],
    )


def _finding_reply(finding: kinds.Finding) -> FindingReply:
    repair = finding.repair
    return FindingReply(
        kind=finding.kind,
        row=finding.row,
        turn=finding.turn,
        field=finding.field,
        text=finding.text,
        other_row=finding.other_row,
        other_text=finding.other_text,
        sentence=str(finding.sentence),
        repair=repair and RepairReply(action=repair.action, sentence=str(repair.sentence), text=repair.text),
    )


@router.post(
    "/{dataset_id}/repair",  # noqa: FAST003 - `_dataset` takes the id
    status_code=201,
    summary="Repair a dataset",
    responses=documented(404, 413, 422, 503)
    | {200: {"model": DatasetReply, "description": "This version is there already."}},
)
@once_late
def repair_dataset(dataset: StoredDataset, body: RepairBody, session: WriteSession, response: Response) -> DatasetReply:
    """
    Store the rows with the chosen repairs as the newest version of the set: 201, or 200 where it is there already.

    The version that was asked for stays as it is, and so does every run that was made from it.
    """
    rows = None if body.rows is None else frozenset(body.rows)
    kept = versions.repair_dataset(session, dataset, Choice(body.kinds, rows=rows, drop=frozenset(body.drop)))
    response.status_code = 201 if kept.is_new else 200
    response.headers["Location"] = f"/api/v1/datasets/{kept.dataset.id}"
    return DatasetReply.model_validate(kept.dataset)
