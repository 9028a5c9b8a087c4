"""
Which columns of a comparison the page shows, when there are more than can be read.

Only the page leaves any out: the API and the files that are taken along hold every column.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from app.domain.matrix import Column, Matrix

MAX_COLUMNS = 120  # more cannot be read side by side, and the page would pass 2 MB


def columns_of(matrix: Matrix) -> list[Column]:
    """Return every column that can be shown: a base model that another run's column stands for is none."""
    bases = {run.base_id for run in matrix.runs}
    every = (column for run in matrix.runs for column in run.checkpoints)
    return [column for column in every if not column.is_base or column.checkpoint_id in bases]


def limit_columns(matrix: Matrix, chosen: Collection[int] = ()) -> Matrix:
    """
    Return a matrix with at most `MAX_COLUMNS` columns shown, thinned evenly.

    Args:
        chosen: checkpoints that were asked for by name; they stay as long as they fit.
    """
    columns = matrix.columns
    if len(columns) <= MAX_COLUMNS:
        return matrix
    kept = set(_landmarks(matrix))
    named = kept | {column.checkpoint_id for column in columns if column.checkpoint_id in chosen}
    if len(named) <= MAX_COLUMNS:
        kept = named
    others = [column.checkpoint_id for column in columns if column.checkpoint_id not in kept]
    kept |= set(_spread(others, MAX_COLUMNS - len(kept)))
    return replace(matrix, columns=tuple(column for column in columns if column.checkpoint_id in kept))


def _landmarks(matrix: Matrix) -> Iterator[int]:
    """Yield what a run cannot be read without: its base model, what to keep, the first leak and the end."""
    last_of = {column.run_id: column.checkpoint_id for column in matrix.columns}
    for column in matrix.columns:
        is_last = last_of[column.run_id] == column.checkpoint_id
        if column.is_base or column.is_kept or column.is_first_leak or is_last:
            yield column.checkpoint_id


def _spread(ids: Sequence[int], count: int) -> list[int]:
    return [ids[place * len(ids) // count] for place in range(count)]
