"""Copying files that somebody may be writing to, with the hash of what was copied."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from app.domain.backups.manifest import BackupError, StoredFile
from app.domain.disk import put_on_disk

CHUNK_BYTES = 1 << 20
HASHED_NAME = re.compile(r"[0-9a-f]{64}\.(?:jsonl|index)")
UNFINISHED = ".part"  # how the name of whatever is still being written ends


def copy_file(source: Path, target: Path, name: str) -> StoredFile:
    """Copy a file up to the size it has now, onto the disk; return what was copied under its name in the backup."""
    digest, copied = hashlib.sha256(), 0
    with open(source, "rb", opener=_never_through_a_link) as reading, target.open("xb") as writing:
        size = os.fstat(reading.fileno()).st_size  # a log grows on; what comes later is for the next backup
        while chunk := reading.read(min(CHUNK_BYTES, size - copied)):
            writing.write(chunk)
            digest.update(chunk)
            copied += len(chunk)
        writing.flush()
        os.fsync(writing.fileno())
    return StoredFile(path=name, size_bytes=copied, sha256=digest.hexdigest())


def _never_through_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def describe_file(path: Path, name: str) -> StoredFile:
    """Return the size and the hash of a file that nobody writes to."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return StoredFile(path=name, size_bytes=file.tell(), sha256=digest.hexdigest())


def copy_tree(source: Path, target: Path) -> list[StoredFile]:
    """Copy the regular files under a folder that are finished; those that vanish meanwhile are left out."""
    return _copy(_finished_files(source), source, target)


def copy_hashed(source: Path, target: Path) -> list[StoredFile]:
    """Copy the files of a folder that are named by their hash, and their indexes: not what is made from them."""
    hashed = (path for path in _finished_files(source) if path.parent == source and HASHED_NAME.fullmatch(path.name))
    return _copy(hashed, source, target)


def _copy(paths: Iterable[Path], source: Path, target: Path) -> list[StoredFile]:
    copied = []
    for path in paths:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            copied.append(copy_file(path, place, _name_of(place, target.parent)))
        except FileNotFoundError:  # of the source, which is opened first: retention deletes while we copy
            continue
    return copied


def _finished_files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder, onerror=_fail_unless_gone):
        folders[:] = sorted(name for name in folders if not name.endswith(UNFINISHED))
        for path in (Path(where, name) for name in sorted(names)):
            if not path.name.endswith(UNFINISHED) and path.is_file() and not path.is_symlink():
                yield path


def _fail_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _name_of(path: Path, root: Path) -> str:
    name = path.relative_to(root).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise BackupError(f"The name of a file is not UTF-8, rename it: {name!r}.") from None
    return name


def describe_tree(folder: Path) -> list[StoredFile]:
    """Return the files under a folder of the backup, once they are on the disk."""
    files = []
    for path in sorted(folder.iterdir()):
        put_on_disk(path)
        files.append(describe_file(path, _name_of(path, folder.parent)))
    return files


def put_folders_on_disk(folder: Path) -> None:
    """Wait until the names in a folder and in all folders under it are on the disk."""
    for where, _, _ in os.walk(folder):
        put_on_disk(Path(where))
