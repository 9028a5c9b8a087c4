"""Checkpoints as a way in: a pickle that runs code, a config that is run, an old format that is all pickle."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.domain.models import ReasonKind
from app.domain.reasons import artifact_reason_text, reason_text
from tests.conftest import ROOT
from worker.children import PRIVATE, child_environment
from worker.engine.resume import Candidate, Resumption, hash_checkpoint, state_file, weights_file

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Have every unsafe checkpoint read in every way, in one process."""
    folder = tmp_path_factory.mktemp("unsafe")
    command = [sys.executable, "-m", "tests.attacks.unsafe_checkpoints", str(folder)]
    (folder / PRIVATE / "tmp").mkdir(parents=True)
    environment = child_environment(None, private=folder / PRIVATE) | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_pickle_in_a_checkpoint_is_never_run(tried: dict[str, Any]) -> None:
    """26: Converted, merged, asked or resumed from: nothing of it runs, whatever a library's own flag says."""
    said = {name: reason for name, reason in tried["said"].items() if not name.startswith("tar")}

    assert said == dict.fromkeys(said, "unsafe-checkpoint")
    assert not tried["canary"]


def test_it_is_called_unsafe_in_words() -> None:
    """26: Of a run and of an artifact."""
    for text in (reason_text, artifact_reason_text):
        assert "unsafe checkpoint" in str(text(ReasonKind.UNSAFE_CHECKPOINT))


def test_a_config_in_a_checkpoint_is_not_run(tried: dict[str, Any]) -> None:
    """27: It is taken out before mmengine, which would run it to compare it, sees it."""
    assert tried["meta"] == {"iter": 2}
    assert not tried["canary"]


def test_the_old_format_is_refused(tried: dict[str, Any]) -> None:
    """28: A tar archive is unpickled whole, so it is not read at all."""
    said = {name: reason for name, reason in tried["said"].items() if name.startswith("tar")}

    assert said == dict.fromkeys(said, "unsafe-checkpoint")
    assert not tried["canary"]


def test_a_run_goes_on_from_nothing_but_what_it_wrote(tmp_path: Path) -> None:
    """26: A file that was put in the place of a checkpoint has another hash, and is passed over unread."""
    for file in (weights_file(tmp_path, 5), state_file(tmp_path, 5)):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"written")
    written = Candidate(5, hash_checkpoint(tmp_path, 5))
    weights_file(tmp_path, 5).write_bytes(b"\x80\x04malicious")
    resumption = Resumption()

    resumption.choose(tmp_path, [written])

    assert (resumption.iteration, [each.iteration for each in resumption.damaged]) == (0, [5])
