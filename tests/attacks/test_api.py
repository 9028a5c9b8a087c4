"""The API as a whole: every operation asked by schemathesis, a little of it here and all of it in `make security`."""

import subprocess
import sys

from tests.attacks.api_fuzz import ROOT


def test_a_little_of_every_operation_finds_nothing() -> None:
    """With an admin's token and without: no 5xx, nothing that is not described, no authorisation ignored."""
    command = [sys.executable, "-m", "tests.attacks.api_fuzz", "--examples", "1", "--phases", "fuzzing"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" generated") == 2
