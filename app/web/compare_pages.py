"""
What the comparison page shows.

Decides nothing about answers: scores, verdicts and advice come from the domain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.alignment import align
from app.domain.matrix import Column, ComparedRun, Matrix
from app.domain.mix_rows import RowCounts
from app.domain.mixes import count_rows
from app.domain.models import Rating, Run
from app.domain.verdicts import Verdict
from app.web.compare_columns import columns_of, limit_columns
from app.web.compare_details import CellDetail, cell_detail
from app.web.compare_lines import Layout, lay_out
from app.web.compare_proofs import ProofView, proofs_of
from app.web.compare_query import CompareQuery


@dataclass(frozen=True, slots=True)
class RunView:
    """A compared run with the size of its mix."""

    run: ComparedRun
    counts: RowCounts
    kept: Column | None
    proofs: tuple[ProofView, ...]
    """The words that prove what to keep, and the first leak."""


@dataclass(frozen=True)
class ComparePage:
    """The whole comparison."""

    query: CompareQuery
    matrix: Matrix
    runs: tuple[RunView, ...]
    layout: Layout
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
    detail: CellDetail | None
    ratings: Mapping[int, Rating] = field(default_factory=dict)
    """The reader's own, by answer id."""


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
    every = columns_of(matrix)
    return ComparePage(
        query=query,
        matrix=matrix,
        runs=tuple(_run_view(matrix, run) for run in matrix.runs),
        layout=lay_out(query, matrix, align(matrix.columns, query.align)),
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
    counts, column = count_rows(run.recipe.mix), None if kept is None else matrix.column(kept)
    return RunView(run, counts, column, proofs_of(matrix, run))
