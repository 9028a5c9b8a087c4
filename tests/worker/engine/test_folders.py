"""Files and folders that are whole or absent."""

import json
from pathlib import Path

import pytest

from app.domain.disk import size_of
from worker.engine.folders import file_aside, folder_aside, write_manifest


def test_a_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    """Neither half a file nor the temporary one stays."""
    (tmp_path / "a").write_text("old")

    with pytest.raises(RuntimeError), file_aside(tmp_path / "a") as aside:
        aside.write_text("half")
        raise RuntimeError

    assert (tmp_path / "a").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    with folder_aside(tmp_path / "a") as aside:
        (aside / "old").touch()

    with pytest.raises(RuntimeError), folder_aside(tmp_path / "a") as aside:
        (aside / "half").touch()
        raise RuntimeError

    assert [file.name for file in tmp_path.rglob("*")] == ["a", "old"]


def test_a_folder_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """Files of the earlier one do not mix with those of the new one."""
    for name in ("old", "new"):
        with folder_aside(tmp_path / "a") as aside:
            (aside / name).touch()

    assert [file.name for file in (tmp_path / "a").iterdir()] == ["new"]


def test_a_manifest_names_every_file_but_itself(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"abc")

    write_manifest(tmp_path)
    write_manifest(tmp_path)

    (entry,) = json.loads((tmp_path / "manifest.json").read_text("utf-8"))["files"]
    assert entry == {
        "name": "weights",
        "size_bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }


def test_the_size_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"d")

    assert size_of(tmp_path) == 4
