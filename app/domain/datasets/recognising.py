"""
What a file is, by what it holds: its name may say anything.

Recognises the four containers of rows, and names what people upload by mistake: archives,
workbooks, programs, pages of the web, text of another encoding.
"""

import re
from pathlib import Path
from typing import BinaryIO

from app.domain.datasets.forms import fitting_shape
from app.domain.datasets.kinds import Container
from app.domain.datasets.lines import MOST_LINE_BYTES, UTF8_MARK, decoded
from app.domain.datasets.refusals import RefusedFileError, RefusedRowError, at_line, shown
from app.domain.datasets.strict_json import parse_json
from app.domain.datasets.tables import header_of
from app.domain.messages import N_, Message, message

HEAD_BYTES = 4_096
PARQUET = b"PAR1"
ARCHIVES = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
}
TAR_PLACE, TAR = 257, b"ustar"
OFFICE = (b"[Content_Types].xml", b"mimetype", b"xl/", b"word/")  # first names in a workbook's zip archive
CHECKPOINT = (b"/data.pkl", b"archive/data.pkl", b"/.format_version", b"/version")  # first names that torch writes
OTHERS = {
    b"%PDF": "PDF",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"\x7fELF": "ELF",
    b"SQLite format 3": "SQLite",
    b"ARROW1": "Arrow",
    b"GGUF": "GGUF",
    b"\x80\x00": "pickle",
    b"\x80\x01": "pickle",
    b"\x80\x02": "pickle",
    b"\x80\x03": "pickle",
    b"\x80\x04": "pickle",
    b"\x80\x05": "pickle",
    b"\xd0\xcf\x11\xe0": "Microsoft Office",
}
UTF_16_AND_32 = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"\x00\x00\xfe\xff", "UTF-32"))
PROGRAM = re.compile(
    r"#!|(?:\s*#[^\n]*\n)*\s*(?:import\s+\w[\w.]*(?:\s+as\s+\w+)?\s*(?:#.*)?$|from\s+[\w.]+\s+import\b|def\s+\w+\(|class\s+\w+\b.*:\s*$"
    r"|(?:const|let|var|function|package|using|use|#include)\s|if __name__\b|[\"']{3}|@\w+)",
    re.MULTILINE,
)
PAGE = re.compile(r"\s*<(?:!doctype|html|head|body|\?xml|!--|[a-z]+[\s>])", re.IGNORECASE)
WANTED = N_("Temper reads JSON, JSON Lines, CSV and Parquet.")
EMPTY = message("There are no rows in this file.")


def container_of(path: Path) -> Container:
    """Recognise a file; RefusedFileError names what it is instead."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if head.startswith(PARQUET):
            return Container.PARQUET
        _refuse_other_formats(head)
        _refuse_other_encodings(head)
        file.seek(0)
        first = _first_line(file)
        if first.startswith(b"["):
            return Container.JSON
        if first.startswith(b"{"):
            return _json_or_lines(first, _first_line(file))
    if not first:
        raise RefusedFileError(EMPTY)
    if header_of(decoded(first, line_number=1)) is not None:
        return Container.CSV
    raise _not_rows(head.removeprefix(UTF8_MARK).decode("utf-8", errors="ignore"))


def _first_line(file: BinaryIO) -> bytes:
    """Return the next line that is not blank, or its beginning; empty at the end."""
    while line := file.readline(MOST_LINE_BYTES):
        line = line.removeprefix(UTF8_MARK)
        if not line.isspace():
            return line.strip()
    return b""


def _json_or_lines(first: bytes, second: bytes) -> Container:
    """Tell rows that are lines from one JSON document that begins with an object."""
    try:
        value = parse_json(first.decode("utf-8", errors="replace"))
    except RefusedRowError:
        is_within = first.endswith((b"{", b"[", b",", b":"))  # a document laid out over several lines
        return Container.JSONL if second.startswith(b"{") and not is_within else Container.JSON
    return Container.JSONL if second or fitting_shape(value) is not None else Container.JSON


def _refuse_other_formats(head: bytes) -> None:
    for sign, name in ARCHIVES.items():
        if head.startswith(sign):
            if name == "zip" and any(word in head for word in CHECKPOINT):
                raise _other_kind("PyTorch")
            is_office = name == "zip" and any(word in head for word in OFFICE)
            raise RefusedFileError(_workbook() if is_office else _archive(name))
    if head[TAR_PLACE:].startswith(TAR):
        raise RefusedFileError(_archive("tar"))
    for sign, name in OTHERS.items():
        if head.startswith(sign):
            raise _other_kind(name)


def _other_kind(name: str) -> RefusedFileError:
    text = message("This is a file of the kind {kind}. {wanted}", kind=name, wanted=message(WANTED))
    return RefusedFileError(text, is_wrong_kind=True)


def _archive(name: str) -> Message:
    return message("This is an archive ({kind}). Unpack it first, and upload the file that is in it.", kind=name)


def _workbook() -> Message:
    return message("This is a workbook or a document of an office program. Save the table as “CSV UTF-8”.")


def _refuse_other_encodings(head: bytes) -> None:
    marked = next((name for sign, name in UTF_16_AND_32 if head.startswith(sign)), None)
    if marked is None and b"\x00" not in head[:4]:
        return
    raise RefusedFileError(
        message(
            "This text is {encoding}, not UTF-8. Save it as UTF-8: in Notepad by “Save as” with the encoding UTF-8, "
            "in Excel as “CSV UTF-8”.",
            encoding=marked or "UTF-16",
        )
    )


def _not_rows(text: str) -> RefusedFileError:
    wanted = message(WANTED)
    if PAGE.match(text):
        return RefusedFileError(
            message("This is a web page (HTML or XML). Download the file of the data itself. {wanted}", wanted=wanted)
        )
    if PROGRAM.match(text):
        return RefusedFileError(
            message(
                "This is the text of a program, and nothing is run here. Upload the data itself. {wanted}",
                wanted=wanted,
            ),
            is_wrong_kind=True,
        )
    return at_line(
        1,
        message(
            "“{text}” is neither JSON nor the head of a table with columns such as “question” and “answer”. {wanted}",
            text=shown(text.strip().partition("\n")[0]),
            wanted=wanted,
        ),
    )
