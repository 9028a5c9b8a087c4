"""
What leaves the server as a file: the finished artifacts of a checkpoint, and the rows of a run.

A file goes out only when the artifact's own list names it and it is a plain file inside the
run's folder: no link is followed, and nothing in a request is ever part of a path.
"""

import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from sqlmodel import Session

from app.config import settings
from app.domain.checkpoints import get_artifact
from app.domain.errors import ConflictError, NotFoundError
from app.domain.messages import message
from app.domain.mixes import EARLIER_NAME, rows_file
from app.domain.models import Artifact, ArtifactState
from app.domain.runs import get_run

CHUNK_BYTES = 1 << 20
BLOCK_BYTES = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class DownloadFile:
    """One file of an artifact, checked and ready to be sent."""

    name: str
    path: Path
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Download:
    """All files of a finished artifact."""

    name: str
    """File name without ending, such as `run-7-iter-30-adapter`."""
    files: tuple[DownloadFile, ...]
    made_at: datetime

    def file(self, name: str) -> DownloadFile:
        """Return one of the files; NotFoundError when the artifact has none of this name."""
        for file in self.files:
            if file.name == name:
                return file
        raise NotFoundError(message("This artifact has no file named “{name}”.", name=name))


def open_artifact(session: Session, artifact_id: int) -> Download:
    """
    Find the files of an artifact.

    Raises:
        NotFoundError: there is no such artifact, or a file of it is gone.
        ConflictError: it is not finished.
    """
    artifact = get_artifact(session, artifact_id)
    if artifact.state is not ArtifactState.FINISHED:
        raise ConflictError(message("This artifact is not finished: there is nothing to download yet."))
    checkpoint = artifact.checkpoint
    folder = _folder_of(artifact)
    return Download(
        name=f"run-{checkpoint.run_id}-iter-{checkpoint.iteration}-{artifact.kind}",
        files=tuple(_checked(folder, file["name"], file["size_bytes"], file["sha256"]) for file in artifact.files),
        made_at=artifact.ended_at or artifact.created_at,
    )


def open_rows(session: Session, run_id: int) -> DownloadFile:
    """
    Find the rows that a run is trained on.

    Raises:
        NotFoundError: there is no such run, or its rows are gone.
        ConflictError: it has not started yet.
    """
    run = get_run(session, run_id)
    if not run.mix_sha256:
        raise ConflictError(message("Run {id} has not started yet: its rows are written when it does.", id=run_id))
    for path in (rows_file(run.mix_sha256), settings().run_folder(run_id) / EARLIER_NAME):
        if path.is_file() and not path.is_symlink():
            return DownloadFile(f"run-{run_id}-mix.jsonl", path, path.stat().st_size, run.mix_sha256)
    raise NotFoundError(message("The rows of run {id} are gone.", id=run_id))


def _folder_of(artifact: Artifact) -> Path:
    run_folder = settings().run_folder(artifact.checkpoint.run_id).resolve()
    folder = (run_folder / artifact.folder).resolve()
    if not folder.is_relative_to(run_folder):
        raise NotFoundError(message("The files of this artifact are gone."))
    return folder


def _checked(folder: Path, name: str, size_bytes: int, sha256: str) -> DownloadFile:
    path = folder / name
    is_inside = path.parent == folder and path.resolve() == path  # an absolute name changes the one, a link the other
    if not is_inside or not path.is_file() or path.stat().st_size != size_bytes:
        raise NotFoundError(message("The file “{name}” of this artifact is gone, or is not what was made.", name=name))
    return DownloadFile(name, path, size_bytes, sha256)


def archive_size(download: Download) -> int:
    """Return the bytes that `stream_archive` will yield, so that a browser can show its progress."""
    return sum(len(_header(download, file)) + _padded(file.size_bytes) for file in download.files) + 2 * BLOCK_BYTES


def stream_archive(download: Download) -> Iterator[bytes]:
    """Yield the files as one tar archive, never holding more than a chunk; weights do not compress."""
    for file in download.files:
        yield _header(download, file)
        yield from stream_file(file)
        yield bytes(_padded(file.size_bytes) - file.size_bytes)
    yield bytes(2 * BLOCK_BYTES)


def _header(download: Download, file: DownloadFile) -> bytes:
    info = tarfile.TarInfo(f"{download.name}/{file.name}")
    info.size, info.mode, info.mtime = file.size_bytes, 0o644, int(download.made_at.timestamp())
    return info.tobuf(format=tarfile.PAX_FORMAT)


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def stream_file(file: DownloadFile) -> Iterator[bytes]:
    """Yield exactly the bytes that the header promised; a file that changed meanwhile breaks the transfer off."""
    left = file.size_bytes
    with open_plain_file(file.path) as source:
        while left:
            chunk = source.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise OSError(f"{file.path} became shorter while it was sent")
            left -= len(chunk)
            yield chunk


def open_plain_file(path: Path) -> BinaryIO:
    """Open a file for reading, refusing a link or a device that took its place."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a plain file")
    return os.fdopen(descriptor, "rb")
