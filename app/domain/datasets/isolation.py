"""Read an upload in a child process: what it costs, and whether it ends, is no concern of the web process."""

import json
import logging
import os
import shutil
import signal
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import app
from app.config import settings
from app.confinement import Reach, command_for
from app.domain.datasets.intake import Intake, Limits, too_many_bytes, too_much_memory
from app.domain.datasets.kinds import Container, RowForm
from app.domain.datasets.refusals import from_data
from app.domain.errors import FieldError, InvalidError, UnsupportedTypeError
from app.domain.messages import Message, message

log = logging.getLogger(__name__)

FIELD = "file"
SOURCE_ROOT = Path(app.__file__).parents[1]
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


def read_apart(source: Path, target: Path) -> Intake:
    """
    Turn the file `source` into rows at `target`, with an index beside them.

    Raises:
        InvalidError: at `file`, with the line or row where it cannot be used; `target` is then worth nothing.
        UnsupportedTypeError: it is something else than rows: a program, a checkpoint, a picture.
    """
    limits = limits_of_now(target.parent)
    process = _start(source, target, limits)
    try:
        output, complaints = process.communicate(timeout=limits.seconds)
    except subprocess.TimeoutExpired:
        raise _refused(_too_slow(limits)) from None
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    if process.returncode != 0:
        raise _refused(_end_of(process.returncode, limits, complaints))
    answer: dict[str, Any] = json.loads(output)
    if answer.get("is_wrong_kind"):
        raise UnsupportedTypeError(from_data(answer["refused"]))
    if "refused" in answer:
        raise _refused(from_data(answer["refused"]))
    return Intake(**answer | {"form": RowForm(answer["form"]), "container": Container(answer["container"])})


def limits_of_now(folder: Path) -> Limits:
    """Return what a child may take: the settings' limits, and no more disk than is free."""
    free = shutil.disk_usage(folder).free - settings().min_free_bytes
    return Limits(
        memory_bytes=settings().intake_memory_bytes,
        file_bytes=max(0, min(settings().largest_upload_bytes, free)),
        seconds=settings().intake_seconds,
    )


def _start(source: Path, target: Path, limits: Limits) -> subprocess.Popen[bytes]:
    module = "app.domain.datasets.intake"
    arguments = [str(source), str(target), json.dumps(asdict(limits)), str(os.getpid())]
    reach = Reach(reads=(str(source),), writes=(str(target.parent),))
    return subprocess.Popen(  # noqa: S603 - an argument list of our own making, no shell
        command_for(module, arguments, reach=reach, demand=settings().confine),
        cwd=target.parent,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a signal to the server's group is not one to it: it dies with its parent
    )


def _environment() -> dict[str, str]:
    """Return where programs are and what language they speak; nothing that is secret."""
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return passed_on | {
        "PYTHONPATH": str(SOURCE_ROOT),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "POLARS_MAX_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",  # glibc would reserve address space for each thread
    }


def _end_of(code: int, limits: Limits, complaints: bytes) -> Message:
    """Say why a child ended without an answer; an end that no file can cause is our own mistake."""
    text = complaints.decode("utf-8", errors="replace")[-2_000:]
    log.warning("reading an upload ended with code %d: %s", code, text.strip())
    if code == -signal.SIGXCPU:
        return _too_slow(limits)
    if code == -signal.SIGXFSZ:
        return too_many_bytes(limits)
    if code < 0 or "memory allocation" in text or "MemoryError" in text:
        return too_much_memory(limits)
    raise RuntimeError(f"the reader of uploads ended with code {code}: {text}")


def _too_slow(limits: Limits) -> Message:
    return message(
        "Reading this file takes more than {most} s. Split it; an admin may raise TEMPER_INTAKE_SECONDS.",
        most=limits.seconds,
    )


def _refused(text: Message) -> InvalidError:
    return InvalidError([FieldError(FIELD, text)])
