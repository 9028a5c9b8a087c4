"""What is wrong with the rows of a saved set, on its page, and the version in which it is put right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from app.domain import db
from app.domain.datasets import store
from app.domain.errors import AppError, InvalidError
from app.domain.findings.choices import Choice
from app.domain.findings.kinds import TITLES, Finding, FindingKind, Findings
from app.domain.findings.stored import known_findings, look_up
from app.domain.findings.versions import repair_dataset
from app.domain.messages import Message
from app.domain.models import Dataset, Role
from app.domain.runs import id_of
from app.web.deps import LARGEST_ID, Id, WriteSession
from app.web.render import render

router = APIRouter(include_in_schema=False)

SHOWN = 8  # examples of a kind


@dataclass(frozen=True)
class FoundKind:
    """One kind of mistake: how often it is there, and the first examples."""

    kind: FindingKind
    title: str
    count: int
    examples: Sequence[Finding]

    @property
    def action(self) -> Message | None:
        """What is proposed for it; of the first example, as all of a kind are alike."""
        return next((example.repair.sentence for example in self.examples if example.repair), None)


@dataclass(frozen=True)
class FindingsPart:
    """What is wrong with a version."""

    dataset: Dataset
    findings: Findings | None
    """None while the rows are searched, or where they cannot be."""
    trouble: Message | None
    may_change: bool

    @property
    def found(self) -> Sequence[FoundKind]:
        """The kinds that were found, those that spoil most first."""
        return found_kinds(self.findings) if self.findings else ()


def found_kinds(findings: Findings, *, shown: int = SHOWN) -> Sequence[FoundKind]:
    """Return what was found by kind."""
    return [
        FoundKind(kind, TITLES[kind], findings.counts[kind], findings.of(kind)[:shown])
        for kind in FindingKind
        if findings.counts.get(kind)
    ]


def known_part(dataset: Dataset, *, may_change: bool) -> FindingsPart:
    """Return what is known of a version without searching it."""
    path = store.dataset_file(dataset.sha256)
    return FindingsPart(dataset, known_findings(path, source=dataset.name), None, may_change)


def _dataset(dataset_id: Id) -> Dataset:
    """Return a version and let go of the database: what follows takes seconds."""
    with db.reading() as session:
        return store.get_dataset(session, dataset_id)


StoredDataset = Annotated[Dataset, Depends(_dataset)]


@router.get("/datasets/{dataset_id}/findings", name="datasets.findings")  # noqa: FAST003 - `_dataset` takes the id
def show_findings(request: Request, dataset: StoredDataset) -> Response:
    """Search a version and show what is wrong with it; ask again where that takes long."""
    return _show(request, dataset)


def _show(request: Request, dataset: Dataset, trouble: Message | None = None, status: int = 200) -> Response:
    found, may_change = None, request.state.user.may(Role.RUNNER)
    try:
        found = look_up(store.whole_file(dataset), source=dataset.name, begins=may_change)
    except AppError as error:
        trouble = trouble or error.message
    part = FindingsPart(dataset, found, trouble, may_change)
    return render(request, "datasets/findings.html", part, status, partial="datasets/_findings.html")


@router.post("/datasets/{dataset_id}/repair", name="datasets.repair")  # noqa: FAST003 - `_dataset` takes the id
def repair(
    request: Request,
    dataset: StoredDataset,
    session: WriteSession,
    *,
    kind: Annotated[FindingKind, Form()],
    row: Annotated[int | None, Form(ge=1, le=LARGEST_ID)] = None,
) -> Response:
    """Make a version in which a kind is put right, in all rows or in one, and go there."""
    choice = Choice(kinds=(kind,), rows=None if row is None else (row,))
    try:
        kept = repair_dataset(session, dataset, choice)
    except InvalidError as error:
        return _show(request, dataset, error.fields[0].message, error.status_code)
    return RedirectResponse(f"/datasets/{id_of(kept.dataset)}", status_code=303)
