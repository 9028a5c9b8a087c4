"""
Where one page of a list ended, and what comes after it.

A page begins behind a row, and not at a number: rows that are added or go meanwhile shift nothing,
and the last page comes as fast as the first.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_

Value = str | int | float | datetime | None


@dataclass(frozen=True, slots=True)
class Mark:
    """The last row of a page: its value in the order of the list, and its id."""

    value: Value
    id: int


def is_behind(
    mark: Mark, *, key: ColumnElement[Any], row_id: ColumnElement[Any], falls: bool, ids_fall: bool
) -> ColumnElement[bool]:
    """
    Whether a row comes after a mark.

    Args:
        key: what the list is ordered by; rows without a value come last, whichever way it goes.
        ids_fall: among rows of one value the higher id comes first.
    """
    behind = row_id < mark.id if ids_fall else row_id > mark.id
    if mark.value is None:
        return and_(key.is_(None), behind)
    beyond = key < mark.value if falls else key > mark.value
    return or_(beyond, key.is_(None), and_(key == mark.value, behind))
