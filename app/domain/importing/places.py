"""
A work folder, and nothing outside of it: what it lists is inside, what it opens is a plain file.

A link that leads out of the folder is passed over, as if it were not there.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from app.domain.errors import FieldError, InvalidError
from app.domain.messages import Message, message
from app.domain.texts import storable

MOST_ENTRIES = 20_000  # of one folder; xtuner's hold dozens
MOST_TEXT_BYTES = 4 << 20  # of a config, or of the answers of one checkpoint
FIELD = "work_dir"
START = re.compile(r"\d{8}_\d{6}", re.ASCII)  # a folder of one start, named by its time


@dataclass(frozen=True)
class Entry:
    """A file or a folder inside of a work folder."""

    name: str
    path: Path
    """Where it is, links followed."""
    is_folder: bool
    size_bytes: int
    """Of a file; 0 of a folder."""
    changed_ns: int = 0
    """When it was last written to, in nanoseconds."""


@dataclass(frozen=True)
class WorkFolder:
    """A folder that xtuner wrote to."""

    root: Path

    def entries(self, *parts: str) -> list[Entry]:
        """Return what one folder holds, by name; nothing where there is no such folder, or none that may be read."""
        folder = self._inside(self.root.joinpath(*parts))
        try:
            names = _names_in(folder) if folder and folder.is_dir() else []
        except OSError:
            return []
        found = (self._entry(folder / name) for name in names) if folder else ()
        return sorted((entry for entry in found if entry), key=lambda entry: entry.name)

    def _entry(self, path: Path) -> Entry | None:
        real = self._inside(path)
        if real is None:
            return None
        try:
            facts = real.stat()
        except OSError:
            return None
        is_folder = stat.S_ISDIR(facts.st_mode)
        if not is_folder and not stat.S_ISREG(facts.st_mode):
            return None
        return Entry(path.name, real, is_folder, 0 if is_folder else facts.st_size, facts.st_mtime_ns)

    def _inside(self, path: Path) -> Path | None:
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):  # a link to itself is either
            return None
        return real if real.is_relative_to(self.root) else None

    @contextmanager
    def open(self, entry: Entry) -> Iterator[BinaryIO]:
        """Open a file that was listed; a link that has taken its place since is refused."""
        with open_plain(entry.path) as file:
            yield file

    def text(self, entry: Entry) -> str:
        """Return a file's text up to the most that is read; what is not UTF-8 is replaced."""
        with self.open(entry) as file:
            return file.read(MOST_TEXT_BYTES).decode("utf-8", errors="replace")


def _names_in(folder: Path) -> list[str]:
    with os.scandir(folder) as listed:
        names = [each.name for each in islice(listed, MOST_ENTRIES + 1)]
    if len(names) > MOST_ENTRIES:
        text = message("This folder holds more than {most} names: it is none of xtuner's.", most=MOST_ENTRIES)
        raise refuse(text)
    return names


@contextmanager
def open_plain(path: Path, *, field: str = FIELD) -> Iterator[BinaryIO]:
    """Open a plain file for reading, never a link, a pipe or a device; InvalidError at `field` when there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: a zero character
        problem = getattr(error, "strerror", None) or str(error)
        text = message("{path} cannot be read: {problem}.", path=shown(path), problem=problem)
        raise refuse(text, field=field) from None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise refuse(message("{path} is not a plain file.", path=shown(path)), field=field)
        yield file


def open_work_folder(path: Path) -> WorkFolder:
    """
    Return the folder at a path.

    Raises:
        InvalidError: at `work_dir`, when there is none, or it cannot be read.
    """
    try:
        root = path.expanduser().resolve(strict=True)
        if not root.is_dir():
            raise refuse(message("{path} is no folder.", path=shown(path)))
        next(root.iterdir(), None)  # may it be listed?
    except (OSError, RuntimeError, ValueError):  # ValueError: a zero character
        raise refuse(message("There is no folder {path} that can be read here.", path=shown(path))) from None
    return WorkFolder(root)


def shown(path: Path | str) -> str:
    """Return a path as text that can be stored and shown, whatever bytes it is made of."""
    return os.fsencode(str(path)).decode("utf-8", errors="backslashreplace").replace("\x00", "\\x00")


def fitting(text: str) -> str:
    """Return somebody's text as a database stores it: without zeros, and half characters replaced."""
    # Half of one comes from a broken escape alone: in JSON, or in a Python text.
    return storable(text.encode("utf-8", errors="replace").decode("utf-8"))


def refuse(text: Message, *, field: str = FIELD) -> InvalidError:
    """Make the error that names the work folder, or another field."""
    return InvalidError([FieldError(field, text)])
