"""Upgrading the database of the settings: what it was is saved first."""

import shutil

from app.config import settings
from app.domain.backups import Backup, BackupError, make_backup, time_stamp
from app.domain.migrate import SchemaError, upgrade

KEPT = 5  # of the backups made here; whoever wants others asks for them


class UpgradeError(Exception):
    """The database is as it was; the text says why."""


def upgrade_database() -> Backup | None:
    """
    Bring the database to the tables of this version; return the backup of what it was, if that differed.

    Raises:
        UpgradeError: It is of a newer Temper, or cannot be saved first.
    """
    made: list[Backup] = []
    settings().home.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        upgrade(settings().database, before=lambda revision: made.append(_save(revision)))
    except SchemaError as error:
        raise UpgradeError(str(error)) from error
    except BackupError as error:
        raise UpgradeError(f"The database was not upgraded, since it cannot be saved first. {error}") from error
    return made[0] if made else None


def _save(revision: str) -> Backup:
    folder = settings().home / "backups" / f"before-{revision}-{time_stamp()}"
    backup = make_backup(folder, with_runs=False)
    _forget_old()
    return backup


def _forget_old() -> None:
    """Delete all but the newest of the backups made here."""
    made = (settings().home / "backups").glob("before-*-*Z")
    for folder in sorted(made, key=lambda folder: folder.name.rpartition("-")[2])[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)  # what cannot be deleted is no reason not to upgrade
