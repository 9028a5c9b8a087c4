"""Rows out of a file, one by one, whatever holds them; each with the number of its line or row."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.datasets.documents import document_records
from app.domain.datasets.kinds import Container
from app.domain.datasets.lines import lines_of
from app.domain.datasets.recognising import container_of
from app.domain.datasets.refusals import RefusedFileError, RefusedRowError, at_line, at_row
from app.domain.datasets.strict_json import parse_json
from app.domain.datasets.tables import csv_records, parquet_records
from app.domain.messages import Message

Records = Iterator[tuple[int, Any]]


@dataclass(frozen=True)
class RecordFile:
    """The rows of a file, and how a place in it is told."""

    container: Container
    records: Records
    refuse_at: Callable[[int, Message], RefusedFileError]


def open_records(path: Path) -> RecordFile:
    """Recognise a file by what it holds; RefusedFileError when it holds no rows."""
    container = container_of(path)
    read, refuse_at = _READERS[container]
    return RecordFile(container, read(path), refuse_at)


def _line_records(path: Path) -> Records:
    for number, line in lines_of(path):
        if line.isspace():
            continue
        try:
            value = parse_json(line)
        except RefusedRowError as error:
            raise at_line(number, error.problem) from None
        yield number, value


_READERS: dict[Container, tuple[Callable[[Path], Records], Callable[[int, Message], RefusedFileError]]] = {
    Container.JSON: (document_records, at_row),
    Container.JSONL: (_line_records, at_line),
    Container.CSV: (csv_records, at_line),
    Container.PARQUET: (parquet_records, at_row),
}
