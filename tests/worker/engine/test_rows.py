"""Rows as the trainer reads them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine

READ = "import json, sys; from worker.engine.rows import load_rows; print(json.dumps(load_rows(sys.argv[1])[:]))"


def test_texts_stay_what_they_are(tmp_path: Path) -> None:
    """A file whose every text looks like a date holds texts, not times."""
    turn = {"system": "", "input": "2024-01-01", "output": "2024-01-01 10:00:00", "output_with_loss": True}
    rows = [{"conversation": [turn]}, {"conversation": [turn, turn | {"output_with_loss": False}]}]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"HOME": str(tmp_path)})

    assert json.loads(done.stdout.splitlines()[-1]) == {"conversation": [row["conversation"] for row in rows]}
