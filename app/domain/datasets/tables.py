"""
Tables: CSV, and Parquet read in slices.

Columns are named as the keys of JSON rows are, in capitals or not. Does not cover tables without
a head: which column is the question cannot be told from the cells.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.datasets.forms import COLUMNS, fitting_shape
from app.domain.datasets.lines import MOST_LINE_BYTES, lines_of
from app.domain.datasets.refusals import RefusedFileError, at_line, shown
from app.domain.messages import Message, message

if TYPE_CHECKING:
    import polars as pl

DELIMITERS = (",", "\t", ";", "|")
SLICE_ROWS = 20_000  # Parquet decodes a page again for each slice that begins in it: fewer take long
LEAST_SLICE_ROWS = 200
NO_OBJECT = "PyObject pointer is null"  # what polars calls it when Python has no memory for a row
SLICE_BYTES = 32 << 20  # of rows as they are stored, compressed; decoded they may be some times as large


def _column(name: str) -> str:
    plain = name.strip().lower()
    return plain if plain in COLUMNS else name


def header_of(line: str) -> tuple[str, list[str]] | None:
    """Return the delimiter and the columns of a table by its first line; None when it is not a table of ours."""
    for delimiter in DELIMITERS:
        try:
            columns = [_column(name) for name in next(csv.reader([line], delimiter=delimiter, strict=True), [])]
        except csv.Error:
            continue
        if fitting_shape(columns) is not None:
            return delimiter, columns
    return None


class _Lines:
    """The lines of a file as the CSV reader takes them; the lines of one row are no more than may be held."""

    def __init__(self, path: Path) -> None:
        self.number, self._lines = 0, lines_of(path)  # the number is that of the line taken last
        self._begins = self._letters = 0

    def __iter__(self) -> Iterator[str]:
        for number, line in self._lines:
            self.number = number
            self._letters += len(line)
            if self._letters > MOST_LINE_BYTES:
                raise at_line(self._begins, _not_closed())
            yield line

    def next_row(self) -> int:
        """Return the line that the next row begins in."""
        self._begins, self._letters = self.number + 1, 0
        return self._begins


def csv_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a CSV file with the lines that they begin in."""
    csv.field_size_limit(MOST_LINE_BYTES)
    lines = _Lines(path)
    texts = iter(lines)
    head = next((line for line in texts if not line.isspace()), "")
    found = header_of(head.rstrip("\r\n"))
    if found is None:  # recognised before, so somebody changed it
        raise at_line(lines.number, message("This is not the head of a table."))
    delimiter, columns = found
    twice = next((name for name in columns if name in COLUMNS and columns.count(name) > 1), None)
    if twice is not None:
        raise at_line(lines.number, message("The column “{name}” stands twice. Keep one of the two.", name=twice))
    reader = csv.reader(texts, delimiter=delimiter, strict=True)
    while (begins := lines.next_row()) and (cells := _next_cells(reader, begins)) is not None:
        if len(cells) == len(columns):
            yield begins, dict(zip(columns, cells, strict=True))
        elif cells:  # a blank line has none
            raise at_line(begins, message("It has {found} values, and the head of the table names {columns}.",
                                          found=len(cells), columns=len(columns)))  # fmt: skip


def _next_cells(reader: Iterator[list[str]], begins: int) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        raise at_line(begins, _csv_problem(error)) from None


def _csv_problem(error: csv.Error) -> Message:
    text = str(error)
    if "field limit" in text or "unexpected end" in text:
        return _not_closed()
    return message("It is not CSV: {problem}. Values that hold quotation marks or line breaks stand in "
                   "quotation marks.", problem=text)  # fmt: skip


def _not_closed() -> Message:
    return message(
        "A quotation mark in the row that begins here is not closed, or it is longer than {most} MiB.",
        most=MOST_LINE_BYTES >> 20,
    )


# ── Parquet ────────────────────────────────────────────────────────────────


def parquet_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a Parquet file with their numbers, holding a slice of them at a time."""
    import polars as pl  # noqa: PLC0415 - takes a fifth of a second, which other files need not wait for

    try:
        table = pl.scan_parquet(path, glob=False)
        names = {name: _column(name) for name in table.collect_schema().names()}
        wanted = [name for name, column in names.items() if column in COLUMNS]
        total = table.select(pl.len()).collect().item()
        table = table.select(wanted or list(names)[:1]).rename({name: names[name] for name in wanted})
        yield from _sliced(table, total, _slice_rows(path, total))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RefusedFileError(_damaged(error)) from None
    except pl.exceptions.PanicException as error:
        if NO_OBJECT in str(error):
            raise MemoryError from None
        raise RefusedFileError(_damaged(error)) from None


def _slice_rows(path: Path, total: int) -> int:
    fitting = SLICE_BYTES * max(total, 1) // max(path.stat().st_size, 1)
    return max(LEAST_SLICE_ROWS, min(SLICE_ROWS, fitting))


def _sliced(table: "pl.LazyFrame", total: int, size: int) -> Iterator[tuple[int, dict[str, Any]]]:
    for start in range(0, total, size):
        rows = table.slice(start, size).collect()
        yield from enumerate(rows.iter_rows(named=True), start + 1)


def _damaged(error: Exception) -> Message:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return message("This Parquet file cannot be read: {problem}. Save or download it anew.", problem=shown(lines[0]))
