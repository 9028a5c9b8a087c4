"""One answer in full: what it is, what it was before and after, what it scores and how it was made."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.diffs import Piece, diff_for_display
from app.domain.distances import agreement
from app.domain.evolution import Stretch, evolve, neighbours
from app.domain.leaks import Leak
from app.domain.matrix import Cell, Column, ComparedRun, Matrix, Row
from app.domain.thresholds import Thresholds
from app.web.compare_cells import CellView, cell_view, is_given, leak_words, references_of
from app.web.compare_columns import limit_columns
from app.web.compare_query import CompareQuery
from app.web.i18n import gettext as _
from app.web.rating_view import RatingView


@dataclass(frozen=True, slots=True)
class StretchView:
    """Neighbouring checkpoints with one answer, as a line of the evolution."""

    stretch: Stretch
    label: str
    """Their iterations."""
    cell: CellView
    shown: Column | None
    """The first of them that has a column on the page; None where all are hidden."""
    is_open: bool
    """The answer that is read is one of them."""


@dataclass(frozen=True)
class CellDetail:
    """One answer in full, and how it was made."""

    query: CompareQuery
    run: ComparedRun
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
    before: Column | None
    """The checkpoint of the same run to read on from, backwards."""
    after: Column | None
    evolution: tuple[StretchView, ...]
    agreement: float | None
    """With the probe's reference."""
    thresholds: Thresholds
    rating: RatingView | None = None
    """What the reader thinks of it; None where there is no answer to think of."""

    @property
    def distinct(self) -> int:
        """How many different answers the run gave."""
        return len({view.stretch.cell.text for view in self.evolution})

    @property
    def answered(self) -> int:
        """How many checkpoints have answered, the base model too."""
        return sum(len(view.stretch.columns) for view in self.evolution)


@dataclass(frozen=True)
class CellPart:
    """The drawer, alone."""

    detail: CellDetail


def cell_detail(query: CompareQuery, matrix: Matrix) -> CellDetail | None:
    """Open the answer that the address names; None when it is not of this comparison."""
    if query.cell is None:
        return None
    matrix = limit_columns(matrix, query.checkpoints)
    place = {column.checkpoint_id: place for place, column in enumerate(matrix.columns)}.get(query.cell[0])
    row = next((row for row in matrix.rows if row.probe_id == query.cell[1]), None)
    if place is None or row is None:
        return None
    column, reference = matrix.columns[place], references_of(query, matrix)[place]
    if reference is not None and not is_given(row, reference):
        reference = None
    cell, base = row.cells[column.checkpoint_id], matrix.base_of(column)
    leak = cell.score.leak if cell.score else None
    before, after = neighbours(matrix, column)
    return CellDetail(
        query=query,
        run=matrix.run(column.run_id),
        row=row,
        column=column,
        cell=cell,
        reference=reference,
        pieces=diff_for_display(row.cells[reference.checkpoint_id].text, cell.text) if reference else (),
        base=None if column.is_base else base,
        base_text=row.cells[base.checkpoint_id].text if base else "",
        marked=_marked(cell.text, leak),
        leak_words=leak_words(leak) if leak else "",
        before=before,
        after=after,
        evolution=_evolution(matrix, row, column),
        agreement=agreement(cell.text, row.reference),
        thresholds=matrix.thresholds,
    )


def _evolution(matrix: Matrix, row: Row, opened: Column) -> tuple[StretchView, ...]:
    shown = {column.checkpoint_id for column in matrix.columns}
    stretches = evolve(matrix, row, opened.run_id)
    last: Column | None = None
    views = []
    for stretch in stretches:
        ids = [column.checkpoint_id for column in stretch.columns]
        views.append(
            StretchView(
                stretch=stretch,
                label=_iterations(stretch.columns),
                cell=cell_view(row, stretch.first, last),
                shown=next((column for column in stretch.columns if column.checkpoint_id in shown), None),
                is_open=opened.checkpoint_id in ids,
            )
        )
        last = stretch.last
    return tuple(views)


def _iterations(columns: Sequence[Column]) -> str:
    first, last = columns[0], columns[-1]
    begin = _("base") if first.is_base else str(first.iteration)
    return begin if first is last else f"{begin}–{last.iteration}"


def _marked(text: str, leak: Leak | None) -> tuple[str, str, str]:
    if leak is None:
        return text, "", ""
    return text[: leak.start], text[leak.start : leak.end], text[leak.end :]
