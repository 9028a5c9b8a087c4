"""
Uploads: a request's body streamed to a file, as it is or as one part of a form.

At most a chunk of it is ever in memory. What the file holds is not looked at here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import BinaryIO

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from app.domain.datasets.incoming import SOURCE, check_room, check_size, no_room
from app.domain.datasets.store import MOST_NAME, printable
from app.domain.errors import FieldError, InvalidError
from app.domain.messages import Message, message

CHUNK_BYTES = 1 << 20  # written at once, in a thread
ROOM_CHECK_BYTES = 64 << 20  # after so many the disk is looked at again
MOST_FIELD_BYTES = 1_000  # of everything in a form but the file: a value, a header
MOST_PARTS = 8
TOO_MUCH = message("The form has a field that is too long, or too many of them.")
FORM = b"multipart/form-data"
FILE_PART = "file"


@dataclass
class Upload:
    """A file that has arrived, and what was said of it."""

    path: Path
    file_name: str = ""
    fields: dict[str, str] = field(default_factory=dict)


async def receive_upload(request: Request, folder: Path) -> Upload:
    """
    Write the file of a request into a folder.

    Raises:
        TooLargeError: it is larger than any upload may be.
        UnavailableError: the disk is full.
        InvalidError: at `file`: the form has none, or is broken.
    """
    size = request.headers.get("content-length", "")
    expected = int(size) if size.isdecimal() else 0
    check_size(expected)
    check_room(expected)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    with (folder / SOURCE).open("xb") as file:
        writer = _Writer(file, expected=expected)
        if kind == FORM:
            form = _FormReader(options.get(b"boundary", b""), writer.take)
            await _stream(request, writer, form.feed)
            form.finish()
            return Upload(folder / SOURCE, form.file_name, form.fields)
        await _stream(request, writer, writer.take)
        return Upload(folder / SOURCE)


async def _stream(request: Request, writer: "_Writer", feed: Callable[[bytes], None]) -> None:
    try:
        async for chunk in request.stream():
            feed(chunk)
            if writer.is_due:
                await writer.write()
    except ClientDisconnect:  # nobody reads the answer, and it is no mistake of the server's
        raise _refused(message("The upload broke off. Send it again.")) from None
    await writer.write()


class _Writer:
    """Writes what it takes a megabyte at a time, in a thread."""

    def __init__(self, file: BinaryIO, *, expected: int) -> None:
        """Begin; `expected` bytes were announced, 0 where none were."""
        self._file, self._waiting, self._size = file, bytearray(), 0
        self._expected, self._written, self._checked = expected, 0, 0

    def take(self, chunk: bytes) -> None:
        """Take some bytes of the file; TooLargeError as soon as there are more than may come."""
        self._size += len(chunk)
        check_size(self._size)
        self._waiting += chunk

    @property
    def is_due(self) -> bool:
        """Whether enough waits to be written."""
        return len(self._waiting) >= CHUNK_BYTES

    async def write(self) -> None:
        """Write what waits."""
        waiting, self._waiting = bytes(self._waiting), bytearray()
        try:
            await run_in_threadpool(self._write, waiting)
        except OSError as error:
            raise no_room() from error

    def _write(self, waiting: bytes) -> None:
        self._file.write(waiting)
        self._file.flush()
        self._written += len(waiting)
        if self._written - self._checked >= ROOM_CHECK_BYTES:  # others write, too, and not every body says its size
            self._checked = self._written
            check_room(max(self._expected, self._written), written=self._written)


class _FormReader:
    """Takes a form apart while it comes: the part named `file` goes to the disk, small ones are fields."""

    def __init__(self, boundary: bytes, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._header_name, self._header, self._disposition = bytearray(), bytearray(), b""
        self._name, self._value, self._is_file, self._has_ended = "", bytearray(), False, False
        self.fields: dict[str, str] = {}
        self.file_name, self._files, self._parts = "", 0, 0
        with _telling_of_form():
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._read_header(self._header_name, data[start:end]),
                    "on_header_value": lambda data, start, end: self._read_header(self._header, data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open,
                    "on_part_data": self._continue,
                    "on_part_end": self._close,
                    "on_end": self._end,
                },
            )

    def feed(self, chunk: bytes) -> None:
        """Read on."""
        with _telling_of_form():
            self._parser.write(chunk)

    def finish(self) -> None:
        """Refuse a form that ends too early, or in which no file came."""
        if not self._has_ended:
            raise _refused(message("The form ends in the middle. Send it again."))
        if self._files != 1:
            raise _refused(message("Send one file, as the part “file” of the form."))

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise _refused(TOO_MUCH)
        self._disposition, self._name, self._value = b"", "", bytearray()
        self._header_name, self._header = bytearray(), bytearray()

    def _read_header(self, header: bytearray, data: bytes) -> None:
        header += data
        if len(header) > MOST_FIELD_BYTES:
            raise _refused(TOO_MUCH)

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header)
        self._header_name, self._header = bytearray(), bytearray()

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", errors="replace")
        self._is_file = b"filename" in options
        if self._is_file:
            self._files += 1
            self.file_name = options[b"filename"].decode("utf-8", errors="replace")
            if self._name != FILE_PART or self._files > 1:
                raise _refused(message("Send one file, as the part “file” of the form."))

    def _continue(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._take(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > MOST_FIELD_BYTES:
            raise _refused(TOO_MUCH)

    def _close(self) -> None:
        if not self._is_file:
            self.fields[self._name] = self._value.decode("utf-8", errors="replace")

    def _end(self) -> None:
        self._has_ended = True


@contextmanager
def _telling_of_form() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise _refused(message("The form cannot be read: {problem}", problem=str(error))) from None


def _refused(text: Message) -> InvalidError:
    return InvalidError([FieldError(FILE_PART, text)])


def uploaded_name(name: str, file_name: str) -> str:
    """Return what a set is called: what was said, or as much of the file's own name as a set may have."""
    return name.strip() or printable(PurePath(file_name.replace("\\", "/")).stem)[:MOST_NAME]
