"""What a backup says of itself: `manifest.json`, written last and believed only as far as its hashes hold."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, NonNegativeInt, ValidationError

NAME = "manifest.json"
DATABASE, RUNS = "database", "runs"
MIXES, DATASETS = "mixes", "datasets"
HASHED = (MIXES, DATASETS)  # folders whose files are named by what they hold, and never change
DatabaseKind = Literal["sqlite", "postgresql"]


class BackupError(Exception):
    """A backup cannot be made or restored; the text says why."""


def _stays_inside(path: str) -> str:
    """Refuse a path that is not of a file under the backup's folders."""
    folder, *names = PurePosixPath(path).parts or ("",)
    is_plain = str(PurePosixPath(path)) == path and ".." not in names and "\0" not in path
    if not is_plain or not names or folder not in {DATABASE, RUNS, *HASHED}:
        raise ValueError(f"{path!r} leads out of the backup")
    return path


class StoredFile(BaseModel):
    """One file of a backup, as it was copied."""

    model_config = ConfigDict(frozen=True)

    path: Annotated[str, AfterValidator(_stays_inside)]
    size_bytes: NonNegativeInt
    sha256: str


class Manifest(BaseModel):
    """Everything a backup holds, and what it was made of."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    temper: str
    """Version of Temper that made it."""
    revision: str
    """Schema of the database."""
    made_at: AwareDatetime
    database: DatabaseKind
    has_runs: bool
    """Whether the folders of the runs are in it; the backup before an upgrade holds the database alone."""
    files: tuple[StoredFile, ...]

    @property
    def size_bytes(self) -> int:
        """Size of everything that it lists."""
        return sum(file.size_bytes for file in self.files)

    def files_in(self, folder: str) -> list[StoredFile]:
        """Return the files of one of the backup's folders."""
        return [file for file in self.files if PurePosixPath(file.path).parts[0] == folder]


def make_manifest(kind: DatabaseKind, revision: str, files: Sequence[StoredFile], *, has_runs: bool) -> Manifest:
    """Describe a backup that is made now by this version."""
    return Manifest(
        temper=version("temper"),
        revision=revision,
        made_at=datetime.now(UTC),
        database=kind,
        has_runs=has_runs,
        files=tuple(files),
    )


def read_manifest(folder: Path) -> Manifest:
    """
    Read what a backup says of itself.

    Raises:
        BackupError: There is no backup, or it says something that no backup says.
    """
    try:
        return Manifest.model_validate_json((folder / NAME).read_bytes())
    except FileNotFoundError:
        raise BackupError(f"{folder} is not a backup: it has no {NAME}.") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise BackupError(
            f"{folder / NAME} cannot be used: {where + ': ' if where else ''}{problem['msg']}."
        ) from error
