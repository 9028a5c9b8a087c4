"""
The child that reads what somebody uploaded: `python -P -m app.domain.datasets.intake SOURCE TARGET LIMITS`.

Writes the rows to TARGET and its index beside it, and one JSON object to standard output: what
was read, or why it is refused. Whatever the file holds, this process can take no more memory,
disk or time than it was given, and knows neither settings nor database.
"""

import errno
import json
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from app.domain.datasets.containers import RecordFile, open_records
from app.domain.datasets.forms import RowShape, shape_of
from app.domain.datasets.kinds import Container, RowForm
from app.domain.datasets.recognising import EMPTY
from app.domain.datasets.refusals import RefusedFileError, RefusedRowError, to_data
from app.domain.datasets.rows import RowWriter
from app.domain.datasets.strict_json import half_a_character
from app.domain.messages import Message, message
from app.processes import die_with

RESERVED_BYTES = 1 << 30  # address space that allocators and thread stacks reserve and never fill


@dataclass(frozen=True)
class Limits:
    """What the child may take."""

    memory_bytes: int
    file_bytes: int
    """Of the rows it writes."""
    seconds: int
    """Of processor time."""


@dataclass(frozen=True)
class Intake:
    """What was read, and what it became."""

    rows: int
    left_out: int
    """Rows that the file itself marks as having no answer."""
    size_bytes: int
    sha256: str
    form: RowForm
    container: Container


def take_in(source: Path, target: Path) -> Intake:
    """Read a file and write its rows; RefusedFileError when it cannot be used, and TARGET is then worth nothing."""
    file = open_records(source)
    with RowWriter(target) as writer:
        shape, left_out = _copy(file, writer)
        if shape is None or writer.rows == 0:
            raise RefusedFileError(EMPTY)
    return Intake(writer.rows, left_out, writer.size_bytes, writer.sha256, shape.form, file.container)


def _copy(file: RecordFile, writer: RowWriter) -> tuple[RowShape | None, int]:
    shape, left_out = None, 0
    for number, record in file.records:
        try:
            shape = shape or shape_of(record)
            turns = shape.convert(record)
            if turns:
                writer.write(turns)
            else:
                left_out += 1
        except RefusedRowError as error:
            raise file.refuse_at(number, error.problem) from None
        except UnicodeEncodeError:
            raise file.refuse_at(number, half_a_character()) from None
    return shape, left_out


# ── As a process ───────────────────────────────────────────────────────────


def limit(limits: Limits, *, mapped_bytes: int) -> None:
    """Let the kernel hold this process to its limits; a file that is mapped takes addresses and no memory."""
    for kind, most in (
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_AS, limits.memory_bytes + mapped_bytes + RESERVED_BYTES),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CPU, limits.seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def too_much_memory(limits: Limits) -> Message:
    """Say that a file needs more memory than there is for it."""
    return message(
        "Reading this file takes more than {most} MiB of memory. Split it, or save it as JSON Lines; an admin may "
        "raise TEMPER_INTAKE_MEMORY_BYTES.",
        most=limits.memory_bytes >> 20,
    )


def too_many_bytes(limits: Limits) -> Message:
    """Say that the rows are more than there is room for."""
    return message("As rows, this file is larger than {most} MiB. Split it.", most=limits.file_bytes >> 20)


def main(arguments: Sequence[str]) -> int:
    """Read one file under limits, and say how it went."""
    source, target, given, parent = Path(arguments[0]), Path(arguments[1]), arguments[2], int(arguments[3])
    limits = Limits(**json.loads(given))
    die_with(parent)
    limit(limits, mapped_bytes=source.stat().st_size)
    try:
        answer = asdict(take_in(source, target))
    except RefusedFileError as error:
        answer = {"refused": to_data(error.text), "is_wrong_kind": error.is_wrong_kind}
    except MemoryError:
        answer = {"refused": to_data(too_much_memory(limits))}
    except OSError as error:
        if error.errno not in {errno.EFBIG, errno.ENOSPC}:
            raise
        answer = {"refused": to_data(too_many_bytes(limits))}
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
