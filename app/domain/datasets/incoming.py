"""
Where an upload lies until it is a dataset, or is refused: a folder of its own, gone afterwards.

A folder whose process died is found by its lock, which the kernel let go of, and removed by the
next upload.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.config import settings
from app.domain.errors import TooLargeError, UnavailableError
from app.domain.messages import message

SOURCE, ROWS, LOCK = "source", "rows.jsonl", "lock"
COPIES = 2  # the upload, and its rows


@contextmanager
def incoming_folder() -> Iterator[Path]:
    """Give an upload its folder, on the disk of the datasets, and remove the folder at the end."""
    place = settings().datasets_folder / "incoming"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    remove_leftovers(place)
    folder = Path(tempfile.mkdtemp(dir=place))
    try:
        with (folder / "new").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            (folder / "new").rename(folder / LOCK)  # whoever finds it there finds it locked
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(place: Path) -> None:
    """Remove the folders of uploads that a crash broke off; what else is there is nobody's here, and stays."""
    for folder in place.iterdir():
        if not _is_alive(folder / LOCK):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(lock: Path) -> bool:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked; or just being made or removed; or no upload's folder, or not this account's
        return True
    return False


def check_size(size_bytes: int) -> None:
    """Refuse an upload of more bytes than any may have; TooLargeError."""
    most = settings().largest_upload_bytes
    if size_bytes > most:
        raise TooLargeError(message("This file is too large: at most {most} MiB may be uploaded.", most=most >> 20))


def check_room(size_bytes: int, *, written: int = 0) -> None:
    """
    Refuse an upload for which, with its rows, the disk has no room; UnavailableError.

    Args:
        size_bytes: all of it, as far as that is known.
        written: what of it is on the disk already.
    """
    if COPIES * size_bytes - written > shutil.disk_usage(settings().home).free - settings().min_free_bytes:
        raise no_room()


def no_room() -> UnavailableError:
    """Say that the disk is full."""
    return UnavailableError(message("The disk has no room for this file. Delete what is not needed, then try again."))
