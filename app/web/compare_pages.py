"""
What the comparison page shows: the matrix as cells with their marks, and one answer in full.

Decides nothing about answers: scores, verdicts and advice come from the domain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.answers import Cell, Column, ComparedRun, Matrix, Row
from app.domain.diffs import Piece, diff_for_display
from app.domain.leaks import LEAK_SHARE, Leak
from app.domain.mix_rows import RowCounts
from app.domain.mixes import count_rows
from app.domain.models import Rating, Run
from app.domain.recipes import ProbeGroup
from app.domain.verdicts import IDENTITY_HIT, Verdict
from app.web.compare_cells import CellView, cell_view, is_given, lang_of, leak_words, references_of
from app.web.compare_columns import columns_of, limit_columns
from app.web.compare_query import CompareQuery
from app.web.i18n import comma, ngettext
from app.web.i18n import gettext as _
from app.web.rating_view import RatingView

MOST_COUNTS = 3  # runs whose rows are told one by one beside a question; of more, the fewest and the most


@dataclass(frozen=True, slots=True)
class RowView:
    """One probe with its answers."""

    row: Row
    note: str
    lang: str
    cells: tuple[CellView, ...]


@dataclass(frozen=True, slots=True)
class GroupView:
    """The probes of one group."""

    group: ProbeGroup
    rows: tuple[RowView, ...]


@dataclass(frozen=True, slots=True)
class RunView:
    """A compared run with the size of its mix."""

    run: ComparedRun
    counts: RowCounts
    kept: Column | None


@dataclass(frozen=True)
class ComparePage:
    """The whole comparison."""

    query: CompareQuery
    matrix: Matrix
    runs: tuple[RunView, ...]
    groups: tuple[GroupView, ...]
    row_total: int
    shown: frozenset[int]
    run_ids: tuple[int, ...]
    good: tuple[int, ...]
    """Checkpoints whose verdict is good."""
    column_total: int
    left_out: int
    """Columns that were asked for and are too many to show."""
    is_live: bool
    news: str
    """Changes when there is something new to show."""
    detail: "CellDetail | None"
    ratings: Mapping[int, Rating] = field(default_factory=dict)
    """The reader's own, by answer id."""


@dataclass(frozen=True)
class CellDetail:
    """One answer in full, and how it was made."""

    query: CompareQuery
    row: Row
    column: Column
    cell: Cell
    reference: Column | None
    pieces: tuple[Piece, ...]
    base: Column | None
    base_text: str
    marked: tuple[str, str, str]
    """The answer before, in and after the words that were taught elsewhere."""
    leak_words: str
    identity_threshold: float = IDENTITY_HIT
    leak_threshold: float = LEAK_SHARE
    rating: RatingView | None = None
    """What the reader thinks of it; None where there is no answer to think of."""


@dataclass(frozen=True)
class StartPage:
    """Nothing is chosen yet: the newest runs to choose from."""

    runs: Sequence[Run]


@dataclass(frozen=True)
class RunChoices:
    """Runs that can be added to a comparison."""

    query: CompareQuery
    words: str
    runs: Sequence[Run]


@dataclass(frozen=True)
class ColumnMenu:
    """What can be done with one column."""

    query: CompareQuery
    column: Column
    is_pinned: bool


def compare_page(query: CompareQuery, matrix: Matrix) -> ComparePage:
    """Put a matrix together for the page."""
    asked, matrix = matrix, limit_columns(matrix, query.checkpoints)
    references = references_of(query, matrix)
    rows = [(row, _row_view(matrix, row, references)) for row in matrix.rows]
    shown = [view for row, view in rows if not query.changed or _has_changes(matrix, row)]
    groups = [
        GroupView(group, tuple(view for view in shown if view.row.group is group))
        for group in ProbeGroup
        if any(view.row.group is group for view in shown)
    ]
    every = columns_of(matrix)
    return ComparePage(
        query=query,
        matrix=matrix,
        runs=tuple(_run_view(matrix, run) for run in matrix.runs),
        groups=tuple(groups),
        row_total=len(matrix.rows),
        shown=frozenset(column.checkpoint_id for column in matrix.columns),
        run_ids=tuple(run.id for run in matrix.runs),
        good=tuple(column.checkpoint_id for column in every if column.score.verdict is Verdict.GOOD),
        column_total=len(every),
        left_out=len(asked.columns) - len(matrix.columns),
        is_live=any(not run.state.is_final for run in matrix.runs),
        news=news_of(matrix),
        detail=cell_detail(query, matrix),
    )


def news_of(matrix: Matrix) -> str:
    """Return what changes when a run under way has got further."""
    columns = [column for run in matrix.runs for column in run.checkpoints]
    answered = sum(column.is_answered for column in columns)
    deleted = sum(column.is_deleted for column in columns)
    return f"{len(columns)}.{answered}.{deleted}.{sum(run.state.is_final for run in matrix.runs)}"


def _run_view(matrix: Matrix, run: ComparedRun) -> RunView:
    kept = run.advice.checkpoint_id
    return RunView(run, count_rows(run.recipe.mix), None if kept is None else matrix.column(kept))


def _has_changes(matrix: Matrix, row: Row) -> bool:
    texts = {row.cells[column.checkpoint_id].text for column in matrix.columns if is_given(row, column)}
    return len(texts) > 1


def _row_view(matrix: Matrix, row: Row, references: Sequence[Column | None]) -> RowView:
    cells = tuple(
        cell_view(row, column, reference if reference and is_given(row, reference) else None)
        for column, reference in zip(matrix.columns, references, strict=True)
    )
    return RowView(row, row_note(row), lang_of(row.question), cells)


def row_note(row: Row) -> str:
    """Say what is known of a probe: whether its question was trained on, and what a right answer holds."""
    counts, is_identity = row.taught_rows, row.group is ProbeGroup.IDENTITY
    words = []
    if any(counts.values()) and not all(counts.values()):
        taught = sum(map(bool, counts.values()))
        words.append(_("in the mix of %(n)s of %(all)s runs", n=taught, all=len(counts)))
    elif any(counts.values()):
        words += [_("taught") if is_identity else _("in the mix"), _taught_rows(counts)]
    elif is_identity:
        words.append(_("not in the mix"))
    if row.reference and not is_identity:
        words.append(_("reference: %(words)s", words=row.reference))
    return comma().join(words) or _("not in the mix")


def _taught_rows(counts: Mapping[int, int]) -> str:
    """Say how many rows ask a question: of each run, where that is not the same in all of them."""
    least, most = min(counts.values()), max(counts.values())
    if least == most:
        return ngettext("%(num)s row", "%(num)s rows", most)
    if len(counts) > MOST_COUNTS:
        return _("%(least)s to %(most)s rows", least=least, most=most)
    each = (ngettext("%(num)s row in run %(id)s", "%(num)s rows in run %(id)s", n, id=run) for run, n in counts.items())
    return comma().join(each)


# ── One answer ─────────────────────────────────────────────────────────────


def cell_detail(query: CompareQuery, matrix: Matrix) -> CellDetail | None:
    """Open the answer that the address names; None when it is not of this comparison."""
    if query.cell is None:
        return None
    matrix = limit_columns(matrix, query.checkpoints)
    column = matrix.column(query.cell[0])
    row = next((row for row in matrix.rows if row.probe_id == query.cell[1]), None)
    if column is None or row is None or column not in matrix.columns:
        return None
    cell, base = row.cells[column.checkpoint_id], matrix.base_of(column)
    reference = references_of(query, matrix)[matrix.columns.index(column)]
    if reference is not None and not is_given(row, reference):
        reference = None
    leak = cell.score.leak if cell.score else None
    return CellDetail(
        query=query,
        row=row,
        column=column,
        cell=cell,
        reference=reference,
        pieces=diff_for_display(row.cells[reference.checkpoint_id].text, cell.text) if reference else (),
        base=None if column.is_base else base,
        base_text=row.cells[base.checkpoint_id].text if base else "",
        marked=_marked(cell.text, leak),
        leak_words=leak_words(leak) if leak else "",
    )


def _marked(text: str, leak: Leak | None) -> tuple[str, str, str]:
    if leak is None:
        return text, "", ""
    return text[: leak.start], text[leak.start : leak.end], text[leak.end :]
