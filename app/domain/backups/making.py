"""Making a backup while Temper runs."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.config import settings
from app.domain.backups.databases import database_in_force, telling
from app.domain.backups.files import UNFINISHED, copy_hashed, copy_tree, describe_tree, put_folders_on_disk
from app.domain.backups.manifest import DATABASE, DATASETS, MIXES, NAME, RUNS, BackupError, Manifest, make_manifest
from app.domain.disk import put_on_disk


@dataclass(frozen=True)
class Backup:
    """A whole backup on the disk."""

    folder: Path
    manifest: Manifest


def time_stamp() -> str:
    """Return the time as names of backups carry it: they sort as they were made."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def make_backup(folder: Path, *, with_runs: bool = True) -> Backup:
    """
    Copy the database, the folders of the runs and their data; the folder appears once it is whole.

    Raises:
        BackupError: There is something in the way, or nothing to copy, or no room.
    """
    folder = folder.resolve()
    with telling("The backup cannot be written"):
        _check_place(folder)
        with _appearing_whole(folder) as aside:
            return Backup(folder, _fill(aside, with_runs=with_runs))


def _check_place(folder: Path) -> None:
    copied = {
        "runs": settings().runs_folder,
        "rows of runs": settings().mixes_folder,
        "saved sets": settings().datasets_folder,
    }
    for words, place in copied.items():
        if folder.is_relative_to(place.resolve()):
            raise BackupError(f"{folder} is among the {words}, which it would copy too. Choose another folder.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(f"There is something at {folder} already. Choose another folder.")


@contextmanager
def _appearing_whole(folder: Path) -> Iterator[Path]:
    """Give a folder that only its owner may look into; it gets its name once everything in it is on the disk."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=UNFINISHED, dir=folder.parent))
    try:
        yield aside
        put_folders_on_disk(aside)
        aside.rename(folder)
        put_on_disk(folder.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _fill(folder: Path, *, with_runs: bool) -> Manifest:
    # The database first: a checkpoint that it names is on the disk already, and of `events.jsonl`
    # it has read no more than is copied after it.
    (folder / DATABASE).mkdir()
    database = database_in_force()
    revision = database.save(folder / DATABASE)
    files = describe_tree(folder / DATABASE)
    if with_runs:
        files += copy_tree(settings().runs_folder, folder / RUNS)
        files += copy_hashed(settings().mixes_folder, folder / MIXES)
        files += copy_hashed(settings().datasets_folder, folder / DATASETS)
    manifest = make_manifest(database.kind, revision, files, has_runs=with_runs)
    with (folder / NAME).open("x", encoding="utf-8") as file:
        file.write(manifest.model_dump_json(indent=2))
        file.flush()
        os.fsync(file.fileno())
    return manifest
