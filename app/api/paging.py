"""
Lists a page at a time, and lists as lines.

A cursor says behind which row the next page begins. It is made here and only read here: it carries
a hash of itself and of the list it belongs to, so that one that was changed, or that comes with
other filters, is refused. Lines (NDJSON) are the whole list, a row at a time, in flat memory.
"""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request
from fastapi.responses import StreamingResponse

from app.api.types import Reply
from app.domain.errors import FieldError, InvalidError
from app.domain.messages import message
from app.domain.paging import Mark

NDJSON = "application/x-ndjson"
LINES_AT_ONCE = 64  # written together: each piece that is sent costs a change of threads
HASH_DIGITS = 16

Cursor = Annotated[
    str, Query(max_length=4_000, description="`next_cursor` of the page before, with the same filters and order.")
]
Scalar = str | int | float | None
T = TypeVar("T")


class Page(Reply):
    """What every list has that comes in pages."""

    next_cursor: str | None = None
    """Give it as `cursor` to get the next page; null on the last one."""


# ── Cursors ────────────────────────────────────────────────────────────────


def make_cursor(place: Sequence[Scalar], *of: object) -> str:
    """Return the cursor of a place in a list that is named by `of`: its path, filters and order."""
    text = json.dumps(list(place))
    return urlsafe_b64encode(f"{_hash(text, of)}{text}".encode()).decode().rstrip("=")


def read_cursor(cursor: str, *of: object) -> tuple[Scalar, ...] | None:
    """
    Return the place that a cursor names; None without one.

    Raises:
        InvalidError: it was not made here, or for another list.
    """
    if not cursor:
        return None
    try:
        read = urlsafe_b64decode(f"{cursor}{'=' * (-len(cursor) % 4)}".encode("ascii")).decode()
        if read[:HASH_DIGITS] == _hash(read[HASH_DIGITS:], of):
            return tuple(json.loads(read[HASH_DIGITS:]))
    except ValueError:
        pass
    raise _no_cursor()


def _no_cursor() -> InvalidError:
    text = message("Give `next_cursor` of the page before as it came, with the same filters and order.")
    return InvalidError([FieldError("cursor", text)])


def _hash(text: str, of: Sequence[object]) -> str:
    return hashlib.sha256(repr((text, *map(str, of))).encode()).hexdigest()[:HASH_DIGITS]


def mark_in(cursor: str, *of: object, is_time: bool = False) -> Mark | None:
    """Return the row behind which a page of a list in the database begins; None where it begins at the start."""
    place = read_cursor(cursor, *of)
    if place is None:
        return None
    try:
        return Mark(datetime.fromisoformat(str(place[0])) if is_time else place[0], int(place[1] or 0))
    except (ValueError, IndexError):  # somebody took the trouble to make one
        raise _no_cursor() from None


def numbers_in(cursor: str, *of: object, count: int) -> tuple[int, ...] | None:
    """Return the place of a list whose places are so many whole numbers; None where it begins at the start."""
    place = read_cursor(cursor, *of)
    if place is not None and [type(each) for each in place] != [int] * count:
        raise _no_cursor()
    return place  # type: ignore[return-value]


def cursor_at(mark: Mark, *of: object) -> str:
    """Return the cursor of a page that ended at a row."""
    value = mark.value.isoformat() if isinstance(mark.value, datetime) else mark.value
    return make_cursor((value, mark.id), *of)


def cut(
    rows: Iterable[T], *of: object, cursor: str, limit: int, place: Callable[[T], Sequence[Scalar]]
) -> tuple[list[T], str | None]:
    """
    Cut one page out of rows that are there already, in the order of their places; and its `next_cursor`.

    Args:
        place: of a row; no two have the same.
    """
    start = read_cursor(cursor, *of)
    try:
        rest = rows if start is None else [row for row in rows if tuple(place(row)) > start]
    except TypeError:
        raise _no_cursor() from None
    return first_of(rest, *of, limit=limit, place=place)


def first_of(
    rows: Iterable[T], *of: object, limit: int, place: Callable[[T], Sequence[Scalar]]
) -> tuple[list[T], str | None]:
    """Take the first rows of those that are left, and say where the next page begins."""
    page = list(islice(rows, limit + 1))
    return page[:limit], make_cursor(place(page[limit - 1]), *of) if len(page) > limit else None


# ── Lines ──────────────────────────────────────────────────────────────────


def wants_lines(request: Request) -> bool:
    """Whether the caller asks for lines: `Accept: application/x-ndjson`."""
    return NDJSON in request.headers.get("accept", "").lower()


WantsLines = Annotated[bool, Depends(wants_lines)]


def as_lines(rows: Iterable[Reply]) -> StreamingResponse:
    """Answer with one row a line, as they come."""
    return StreamingResponse(_joined(row.model_dump_json() for row in rows), media_type=NDJSON)


def _joined(lines: Iterable[str]) -> Iterator[str]:
    left = iter(lines)
    while some := list(islice(left, LINES_AT_ONCE)):
        yield "\n".join(some) + "\n"
