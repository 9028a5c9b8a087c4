"""Files on the disk: that they are there for good, how large they are, and what they hold. No settings, no database."""

import hashlib
import os
from pathlib import Path

MANIFEST = "manifest.json"
"""Lists the files of a folder that the engine made, with sizes and hashes; written last."""


def put_on_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files under a folder; 0 where there is none."""
    if path.is_dir():
        return sum(size_of(part) for part in path.iterdir())
    return path.stat().st_size if path.exists() else 0


def sha256_of(path: Path) -> str:
    """Return the hash of what a file holds, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
