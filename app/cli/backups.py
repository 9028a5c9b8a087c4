"""Backups: save what Temper holds, and put it back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from app.cli.here import here
from app.cli.listings import plain
from app.cli.output import AsJson, console, fail, size, write_json
from app.config import settings
from app.domain import audit
from app.domain.backups import BackupError, Manifest, make_backup, restore_backup, time_stamp
from app.domain.migrate import SchemaError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backup")(here(backup))
    app.command("restore")(here(restore))


@contextmanager
def _telling_failures() -> Iterator[None]:
    try:
        yield
    except (BackupError, SchemaError) as error:
        fail(str(error))


def backup(
    folder: Annotated[Path | None, typer.Argument(help="A new folder; one in TEMPER_HOME/backups if left out.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Save the database and the folders of the runs, also while Temper runs."""
    with _telling_failures():
        made = make_backup(folder or settings().home / "backups" / time_stamp())
    if as_json:
        write_json({"folder": str(made.folder), **_facts(made.manifest)})
    else:
        console().print(plain(f"Saved {_words(made.manifest)} in {made.folder}"), soft_wrap=True)


def restore(
    folder: Annotated[Path, typer.Argument(help="What `temper backup` made.")],
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Also where there are runs; they are put aside.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup in force; what was there before is kept aside."""
    with _telling_failures():
        restored = restore_backup(folder, replace=replace)
    with audit.changing("database.restore"):  # in the database that is in force now
        audit.note("backup", restored.folder.name, made_at=restored.manifest.made_at)
    if as_json:
        write_json({"folder": str(restored.folder), **_facts(restored.manifest), "kept": restored.kept})
        return
    console().print(plain(f"Restored {_words(restored.manifest)} from {restored.folder}"), soft_wrap=True)
    for place in restored.kept:
        console().print(plain(f"What was there before is in {place}"), soft_wrap=True)


def _facts(manifest: Manifest) -> dict[str, object]:
    return {
        "temper": manifest.temper,
        "revision": manifest.revision,
        "made_at": manifest.made_at.isoformat(),
        "database": manifest.database,
        "has_runs": manifest.has_runs,
        "files": len(manifest.files),
        "size_bytes": manifest.size_bytes,
    }


def _words(manifest: Manifest) -> str:
    what = "the database and the runs" if manifest.has_runs else "the database"
    return f"{what} ({len(manifest.files)} files, {size(manifest.size_bytes)}, schema {manifest.revision})"
