"""
One JSON document: a list of rows, an object with such a list inside, or a single row.

Read as a stream of events, never held whole: memory is bounded by the largest row.
"""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from app.domain.datasets.forms import LISTS
from app.domain.datasets.lines import MOST_LINE_BYTES, UTF8_MARK, not_utf8, too_long
from app.domain.datasets.refusals import RefusedFileError, RefusedRowError, at_row, shown
from app.domain.datasets.strict_json import MOST_DEPTH, cut_off, half_a_character, named_twice, no_number, too_deep
from app.domain.messages import Message, message

READ_BYTES = 1 << 16
CONSTANTS = ("NaN", "Infinity")
MOST_ESCAPE_BYTES = len(rb"\ud83d\ude00")
ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.|\Z)",
    re.DOTALL,
)

Event = tuple[str, Any]


class _Source:
    """Bytes that are UTF-8, counted since the last row: what never ends is refused before it fills memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._decode = file, codecs.getincrementaldecoder("utf-8")().decode
        self._line, self._byte = 1, 1  # where the next chunk begins
        self._tail = b""
        self.row, self.bytes_of_row = 1, 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, as ijson asks for them."""
        chunk = self._file.read(size)
        if self._line == self._byte == 1:
            chunk = chunk.removeprefix(UTF8_MARK)
        self._check_text(chunk)
        self._check_halves(chunk)
        self.bytes_of_row += len(chunk)
        if self.bytes_of_row > MOST_LINE_BYTES + size:
            raise at_row(self.row, too_long())
        return chunk

    def _check_text(self, chunk: bytes) -> None:
        try:
            self._decode(chunk, not chunk)
        except UnicodeDecodeError as error:
            before = error.object[: error.start]
            # What was left of the chunk before, a part of a letter, is in `error.object` too.
            kept = len(error.object) - len(chunk)
            line, column = before.count(b"\n"), len(before) - before.rfind(b"\n") - 1
            byte = column + 1 if line else self._byte - kept + column
            raise not_utf8(self._line + line, byte) from None
        self._line += chunk.count(b"\n")
        end = chunk.rfind(b"\n")
        self._byte = self._byte + len(chunk) if end < 0 else len(chunk) - end

    def _check_halves(self, chunk: bytes) -> None:
        """Refuse the escape of half a character: the C library would put a question mark there."""
        text = self._tail + chunk
        used = len(text)
        for found in ESCAPE.finditer(text):
            if chunk and found.start() > len(text) - MOST_ESCAPE_BYTES:  # it may go on in the next chunk
                used = found.start()
                break
            if found["half"]:
                raise at_row(self.row, half_a_character())
        self._tail = text[used:]

    def next_row(self) -> None:
        """Begin to count the next row's bytes."""
        self.row, self.bytes_of_row = self.row + 1, 0


def document_records(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a document with their numbers."""
    with path.open("rb") as file:
        source = _Source(file)
        try:
            for value in _values(ijson.basic_parse(source, buf_size=READ_BYTES, use_float=True)):
                yield source.row, value
                source.next_row()
        except RefusedRowError as error:
            raise at_row(source.row, error.problem) from None
        except ijson.JSONError as error:
            raise at_row(source.row, _problem_of(str(error))) from None
        except ValueError:  # Python reads no number of more than 4,300 digits
            raise at_row(source.row, message("It holds a number of more digits than can be read.")) from None


def _values(events: Iterator[Event]) -> Iterator[Any]:
    kind, value = next(events)
    if kind == "start_array":
        yield from _elements(events)
    elif kind == "start_map":
        yield from _object_or_its_list(events)
    else:
        yield value
    for _ in events:  # ijson looks behind the document's end only when it is asked
        break


def _elements(events: Iterator[Event]) -> Iterator[Any]:
    for kind, value in events:
        if kind == "end_array":
            return
        yield _built(kind, value, events, 1)


def _object_or_its_list(events: Iterator[Event]) -> Iterator[Any]:
    """Yield the elements of the one list of rows in an object; the object itself where it is a row."""
    row: dict[str, Any] = {}
    lists: list[str] = []
    for kind, name in events:
        if kind == "end_map":
            break
        _check_new(name, row)
        begins, value = next(events)
        if begins == "start_array" and name not in LISTS:
            if lists:
                raise RefusedFileError(_two_lists(lists[0], name))
            lists.append(name)
            row[name] = None
            yield from _elements(events)
        else:
            row[name] = _built(begins, value, events, 1)
    if not lists:
        yield row


def _built(kind: str, value: Any, events: Iterator[Event], depth: int) -> Any:  # noqa: ANN401 - any JSON value
    if kind == "start_map":
        made: dict[str, Any] = {}
        _check_depth(depth)
        for event, name in events:
            if event == "end_map":
                break
            _check_new(name, made)
            begins, inside = next(events)
            made[name] = _built(begins, inside, events, depth + 1)
        return made
    if kind == "start_array":
        _check_depth(depth)
        elements = []
        for event, inside in events:
            if event == "end_array":
                break
            elements.append(_built(event, inside, events, depth + 1))
        return elements
    return value


def _check_depth(depth: int) -> None:
    if depth > MOST_DEPTH:
        raise RefusedRowError(too_deep())


def _check_new(name: str, made: dict[str, Any]) -> None:
    if name in made:
        raise RefusedRowError(named_twice(name))


def _two_lists(first: str, second: str) -> Message:
    return message(
        "This object holds more than one list: “{first}” and “{second}”. Save each as a file of its own.",
        first=shown(first),
        second=shown(second),
    )


def _problem_of(text: str) -> Message:
    """Say what ijson found, without the piece of the file that it prints over several lines."""
    first, _, context = text.partition("\n")
    if "premature EOF" in text or "incomplete" in text.lower():
        return cut_off()
    if "overflow" in first:
        return message("It holds a number of more digits than can be read.")
    found = next((constant for constant in CONSTANTS if constant in context and first.startswith("lexical")), None)
    if found is not None:
        return no_number(found)
    return message("It is not JSON: {problem}.", problem=shown(first.strip().rstrip(".")))
