"""
Files in a folder that others write to: opened by their place beneath it, no link on the way followed.

A trainer writes to its run's folder, and a backup or a shared disk may put anything there. Whoever reads or writes
there with the server's rights must end up in that folder and at a plain file.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def open_beneath(root: Path, path: Path, flags: int = os.O_RDONLY) -> int:
    """
    Open a plain file beneath a folder; return its number.

    Args:
        root: a folder that nobody else can move; links above it are followed.
        path: of the file, below `root`.

    Raises:
        OSError: it is not there, a link stands on the way, or it is no plain file: a device, a pipe, a folder.
    """
    *folders, name = _parts(root, path)
    with _folder(root, folders) as place:
        # O_NONBLOCK: a pipe would wait for somebody at its other end
        kept = flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        number = os.open(name, kept, 0o644, dir_fd=place)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "this is no plain file", str(path))
    return number


def _parts(root: Path, path: Path) -> tuple[str, ...]:
    parts = path.relative_to(root).parts
    if not parts or ".." in parts:
        raise OSError(errno.EINVAL, "this leads out of its folder", str(path))
    return parts


@contextmanager
def _folder(root: Path, names: list[str]) -> Iterator[int]:
    """Open the folder that these names lead to, each from the one before."""
    place = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            inner = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
            os.close(place)
            place = inner
        yield place
    finally:
        os.close(place)


def read_beneath(root: Path, path: Path) -> BinaryIO:
    """Open a plain file beneath a folder for reading; see `open_beneath`."""
    return os.fdopen(open_beneath(root, path), "rb")


def append_beneath(root: Path, path: Path) -> BinaryIO:
    """Open a plain file beneath a folder to append to it, and make it where there is none; see `open_beneath`."""
    return os.fdopen(open_beneath(root, path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")


def write_beneath(root: Path, path: Path, text: str) -> None:
    """Write a file beneath a folder, whole or not at all; a link of its name goes, and what it led to stays."""
    *folders, name = _parts(root, path)
    aside = f".{name}.part"
    with _folder(root, folders) as place:
        with suppress(FileNotFoundError):
            os.unlink(aside, dir_fd=place)
        number = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=place)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(aside, name, src_dir_fd=place, dst_dir_fd=place)


def is_plain_beneath(root: Path, path: Path) -> bool:
    """Whether there is a plain file beneath a folder, with no link on the way."""
    try:
        os.close(open_beneath(root, path))
    except OSError:
        return False
    return True


def make_beneath(root: Path, folder: Path) -> None:
    """Make a folder, and those above it, beneath another one; OSError where a link stands in its place."""
    made = root
    for name in _parts(root, folder) if folder != root else ():
        made /= name
        with suppress(FileExistsError):
            made.mkdir()
        if made.is_symlink() or not made.is_dir():
            raise OSError(errno.ELOOP, "something else stands where a folder must be", str(made))
