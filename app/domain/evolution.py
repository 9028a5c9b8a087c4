"""
How one answer changed over a run: the same words at neighbouring checkpoints are one stretch.

Read instead of a row of fifty cells: where it changed, to what, and whether it came back to what it
was before.
"""

from dataclasses import dataclass

from app.domain.matrix import Cell, Column, Matrix, Row


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring checkpoints that gave one answer."""

    columns: tuple[Column, ...]
    cell: Cell
    """Of the first of them."""
    before: str | None
    """The answer before it; None of the first stretch."""
    same_as: Column | None
    """The first checkpoint that had said the same before something else was said."""

    @property
    def first(self) -> Column:
        """Where it begins."""
        return self.columns[0]

    @property
    def last(self) -> Column:
        """Where it ends."""
        return self.columns[-1]


def evolve(matrix: Matrix, row: Row, run_id: int) -> tuple[Stretch, ...]:
    """Return a run's answers to one question as stretches, its base model first; what has no answer is left out."""
    run = matrix.run(run_id)
    base = None if run.base_id is None else matrix.column(run.base_id)
    tuned = [column for column in run.checkpoints if not column.is_base]
    stretches: list[Stretch] = []
    first_said: dict[str, Column] = {}
    for column in [*([base] if base else []), *tuned]:
        cell = row.cells[column.checkpoint_id]
        if not cell.is_given:
            continue
        last = stretches[-1] if stretches else None
        if last is not None and last.cell.text == cell.text:
            stretches[-1] = Stretch((*last.columns, column), last.cell, last.before, last.same_as)
            continue
        said_at = first_said.setdefault(cell.text, column)
        same_as = None if said_at is column else said_at
        stretches.append(Stretch((column,), cell, last.cell.text if last else None, same_as))
    return tuple(stretches)


def neighbours(matrix: Matrix, column: Column) -> tuple[Column | None, Column | None]:
    """Return the checkpoints of the same run before and after one, among those that are shown; its base before all."""
    base = column if column.is_base else matrix.base_of(column)
    base_id = base.checkpoint_id if base else None
    ids = [
        each.checkpoint_id
        for each in matrix.columns
        if each.checkpoint_id == base_id or (each.run_id == column.run_id and not each.is_base)
    ]
    if column.checkpoint_id not in ids:
        return None, None
    place = ids.index(column.checkpoint_id)
    around = (ids[place - 1] if place else 0, ids[place + 1] if place + 1 < len(ids) else 0)
    return matrix.column(around[0]), matrix.column(around[1])
