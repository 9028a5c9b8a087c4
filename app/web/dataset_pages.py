"""What the pages of saved sets show: the list, and one version with its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlmodel import Session

from app.config import settings
from app.domain.datasets import store
from app.domain.datasets.kinds import Container, RowForm
from app.domain.datasets.rows import Row
from app.domain.datasets.uses import runs_with, used_by, uses_of
from app.domain.errors import NotFoundError
from app.domain.findings.kinds import Findings
from app.domain.messages import N_, Message
from app.domain.models import Dataset, Run
from app.web.dataset_findings import FindingsPart, FoundKind, known_part
from app.web.dataset_uploads import UploadForm

PAGE_SIZE = 25
ROWS_SHOWN = 10
RUNS_SHOWN = 5
MOST_TEXT = 3_000  # characters of one turn on a page; the file has the rest

FORM_WORDS = {
    RowForm.OPENAI: N_("OpenAI messages"),
    RowForm.ALPACA: N_("Alpaca"),
    RowForm.SHAREGPT: N_("ShareGPT"),
    RowForm.XTUNER: N_("XTuner conversations"),
    RowForm.PAIRS: N_("pairs"),
}
CONTAINER_WORDS = {
    Container.JSON: N_("JSON"),
    Container.JSONL: N_("JSON Lines"),
    Container.CSV: N_("CSV"),
    Container.PARQUET: N_("Parquet"),
    Container.FORM: N_("from the form"),
}


@dataclass(frozen=True)
class DatasetRow:
    """One set of the list, at its newest version."""

    dataset: Dataset
    versions: int
    runs: int
    """Made from the newest version."""


@dataclass(frozen=True)
class DatasetsPage:
    """The list of sets, and the form that adds one."""

    rows: Sequence[DatasetRow]
    total: int
    words: str
    page: int
    upload: UploadForm
    largest_bytes: int
    form_words: Mapping[RowForm, str]
    container_words: Mapping[Container, str]

    @property
    def pages(self) -> int:
        """How many pages the list has."""
        return max(1, -(-self.total // PAGE_SIZE))

    @property
    def first(self) -> int:
        """Number of the first set on this page."""
        return (self.page - 1) * PAGE_SIZE + 1

    @property
    def address(self) -> str:
        """Address of the list, to which a page is added."""
        return f"/datasets?{urlencode({'q': self.words})}&page=" if self.words else "/datasets?page="


def build_datasets_page(
    session: Session, *, words: str = "", page: int = 1, upload: UploadForm | None = None
) -> DatasetsPage:
    """Read a page of the list."""
    found = store.list_datasets(session, query=words, offset=(page - 1) * PAGE_SIZE, limit=PAGE_SIZE)
    versions = store.count_versions(session, (dataset.name for dataset in found.datasets))
    uses = uses_of(session, found.datasets)
    rows = [DatasetRow(each, versions[each.name], uses[each.sha256]) for each in found.datasets]
    return DatasetsPage(
        rows=rows,
        total=found.total,
        words=words,
        page=page,
        upload=upload or UploadForm(),
        largest_bytes=settings().largest_upload_bytes,
        form_words=FORM_WORDS,
        container_words=CONTAINER_WORDS,
    )


@dataclass(frozen=True)
class ShownTurn:
    """One text of a row, as a person reads it."""

    role: str
    """`system`, `question` or `answer`."""
    text: str
    left: int
    """Characters that are not shown."""
    is_learnt: bool


@dataclass(frozen=True)
class ShownRow:
    """One row, as a person reads it."""

    number: int
    turns: Sequence[ShownTurn]


@dataclass(frozen=True)
class RowsPart:
    """Some rows of a version, with the way to the others."""

    dataset: Dataset
    rows: Sequence[ShownRow]
    offset: int
    trouble: Message | None = None
    """Why there are none to show."""
    size: int = ROWS_SHOWN

    @property
    def before(self) -> int:
        """The first row of the page before."""
        return max(0, self.offset - ROWS_SHOWN)

    @property
    def after(self) -> int | None:
        """The first row of the page after; None where there is none."""
        following = self.offset + ROWS_SHOWN
        return following if following < self.dataset.rows else None


def build_rows(dataset: Dataset, *, row: int = 1) -> RowsPart:
    """Read the page of rows that begins with a row, counted from 1."""
    offset = min(max(1, row), max(1, dataset.rows)) - 1
    try:
        found = store.rows_of(dataset, offset=offset, limit=ROWS_SHOWN)
    except NotFoundError as error:
        return RowsPart(dataset, (), offset, error.message)
    return RowsPart(dataset, [shown_row(each, offset + n) for n, each in enumerate(found, 1)], offset)


def shown_row(row: Row, number: int) -> ShownRow:
    """Take a stored row apart into what was said."""
    turns: list[ShownTurn] = []
    for turn in row["conversation"]:
        learnt = bool(turn["output_with_loss"])
        parts = (("system", turn["system"]), ("question", turn["input"]), ("answer", turn["output"]))
        turns += [
            ShownTurn(role, text[:MOST_TEXT], max(0, len(text) - MOST_TEXT), learnt or role != "answer")
            for role, text in parts
            if text or role == "answer"
        ]
    return ShownRow(number, turns)


@dataclass(frozen=True)
class DatasetPage:
    """One version of a set."""

    dataset: Dataset
    versions: Sequence[Dataset]
    runs: Sequence[Run]
    """Made from these rows, the newest first; not all of them where there are many."""
    runs_total: int
    part: RowsPart
    checked: FindingsPart
    not_deleted: Message | None
    """Why it was not deleted."""
    may_change: bool
    form_words: Mapping[RowForm, str]
    container_words: Mapping[Container, str]

    @property
    def findings(self) -> Findings | None:
        """What was found; None where it was not searched yet."""
        return self.checked.findings

    @property
    def found(self) -> Sequence[FoundKind]:
        """What was found, by kind."""
        return self.checked.found

    @property
    def trouble(self) -> Message | None:
        """Why it was not searched."""
        return self.checked.trouble

    @property
    def newest(self) -> Dataset:
        """The newest version of the name."""
        return self.versions[0]


def build_dataset_page(
    session: Session, dataset: Dataset, *, row: int, may_change: bool, trouble: Message | None = None
) -> DatasetPage:
    """Read one version and its surroundings."""
    return DatasetPage(
        dataset=dataset,
        versions=store.versions_of(session, dataset.name),
        runs=runs_with(session, dataset, limit=RUNS_SHOWN),
        runs_total=used_by(session, dataset),
        part=build_rows(dataset, row=row),
        checked=known_part(dataset, may_change=may_change),
        not_deleted=trouble,
        may_change=may_change,
        form_words=FORM_WORDS,
        container_words=CONTAINER_WORDS,
    )
