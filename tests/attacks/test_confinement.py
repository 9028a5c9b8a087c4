"""A child that has been taken over, and what it can still reach: its own folder and nothing else."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from app.confinement import ConfinementError, Holding, Reach, command_for, holding, says
from tests.conftest import ROOT
from worker.children import PRIVATE, child_environment

pytestmark = pytest.mark.skipif(not holding().is_whole, reason=f"this system cannot confine: {holding()}")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return the folder that the child may write to."""
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def attempt(own: Path, what: str, argument: object = "", *, reads: tuple[str, ...] = ()) -> str:
    """Let a confined child try something; return what came of it."""
    reach = Reach(reads=reads, writes=(str(own),))
    command = command_for("tests.attacks.probes", [what, str(argument)], reach=reach, demand="required")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=own, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() or done.stderr


def test_a_child_writes_to_its_own_folder_alone(own: Path, tmp_path: Path) -> None:
    """26: A pickle that runs code could not leave a file anywhere else; nor by a program, nor by moving one."""
    outside = tmp_path / "outside"

    tried = {what: attempt(own, what, outside) for what in ("write", "by_a_child", "in_another_folder")}

    assert tried == {
        "write": "PermissionError",
        "by_a_child": "CalledProcessError",
        "in_another_folder": "PermissionError",
    }
    assert not outside.exists()
    assert attempt(own, "write", own / "inside") == "done"


def test_a_child_reads_what_it_is_given(own: Path, tmp_path: Path) -> None:
    """44: The token and the database of a home, the secrets of the system: none of them is."""
    secret, given = tmp_path / "token", tmp_path / "model"
    for path in (secret, given):
        path.write_text("x")

    assert attempt(own, "read", secret) == "PermissionError"
    assert attempt(own, "read", "/etc/shadow") == "PermissionError"
    assert attempt(own, "read", given, reads=(str(given),)) == "done"
    assert attempt(own, "write", given, reads=(str(given),)) == "PermissionError"


def test_nobody_is_led_elsewhere_by_what_a_child_leaves(own: Path) -> None:
    """20: It can make no link, no pipe and no device: who reads in its folder finds files."""
    for what in ("link", "pipe", "device"):
        assert attempt(own, what, own / "trap") == "PermissionError"
    assert list(own.iterdir()) == []


def test_a_child_opens_no_socket(own: Path, tmp_path: Path) -> None:
    """29: To no network, to no other program, by no other name of the same."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as named:
        port = server.getsockname()[1]
        named.bind(str(tmp_path / "queue.sock"))
        named.listen()
        tries = {
            "connect": port,
            "listen": "",
            "datagram": port,
            "abstract": "temper",
            "unix": tmp_path / "queue.sock",
            "ring": "",
        }
        assert {what: attempt(own, what, at) for what, at in tries.items()} == dict.fromkeys(tries, "PermissionError")


def test_a_child_reaches_no_other_process(own: Path) -> None:
    """29: It cannot signal who started it, and not read what that knows."""
    assert attempt(own, "signal_parent", os.getpid()) == "PermissionError"
    assert attempt(own, "environment_of", os.getpid()) == "PermissionError"


def test_what_training_needs_is_there(own: Path) -> None:
    """Shared memory for batches, and random numbers."""
    assert attempt(own, "shared_memory") == "done"
    assert attempt(own, "read", "/proc/cpuinfo") == "done"


def test_where_it_is_required_nothing_starts_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """29: And what holds is said in words."""
    partly = Holding(files=False, network=True, others=False)
    monkeypatch.setattr("app.confinement.holding", lambda: partly)

    with pytest.raises(ConfinementError, match="files confined: NO, network closed: yes, signals confined: NO"):
        command_for("x", [], reach=Reach(), demand="required")
    assert says("auto") == "confinement: files confined: NO, network closed: yes, signals confined: NO"
    assert says("off") == "confinement: off"


def test_a_child_knows_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """44: Of the environment it gets a list of names; no database, queue, token or proxy is on it."""
    secrets = (
        *("TEMPER_DATABASE_URL", "TEMPER_REDIS_URL", "TEMPER_TOKEN", "TEMPER_HOME", "HF_TOKEN", "WANDB_API_KEY"),
        *("HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "PGPASSWORD", "SSH_AUTH_SOCK"),
    )
    for name in secrets:
        monkeypatch.setenv(name, "sesame")

    environment = child_environment(None, private=tmp_path / PRIVATE)

    assert "sesame" not in environment.values()
    assert environment["HF_HUB_OFFLINE"] == environment["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
    assert environment["HOME"] == str(tmp_path / PRIVATE)
