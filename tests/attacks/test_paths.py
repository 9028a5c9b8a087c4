"""Names that lead elsewhere: in addresses, in links that a run leaves, in a model's folder."""

import os
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from app.config import settings
from app.domain.beneath import append_beneath, make_beneath, open_beneath, read_beneath, write_beneath
from app.domain.downloads import open_artifact
from app.domain.errors import InvalidError, NotFoundError
from app.domain.models import Artifact, ArtifactKind, ArtifactState, RunState
from app.domain.registry import look_at
from app.domain.runs import id_of
from tests.factories import attempt_of, make_checkpoint, make_run
from tests.model_folders import make_model_folder
from worker.children import Place, start_child
from worker.gpus import Device
from worker.preparing import AttemptFolder, prepare

SECRET = "root-secret-4711"
ELSEWHERE = (
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc/passwd",
    "%252e%252e%252fetc%252fpasswd",
    "..\\..\\etc\\passwd",
    "/etc/passwd",
    "//etc/passwd",
    "%00",
    "a%00.css",
    "x" * 5_000,
    "..;/etc/passwd",
    "....//....//etc/passwd",
)


@pytest.mark.parametrize("start", ["/static/", "/runs/", "/api/v1/runs/", "/api/v1/artifacts/1/files/", "/models/"])
def test_an_address_opens_no_other_file(client: Any, session: Session, start: str) -> None:
    """19: However the way out is written, there is nothing there."""
    for name in ELSEWHERE:
        reply = client.get(start + name)
        assert reply.status_code in {303, 307, 400, 404, 405, 414}, (start + name, reply.status_code)
        assert "root:" not in reply.text


def test_an_artifact_s_list_names_no_file_outside(session: Session, secret: Path) -> None:
    """19: What an engine wrote down as a file's name is looked at as any other: up, from the root, through a link."""
    run = make_run(session, state=RunState.FINISHED)
    checkpoint = make_checkpoint(session, run, iteration=5)
    folder = settings().run_folder(id_of(run)) / "artifacts" / "1"
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(secret)
    up = os.path.relpath(secret, folder)

    for name in (up, str(secret), "link"):
        file = {"name": name, "size_bytes": len(SECRET), "sha256": "a" * 64}
        artifact = Artifact(
            checkpoint_id=checkpoint.id or 0,
            kind=ArtifactKind.ADAPTER,
            state=ArtifactState.FINISHED,
            folder="artifacts/1",
            files=[file],
        )
        session.add(artifact)
        session.commit()
        with pytest.raises(NotFoundError):
            open_artifact(session, artifact.id or 0)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Return a file that nobody may read or write."""
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


def test_a_link_that_a_run_left_is_not_followed(client: Any, session: Session, secret: Path) -> None:
    """20: Its log, its config, its rows: where a link stands in their place, there is nothing."""
    run = make_run(session, state=RunState.FINISHED)
    run.attempt, run.mix_sha256 = 1, "a" * 64
    session.add(run)
    folder = settings().run_folder(id_of(run))
    (folder / "attempts" / "1").mkdir(parents=True)
    for name in ("attempts/1/trainer.log", "config.py", "mix.jsonl", "versions.json"):
        (folder / name).symlink_to(secret)

    for path in ("", "/log", "/config", "/config.py"):
        assert SECRET not in client.get(f"/runs/{run.id}{path}").text
    for path in ("log", "mix", "answers"):
        assert SECRET not in client.get(f"/api/v1/runs/{run.id}/{path}").text


def test_a_folder_that_is_a_link_is_not_entered(client: Any, session: Session, secret: Path) -> None:
    """20: Neither is one on the way to the log."""
    run = make_run(session, state=RunState.FINISHED)
    run.attempt = 1
    session.add(run)
    folder = settings().run_folder(id_of(run))
    folder.mkdir(parents=True)
    (secret.parent / "1").mkdir()
    (secret.parent / "1" / "trainer.log").write_text(SECRET)
    (folder / "attempts").symlink_to(secret.parent)

    assert SECRET not in client.get(f"/runs/{run.id}").text
    assert client.get(f"/runs/{run.id}/log").status_code == 404


def test_a_worker_writes_through_no_link(session: Session, secret: Path) -> None:
    """20: What a trainer left in the place of its config and recipe is replaced, and what it led to stays."""
    run = make_run(session, state=RunState.RUNNING)
    attempt = AttemptFolder(id_of(run), attempt_of(session, run).id or 0, 1)
    attempt.run_folder.mkdir(parents=True)
    for name in ("config.py", "recipe.json", "versions.json", ".config.py.part"):
        (attempt.run_folder / name).symlink_to(secret)

    prepare(attempt, Device("cpu", "cpu-0", "CPU"))

    assert secret.read_text() == SECRET
    assert not (attempt.run_folder / "config.py").is_symlink()


def test_a_log_is_not_written_through_a_link(home: Path, secret: Path) -> None:
    """20: A child is not started where a link stands in the place of its log."""
    from app.confinement import Reach

    (home / "log").symlink_to(secret)

    with pytest.raises(OSError, match="symbolic links"):
        start_child(["train"], place=Place(home, home / "log", Reach(writes=(str(home),))), device=None)
    assert secret.read_text() == SECRET


def test_files_beneath_a_folder_are_beneath_it(tmp_path: Path, secret: Path) -> None:
    """20: No link, no pipe, no device, no way up: neither at the end nor in the middle."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(secret)
    (root / "up").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")

    for name in ("link", "up/secret", "../secret", "pipe"):
        with pytest.raises(OSError, match=r".+"):
            os.close(open_beneath(root, root / name))
    with pytest.raises(OSError, match="symbolic links"):
        append_beneath(root, root / "link")
    with pytest.raises(OSError, match="must be"):
        make_beneath(root, root / "up" / "new")
    write_beneath(root, root / "link", "own")
    with read_beneath(root, root / "link") as file:
        assert (secret.read_text(), file.read()) == (SECRET, b"own")


@pytest.mark.parametrize("place", ["/proc/self", "/proc/self/environ", "/dev", "/dev/zero", "/sys", "/etc/passwd"])
def test_a_place_of_the_system_is_no_model(place: str) -> None:
    """21: Neither a folder of the kernel nor a device or file of it."""
    with pytest.raises(InvalidError, match="source"):
        look_at(place)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "tokenizer_config.json", "x"])
@pytest.mark.parametrize("kind", ["pipe", "zero", "environ", "outside", "nowhere"])
def test_a_file_of_a_model_is_a_file(tmp_path: Path, secret: Path, name: str, kind: str) -> None:
    """21: A pipe would never end, /dev/zero never be full, and a link could show what is elsewhere: each is refused."""
    folder = make_model_folder(tmp_path / "model")
    (folder / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        targets: dict[str, str | Path] = {
            "zero": "/dev/zero",
            "environ": "/proc/self/environ",
            "outside": secret,
            "nowhere": "/none",
        }
        (folder / name).symlink_to(targets[kind])

    with pytest.raises(InvalidError, match="source"):
        look_at(str(folder))


def test_the_hub_s_own_links_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """21: A snapshot is links into the cache's store, beside it; no further."""
    repository = tmp_path / "hub" / "models--owner--name"
    snapshot = make_model_folder(repository / "snapshots" / "abc")
    (repository / "blobs").mkdir()
    (snapshot / "config.json").rename(repository / "blobs" / "1")
    (snapshot / "config.json").symlink_to("../../blobs/1")

    assert look_at(str(snapshot)).facts.parameters == 12


def test_no_path_comes_in_as_a_dataset(api: Any, session: Session) -> None:
    """21: Rows are sent; a recipe names a saved set by its hash, and nothing else."""
    from tests.factories import make_recipe_data

    for path in ("/proc/self/environ", "/dev/zero", "../../etc/passwd", "file:///etc/passwd"):
        files = {"mix": {"files": [{"dataset": path, "sha256": path}]}}
        reply = api.post("/api/v1/runs", json=make_recipe_data(**files))
        assert reply.status_code == 422
