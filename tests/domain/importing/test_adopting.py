"""Taking adapters over: the engine's child is held as a trainer is, and told no more than one."""

import json
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from app import confinement
from app.config import settings
from app.confinement import Holding
from app.domain.importing import adopting
from tests.conftest import ROOT, forget_settings

JOB = {"folder": "/imports/train", "base": "base", "checkpoints": []}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, home: Path) -> list[Any]:
    """Start nothing; keep each command with what it would have been started with."""
    found: list[Any] = []

    def run(command: list[str], **given: Any) -> CompletedProcess[bytes]:
        assert Path(given["env"]["HOME"]).is_dir()
        found.append((command, given))
        return CompletedProcess(command, 0, b"{}", b"")

    monkeypatch.setattr("app.domain.importing.adopting.subprocess.run", run)
    return found


def test_the_engine_is_held_to_its_reach(asked: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It reads the folder and the base model, writes to the run's folder, and knows neither home nor secrets."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("TEMPER_OIDC_CLIENT_SECRET", "secret")

    assert adopting._run_engine(7, JOB, reads=("/imports/train", str(tmp_path))) == {}

    (command, given), folder = asked[0], settings().run_folder(7)
    assert command[:5] == [sys.executable, "-P", "-m", "app.confined", command[4]]
    assert json.loads(command[4]) == {
        "reads": ["/imports/train", str(tmp_path)], "writes": [str(folder)], "uses_gpu": False}  # fmt: skip
    assert command[5:] == [settings().engine, "adopt", str(folder / "adopt.json")]
    assert given["env"]["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
    assert Path(given["env"]["HOME"]).parent == folder
    assert "TEMPER_OIDC_CLIENT_SECRET" not in given["env"]
    assert [each.name for each in folder.iterdir()] == ["adopt.json"]


def test_nothing_is_started_where_it_must_be_held_and_cannot_be(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`required` counts here too, and the notes of the run say so."""
    monkeypatch.setenv("TEMPER_CONFINE", "required")
    forget_settings()
    monkeypatch.setattr(confinement, "holding", lambda: Holding(files=False, network=True, others=True))

    said = adopting._run_engine(7, JOB, reads=())

    assert "TEMPER_CONFINE" in said[""]
    assert asked == []


@pytest.mark.skipif(not confinement.holding().files, reason="this system confines no files")
def test_a_held_engine_answers_and_reads_nothing_else(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A real child: what it was given it can read, a file beside that it cannot."""
    monkeypatch.setenv("TEMPER_ENGINE", "tests.adopting_engine")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    forget_settings()
    adapter = settings().run_folder(7) / "adapters" / "iter_1"
    outside = tmp_path / "elsewhere" / "iter_2"

    good = adopting._run_engine(7, {"checkpoints": [{"iteration": 1, "adapter": str(adapter)}]}, reads=())
    bad = adopting._run_engine(7, {"checkpoints": [{"iteration": 2, "adapter": str(outside)}]}, reads=())

    assert good == {"1": ""}
    assert (adapter / "adapter_model.safetensors").is_file()
    assert "PermissionError" in bad[""]
    assert not outside.exists()
