"""Lines of a text file: counted, never longer than may be held, and UTF-8 or refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from app.domain.datasets.refusals import RefusedFileError, at_line
from app.domain.messages import Message, message

MOST_LINE_BYTES = 8 << 20  # four million tokens or so: no model reads a row of that length
UTF8_MARK = b"\xef\xbb\xbf"
BUFFER_BYTES = 1 << 20


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield a file's lines with their numbers from 1, line ends kept; RefusedFileError at the first bad one."""
    with path.open("rb", buffering=BUFFER_BYTES) as file:
        for number, line in enumerate(_bounded(file), 1):
            if len(line) > MOST_LINE_BYTES:
                raise at_line(number, too_long())
            yield number, decoded(line.removeprefix(UTF8_MARK) if number == 1 else line, line_number=number)


def _bounded(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MOST_LINE_BYTES + 1):
        yield line


def decoded(line: bytes, *, line_number: int) -> str:
    """Return a line's text; RefusedFileError at the first byte that is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise not_utf8(line_number, error.start + 1) from None


def not_utf8(line: int, byte: int) -> RefusedFileError:
    """Say where a file is not UTF-8, both counted from 1."""
    problem = message(
        "Byte {byte} is not UTF-8. Save the file as UTF-8: in Notepad by “Save as” with the encoding UTF-8, in Excel "
        "as “CSV UTF-8”.",
        byte=byte,
    )
    return at_line(line, problem)


def too_long() -> Message:
    """Say that a line, a row or a value is longer than may be held."""
    return message(
        "It is longer than {most} MiB. Rows are JSON Lines, one on each line, or one JSON list.",
        most=MOST_LINE_BYTES >> 20,
    )
