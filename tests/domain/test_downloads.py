"""Files of artifacts: what leaves the server, and what never does."""

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from app.config import settings
from app.domain.downloads import archive_size, open_artifact, stream_archive, stream_file
from app.domain.errors import ConflictError, NotFoundError
from app.domain.models import Artifact, ArtifactKind, ArtifactState
from app.domain.runs import id_of
from tests.factories import make_checkpoint

CONTENT = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights" * 999}


def make_artifact(session: Session, *, folder: str = "artifacts/1", **changes: Any) -> Artifact:
    """Store a finished adapter whose files are there."""
    checkpoint = make_checkpoint(session)
    place = settings().runs_folder / str(checkpoint.run_id) / "artifacts" / "1"
    place.mkdir(parents=True)
    for name, content in CONTENT.items():
        (place / name).write_bytes(content)
    files = [
        {"name": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in CONTENT.items()
    ]
    fields: dict[str, Any] = {"state": ArtifactState.FINISHED, "folder": folder, "files": files}
    artifact = Artifact(checkpoint_id=id_of(checkpoint), kind=ArtifactKind.ADAPTER, **(fields | changes))
    session.add(artifact)
    session.commit()
    return artifact


def folder_of(artifact: Artifact) -> Path:
    """Return where an artifact's files are."""
    return settings().runs_folder / str(artifact.checkpoint.run_id) / "artifacts" / "1"


def test_files_come_as_they_are(session: Session) -> None:
    """Each file is sent byte for byte."""
    download = open_artifact(session, make_artifact(session).id or 0)

    assert {file.name: b"".join(stream_file(file)) for file in download.files} == CONTENT


def test_an_archive_holds_all_files(session: Session) -> None:
    """The archive has the size that was announced, and unpacks to the files."""
    download = open_artifact(session, make_artifact(session).id or 0)

    data = b"".join(stream_archive(download))

    assert len(data) == archive_size(download)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        unpacked = {Path(info.name).name: archive.extractfile(info).read() for info in archive}
    assert unpacked == CONTENT


def test_what_is_not_finished_cannot_be_taken(session: Session) -> None:
    """An artifact that is still being made is a conflict."""
    artifact = make_artifact(session, state=ArtifactState.RUNNING)

    with pytest.raises(ConflictError):
        open_artifact(session, artifact.id or 0)


@pytest.mark.parametrize("name", ["../../../temper.db", "/etc/passwd", "..", "."])
def test_a_file_outside_the_folder_is_never_opened(session: Session, name: str) -> None:
    """A name in the list that leads out of the folder is refused, even if the file is there."""
    (settings().home / "temper.db").touch()
    files = [{"name": name, "size_bytes": 0, "sha256": ""}]
    artifact = make_artifact(session, files=files)

    with pytest.raises(NotFoundError):
        open_artifact(session, artifact.id or 0)


@pytest.mark.parametrize("folder", ["..", "../..", "/etc"])
def test_a_folder_outside_the_run_is_never_opened(session: Session, folder: str) -> None:
    """A folder that leads out of the run's is refused."""
    artifact = make_artifact(session, folder=folder, files=[])

    with pytest.raises(NotFoundError):
        open_artifact(session, artifact.id or 0)


def test_a_link_is_not_followed(session: Session, tmp_path: Path) -> None:
    """A link in the place of a file is refused, though its target has the right size."""
    artifact = make_artifact(session)
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT["adapter_config.json"])
    planted = folder_of(artifact) / "adapter_config.json"
    planted.unlink()
    planted.symlink_to(secret)

    with pytest.raises(NotFoundError):
        open_artifact(session, artifact.id or 0)


def test_a_link_planted_after_the_look_is_not_followed(session: Session, tmp_path: Path) -> None:
    """A file that becomes a link between the check and the sending breaks the transfer off."""
    artifact = make_artifact(session)
    file = open_artifact(session, artifact.id or 0).file("adapter_config.json")
    file.path.unlink()
    file.path.symlink_to(tmp_path)

    with pytest.raises(OSError, match="symbolic"):
        list(stream_file(file))


def test_a_file_that_changed_is_not_sent(session: Session) -> None:
    """A file of another size than was made is not what was made."""
    artifact = make_artifact(session)
    (folder_of(artifact) / "adapter_config.json").write_bytes(b"{ }")

    with pytest.raises(NotFoundError):
        open_artifact(session, artifact.id or 0)
