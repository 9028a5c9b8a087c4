"""The API as a whole: every operation asked by schemathesis, a little of it here and all of it in `make security`."""

import subprocess
import sys

from tests.attacks.api_fuzz import ROOT, WAYS_IN

PARTS = 2 + len(WAYS_IN)  # with a token, without one, and what may end the token that asks


def test_a_little_of_every_operation_finds_nothing() -> None:
    """With an admin's token and without: no 5xx, nothing that is not described, no authorisation ignored."""
    command = [sys.executable, "-m", "tests.attacks.api_fuzz", "--examples", "1", "--phases", "fuzzing"]
    command += ["--database", "postgres"]  # the stricter of the two; most other tests of the API use SQLite

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": exit 0") == PARTS
