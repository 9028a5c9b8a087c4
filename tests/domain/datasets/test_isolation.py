"""The child that reads an upload: what it may take, what it knows, and how its end is told."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.config import settings
from app.domain.datasets import incoming, isolation, store
from app.domain.datasets.incoming import incoming_folder
from app.domain.datasets.refusals import at_line, from_data, to_data
from app.domain.errors import InvalidError, UnavailableError
from app.domain.messages import message
from tests.conftest import forget_settings
from tests.domain.datasets.files import PAIRS, jsonl, parquet

pytestmark = pytest.mark.usefixtures("home")


def limited(monkeypatch: pytest.MonkeyPatch, **values: int) -> None:
    """Put settings in force."""
    for name, value in values.items():
        monkeypatch.setenv(f"TEMPER_{name.upper()}", str(value))
    forget_settings()


def refusal(content: bytes) -> str:
    """Return the sentence at `file` that an upload is refused with; nothing of it is left."""
    with pytest.raises(InvalidError) as refused, incoming_folder() as folder:
        (folder / "source").write_bytes(content)
        store.read_upload(folder / "source")
    assert [path for path in settings().datasets_folder.rglob("*") if path.is_file()] == []
    (problem,) = refused.value.fields
    assert problem.field == "file"
    return str(problem.message)


def test_a_refusal_comes_out_of_the_child_whole() -> None:
    """Its line and its cure arrive, and it can still be translated: its places are values."""
    text = at_line(3, message("The name “{name}” stands twice.", name="é")).text

    assert refusal(jsonl(PAIRS) + b"{").startswith("Line 3: It ends in the middle: the file may be cut off.")
    assert from_data(to_data(text)) == text


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small Parquet file of large rows takes no more disk than there is for an upload."""
    limited(monkeypatch, largest_upload_bytes=8 << 20)
    bomb = parquet([{"question": "x" * 1_000_000, "answer": ""}] * 60)

    assert len(bomb) < 1_000_000
    assert refusal(bomb) == "As rows, this file is larger than 8 MiB. Split it."


def test_too_much_memory_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that needs more memory than the reader may have is refused, and nothing else happens."""
    limited(monkeypatch, intake_memory_bytes=128 << 20)
    bomb = parquet([{"question": "x" * 100_000 + str(number % 7), "answer": ""} for number in range(2_000)])

    assert refusal(bomb).startswith("Reading this file takes more than 128 MiB of memory.")


@pytest.mark.parametrize("ending", ["import time; time.sleep(60)", "while True: pass"])
def test_too_much_time_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ending: str) -> None:
    """A reader that does not come to an end is ended."""
    limited(monkeypatch, intake_seconds=1)
    put_reader(tmp_path, f"import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\n{ending}\n")
    monkeypatch.setattr(isolation, "SOURCE_ROOT", tmp_path)

    assert refusal(jsonl(PAIRS)).startswith("Reading this file takes more than 1 s.")


def test_a_mistake_of_the_reader_is_none_of_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What no file can cause is an error of the server, with its own words in the log."""
    put_reader(tmp_path, "1 / 0")
    monkeypatch.setattr(isolation, "SOURCE_ROOT", tmp_path)

    with pytest.raises(RuntimeError, match="ZeroDivisionError"), incoming_folder() as folder:
        (folder / "source").write_bytes(jsonl(PAIRS))
        store.read_upload(folder / "source")


def put_reader(root: Path, text: str) -> None:
    """Write a reader that does something else."""
    package = root / "app" / "domain" / "datasets"
    package.mkdir(parents=True)
    (package / "intake.py").write_text(text)
    for name in ("__init__", "confined", "confinement", "kernel_rules"):
        shutil.copy(isolation.SOURCE_ROOT / "app" / f"{name}.py", root / "app")


def test_the_reader_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the server's environment but paths and languages reaches the child."""
    monkeypatch.setenv("TEMPER_TOKEN", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    environment = isolation._environment()

    assert "secret" not in environment.values()
    assert not any(name.startswith("TEMPER_") for name in environment)


def test_the_reader_loads_neither_settings_nor_database() -> None:
    """It starts fast, and has nothing to tell to a file that takes it over."""
    code = "import sys, app.domain.datasets.intake; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=isolation._environment(), capture_output=True, text=True, check=True
    )

    assert not {"app.config", "sqlalchemy", "pydantic", "polars"} & set(done.stdout.split())


def test_a_disk_without_room_is_told_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The upload and its rows must fit beside what runs need."""
    limited(monkeypatch, min_free_bytes=1 << 60)

    with pytest.raises(UnavailableError, match="The disk has no room"):
        incoming.check_room(1)
