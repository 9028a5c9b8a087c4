"""`temper backup` and `temper restore`, as they are typed."""

import fcntl
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select
from typer.testing import CliRunner, Result

from app.cli import app
from app.domain import db
from app.domain.models import Run
from tests.conftest import forget_settings
from tests.factories import make_run


@pytest.fixture
def full(session: Session, home: Path) -> Path:
    """Fill the home with a run and a file of it; nobody has the database open."""
    make_run(session, name="saved")
    (home / "runs" / "1").mkdir(parents=True)
    (home / "runs" / "1" / "events.jsonl").write_text("{}\n")
    session.close()
    session.get_bind().dispose()
    forget_settings()
    return home


def temper(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, list(map(str, arguments)))


def read(*arguments: object) -> Any:
    """Run the command with `--json`; return what it wrote."""
    result = temper(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def names() -> list[str]:
    """Return the names of the runs in the database."""
    with db.reading() as session:
        found = [run.name for run in session.exec(select(Run))]
    forget_settings()
    return found


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_each_command_has_help_and_json(command: str) -> None:
    """Each says what it does, and can write JSON."""
    shown = temper(command, "--help")

    assert shown.exit_code == 0
    assert "--json" in shown.stdout


def test_a_backup_goes_into_the_home_and_comes_back(full: Path) -> None:
    """Without a folder it goes under the home by its time; all of it comes back, and what was there is told."""
    made = read("backup")
    with db.unit_of_work() as session:
        session.exec(select(Run)).one().name = "changed"
    forget_settings()
    (full / "runs" / "1" / "events.jsonl").unlink()

    restored = read("restore", made["folder"], "--replace")

    assert Path(made["folder"]).parent == full / "backups"
    assert (made["files"], made["has_runs"], made["database"]) == (2, True, "sqlite")
    assert names() == ["saved"]
    assert (full / "runs" / "1" / "events.jsonl").read_text() == "{}\n"
    assert all(Path(place).exists() for place in restored["kept"])
    assert len(restored["kept"]) == 2
    assert [entry["action"] for entry in read("audit")] == ["database.restore"]


def test_people_read_where_it_is(full: Path, tmp_path: Path) -> None:
    """Without `--json` sentences name the folders."""
    folder = tmp_path / "on another disk" / "backup"

    saved = temper("backup", folder)
    restored = temper("restore", folder, "--replace")

    assert saved.stdout.startswith("Saved the database and the runs (2 files")
    assert saved.stdout.strip().endswith(str(folder))
    assert f"from {folder}" in restored.stdout
    assert f"What was there before is in {full / 'temper.db'}.before-restore-" in restored.stdout


def test_what_is_refused_is_a_sentence(full: Path, tmp_path: Path) -> None:
    """Each refusal exits 1 with a sentence on standard error, and no traceback."""
    folder = tmp_path / "backup"
    assert temper("backup", folder).exit_code == 0
    with (full / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running = temper("restore", folder, "--replace")
    refused = {
        "something at": temper("backup", folder),
        "among the runs": temper("backup", full / "runs" / "backup"),
        "--replace": temper("restore", folder),
        "is not a backup": temper("restore", tmp_path),
        "written: File exists: ": temper("backup", folder / "manifest.json" / "backup"),
        "Temper runs already": running,
    }
    (folder / "runs" / "1" / "events.jsonl").write_text("[]\n")
    refused["events.jsonl is not what was saved"] = temper("restore", folder, "--replace")

    for words, result in refused.items():
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert words in result.stderr
        assert "Traceback" not in result.output
    assert names() == ["saved"]


def test_a_database_that_is_no_more_one_is_replaced(full: Path, tmp_path: Path) -> None:
    """A damaged database is what a restore is for: its log does not spoil the one restored, and it is kept aside."""
    folder = tmp_path / "backup"
    temper("backup", folder)
    (full / "temper.db").write_bytes(b"SQLite format 3\0" + b"x" * 8_000)
    (full / "temper.db-wal").write_bytes(b"old")
    shutil.rmtree(full / "runs")

    another, careful = temper("backup", tmp_path / "another"), temper("restore", folder)
    (kept,) = read("restore", folder, "--replace")["kept"]

    assert another.stderr.startswith("Error: The backup cannot be written")
    assert "--replace" in careful.stderr
    assert names() == ["saved"]
    assert Path(kept).read_bytes().endswith(b"x" * 8_000)
