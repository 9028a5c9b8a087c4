"""Adapters and merged models over the REST API."""

import hashlib
import io
import json
import tarfile

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from sqlmodel import Session

from app.config import settings
from app.domain.columns import utc_now
from app.domain.models import Artifact, ArtifactKind, ArtifactState, ReasonKind, RunState
from app.domain.runs import id_of
from tests.factories import make_checkpoint, make_run

CONTENT = {"adapter_config.json": b"{}", "adapter_model.safetensors": bytes(range(256)) * 4_000}


def make_finished(session: Session) -> Artifact:
    """Store a finished adapter with its files."""
    checkpoint = make_checkpoint(session)
    folder = settings().runs_folder / str(checkpoint.run_id) / "artifacts" / "1"
    folder.mkdir(parents=True)
    files = []
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
        files.append({"name": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    artifact = Artifact(
        checkpoint_id=id_of(checkpoint),
        kind=ArtifactKind.ADAPTER,
        state=ArtifactState.FINISHED,
        folder="artifacts/1",
        files=files,
        size_bytes=sum(map(len, CONTENT.values())),
    )
    session.add(artifact)
    session.commit()
    return artifact


@pytest.mark.parametrize(("action", "kind"), [("convert", "adapter"), ("merge", "merged")])
def test_an_artifact_is_asked_for(
    api: TestClient, session: Session, redis_server: Redis, *, action: str, kind: str
) -> None:
    """Asking answers at once with where to look, and asking twice makes one."""
    checkpoint = make_checkpoint(session)

    first, second = (api.post(f"/api/v1/checkpoints/{checkpoint.id}/{action}") for _ in range(2))

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert (first.json()["kind"], first.json()["state"]) == (kind, "queued")
    assert api.get(first.headers["location"]).json() == first.json()
    tasks = [json.loads(sent)["headers"]["task"] for sent in redis_server.lrange("celery", 0, -1)]
    assert tasks == [f"checkpoints.{action}"]


def test_the_base_model_has_nothing_to_convert(api: TestClient, session: Session) -> None:
    """Iteration 0, and a checkpoint whose files are deleted, are conflicts."""
    run = make_run(session, state=RunState.RUNNING)
    base = make_checkpoint(session, run, iteration=0)
    deleted = make_checkpoint(session, run, iteration=5, deleted_at=utc_now())

    for checkpoint in (base, deleted):
        reply = api.post(f"/api/v1/checkpoints/{checkpoint.id}/convert")
        assert (reply.status_code, reply.json()["error"]["kind"]) == (409, "conflict")


def test_a_file_is_downloaded(api: TestClient, session: Session) -> None:
    """One file comes byte for byte, uncompressed, with its hash as its tag."""
    artifact = make_finished(session)
    shown = api.get(f"/api/v1/artifacts/{artifact.id}").json()

    for file in shown["files"]:
        reply = api.get(f"/api/v1/artifacts/{artifact.id}/download", params={"file": file["name"]})
        assert reply.content == CONTENT[file["name"]]
        assert hashlib.sha256(reply.content).hexdigest() == file["sha256"]
        assert reply.headers["etag"] == f'"{file["sha256"]}"'
        assert reply.headers["content-length"] == str(file["size_bytes"])
        assert reply.headers["content-disposition"] == f'attachment; filename="{file["name"]}"'


def test_a_part_of_a_file_is_downloaded(api: TestClient, session: Session) -> None:
    """A transfer that broke off can go on."""
    artifact = make_finished(session)
    path = f"/api/v1/artifacts/{artifact.id}/download?file=adapter_model.safetensors"

    reply = api.get(path, headers={"Range": "bytes=1000-1999"})
    absurd = api.get(path, headers={"Range": "bytes=" + ",".join(["0-"] * 10_000)})

    assert (reply.status_code, reply.content) == (206, CONTENT["adapter_model.safetensors"][1000:2000])
    beyond = api.get(path, headers={"Range": "bytes=99999999-"})

    assert absurd.status_code in {200, 206, 400, 416, 431}
    assert (beyond.status_code, beyond.json()["error"]["kind"]) == (416, "bad_range")


def test_all_files_are_downloaded_as_one(api: TestClient, session: Session) -> None:
    """Without a name all files come as one archive of the announced size."""
    reply = api.get(f"/api/v1/artifacts/{make_finished(session).id}/download")

    assert reply.headers["content-length"] == str(len(reply.content))
    with tarfile.open(fileobj=io.BytesIO(reply.content)) as archive:
        assert {info.name.rpartition("/")[2]: info.size for info in archive} == {
            name: len(content) for name, content in CONTENT.items()
        }


@pytest.mark.parametrize("name", ["nothing", "../../../temper.db", "/etc/passwd", "adapter_config.json/", "x" * 300])
def test_no_other_file_is_downloaded(api: TestClient, session: Session, name: str) -> None:
    """A name that is not in the artifact's list is refused."""
    reply = api.get(f"/api/v1/artifacts/{make_finished(session).id}/download", params={"file": name})

    assert reply.status_code in {404, 422}


def test_a_failed_artifact_says_why(api: TestClient, session: Session) -> None:
    """A failure has its sentence, and nothing to download."""
    artifact = make_finished(session)
    artifact.state, artifact.reason = ArtifactState.FAILED, ReasonKind.DISK_FULL
    session.add(artifact)
    session.commit()

    assert api.get(f"/api/v1/artifacts/{artifact.id}").json()["reason_message"].startswith("The disk is full.")
    assert api.get(f"/api/v1/artifacts/{artifact.id}/download").status_code == 409
