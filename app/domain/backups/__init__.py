"""Backups: the database and the folders of the runs, copied while Temper runs and put back whole."""

from app.domain.backups.making import Backup, make_backup, time_stamp
from app.domain.backups.manifest import BackupError, Manifest
from app.domain.backups.restoring import Restored, restore_backup

__all__ = ["Backup", "BackupError", "Manifest", "Restored", "make_backup", "restore_backup", "time_stamp"]
