"""
Putting a backup in force.

Everything is made ready beside what is in force, and every hash checked on the way; then folders
and database change places by renaming. Nothing is deleted but files that are not what their names say.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from app.config import settings
from app.domain import presence
from app.domain.backups.databases import Database, database_in_force, telling
from app.domain.backups.files import HASHED_NAME, UNFINISHED, copy_file, describe_file, put_folders_on_disk
from app.domain.backups.making import time_stamp
from app.domain.backups.manifest import (
    DATABASE,
    DATASETS,
    MIXES,
    RUNS,
    BackupError,
    Manifest,
    StoredFile,
    read_manifest,
)
from app.domain.disk import put_on_disk
from app.domain.home import HomeInUseError, home_to_itself
from app.domain.migrate import is_known


@dataclass(frozen=True)
class Restored:
    """A backup that is in force."""

    folder: Path
    manifest: Manifest
    kept: tuple[str, ...]
    """Where is now what was in force before."""


def restore_backup(folder: Path, *, replace: bool = False) -> Restored:
    """
    Put a backup in force in this home, brought up to date; what was there is kept aside.

    Args:
        folder: What `make_backup` made.
        replace: Whether a home that holds runs may be changed.

    Raises:
        BackupError: The backup or the home is not fit for it; nothing was changed.
    """
    with telling("The backup cannot be restored"), _home_to_itself():
        manifest, database = read_manifest(folder), database_in_force()
        _check(manifest, database, replace=replace)
        with _staged(folder, manifest, database) as runs:
            kept = _swap(runs, database)
    return Restored(folder, manifest, kept)


@contextmanager
def _home_to_itself() -> Iterator[None]:
    """Keep Temper from starting; refuse while it runs, here or as a worker elsewhere."""
    with ExitStack() as stack:
        try:
            stack.enter_context(home_to_itself())
        except HomeInUseError as error:
            raise BackupError(str(error)) from None
        if workers := presence.live_workers():
            raise BackupError(f"A worker is alive: {workers[0].name}. Stop it first.")
        yield


def _check(manifest: Manifest, database: Database, *, replace: bool) -> None:
    if not is_known(manifest.revision):
        raise BackupError(
            f"The backup is of a newer Temper, {manifest.temper} with schema {manifest.revision}."
            " Install that version, or a later one."
        )
    if manifest.database != database.kind:
        raise BackupError(f"The backup is of {manifest.database}, and the settings name {database.kind}.")
    if not replace and (database.holds_runs() or _has_files(_runs_folder())):
        raise BackupError(f"There are runs in {settings().home}. Give --replace to put them aside.")


def _runs_folder() -> Path:
    """Return where the folders of the runs really are: whoever linked them to another disk wants them there."""
    return settings().runs_folder.resolve()


def _has_files(folder: Path) -> bool:
    return folder.exists() and any(folder.iterdir())


# ── Making ready ───────────────────────────────────────────────────────────


@contextmanager
def _staged(folder: Path, manifest: Manifest, database: Database) -> Iterator[Path | None]:
    """Make folders and database ready beside those in force; yield the folders, None when the backup has none."""
    runs = _runs_folder().with_name(f"{_runs_folder().name}.restoring")
    shutil.rmtree(runs, ignore_errors=True)  # what an interrupted restore left
    try:
        if manifest.has_runs:
            _copy_checked(folder, manifest.files_in(RUNS), runs)
            for name, place in ((MIXES, settings().mixes_folder), (DATASETS, settings().datasets_folder)):
                _add_hashed(folder, manifest.files_in(name), place)
        database.stage(_checked(folder, manifest.files_in(DATABASE)), manifest.revision)
        yield runs if manifest.has_runs else None
    finally:
        shutil.rmtree(runs, ignore_errors=True)
        database.discard()


def _copy_checked(folder: Path, files: Sequence[StoredFile], target: Path) -> None:
    target.mkdir(parents=True)
    for file in files:
        place = target / Path(file.path).relative_to(RUNS)
        place.parent.mkdir(parents=True, exist_ok=True)
        _compare(folder, file, copy_file(_there(folder, file), place, file.path))
    put_folders_on_disk(target)


def _add_hashed(folder: Path, files: Sequence[StoredFile], place: Path) -> None:
    """Add the files that are not here yet, and put them in the place of those that are damaged here."""
    for file in files:
        _, *names = PurePosixPath(file.path).parts
        if len(names) != 1 or not HASHED_NAME.fullmatch(names[0]):
            continue  # backups of earlier versions hold uploads that were under way, and what was made from the rows
        target = place / names[0]
        if target.is_file() and _is_whole(target, file):
            continue
        place.mkdir(parents=True, exist_ok=True)
        aside = target.with_suffix(UNFINISHED)
        aside.unlink(missing_ok=True)  # what an interrupted restore left
        try:
            _compare(folder, file, copy_file(_there(folder, file), aside, file.path))
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
    if files:
        put_folders_on_disk(place)


def _is_whole(path: Path, saved: StoredFile) -> bool:
    """Whether a file here holds what its name says; of an index, what was saved."""
    here = describe_file(path, saved.path)
    return here.sha256 == path.stem or here == saved


def _checked(folder: Path, files: Sequence[StoredFile]) -> list[Path]:
    for file in files:
        _compare(folder, file, describe_file(_there(folder, file), file.path))
    return [folder / file.path for file in files]


def _there(folder: Path, file: StoredFile) -> Path:
    path = folder / file.path
    if not path.is_file():
        raise BackupError(f"The backup is damaged: {path} is missing. Nothing was changed.")
    return path


def _compare(folder: Path, expected: StoredFile, found: StoredFile) -> None:
    if found != expected:
        raise BackupError(
            f"The backup is damaged: {folder / expected.path} is not what was saved. Nothing was changed."
        )


# ── Putting in force ───────────────────────────────────────────────────────


def _swap(staged_runs: Path | None, database: Database) -> tuple[str, ...]:
    """Put what is ready in force, all or nothing; return where is now what was there before."""
    stamp = time_stamp()
    with ExitStack() as undo:
        if staged_runs:
            kept_runs = _swap_runs(staged_runs, stamp, undo)
        else:
            kept_runs = _put_unknown_aside(database.staged_runs(), stamp, undo)
        kept_database = database.swap(stamp, undo)  # last: it says which runs there are
        undo.pop_all()
    return tuple(place for place in (kept_runs, kept_database) if place)


def _swap_runs(staged: Path, stamp: str, undo: ExitStack) -> str | None:
    runs = _runs_folder()
    kept = _aside(runs, stamp) if _has_files(runs) else None
    if kept:
        _rename(runs, kept, undo)
    _rename(staged, runs, undo)
    put_on_disk(runs.parent)
    return str(kept) if kept else None


def _put_unknown_aside(known: set[int], stamp: str, undo: ExitStack) -> str | None:
    """Move away the folders of runs that the database will not know: it gives their ids to other runs."""
    runs = _runs_folder()
    there = [path for path in runs.iterdir() if path.name.isdecimal()] if runs.exists() else []
    unknown = [path for path in there if int(path.name) not in known]
    if not unknown:
        return None
    kept = _aside(runs, stamp)
    kept.mkdir()
    undo.callback(kept.rmdir)
    for path in unknown:
        _rename(path, kept / path.name, undo)
    for folder in (kept, runs, runs.parent):
        put_on_disk(folder)
    return str(kept)


def _aside(runs: Path, stamp: str) -> Path:
    return runs.with_name(f"{runs.name}.before-restore-{stamp}")


def _rename(source: Path, target: Path, undo: ExitStack) -> None:
    source.rename(target)
    undo.callback(target.rename, source)
