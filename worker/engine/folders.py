"""
Files and folders that are whole or absent.

Everything is written under a name that nothing reads, forced to disk and then renamed, so that
a reader, or a trainer after a crash, never meets half of it.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.domain.disk import MANIFEST, put_on_disk, sha256_of


@contextmanager
def file_aside(path: Path) -> Iterator[Path]:
    """Give a name to write to; it becomes `path` once the block has ended well."""
    aside = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield aside
        put_on_disk(aside)
        aside.replace(path)
        put_on_disk(path.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill; it takes the place of `path` once the block has ended well."""
    aside = path.with_name(f".{path.name}.part")
    shutil.rmtree(aside, ignore_errors=True)  # what an earlier, killed attempt left
    aside.mkdir(parents=True)
    try:
        yield aside
        for file in aside.iterdir():
            file.chmod(0o644)  # safetensors makes its files the owner's alone; the web process may be another user
            put_on_disk(file)
        put_on_disk(aside)
        shutil.rmtree(path, ignore_errors=True)  # a folder cannot be renamed over one that is not empty
        aside.rename(path)
        put_on_disk(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_manifest(folder: Path) -> None:
    """Write what the folder holds, so that whoever gets it can check it."""
    files = [_entry(file) for file in sorted(folder.iterdir()) if file.is_file() and file.name != MANIFEST]
    (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=2), "utf-8")


def _entry(file: Path) -> dict[str, Any]:
    return {"name": file.name, "size_bytes": file.stat().st_size, "sha256": sha256_of(file)}
