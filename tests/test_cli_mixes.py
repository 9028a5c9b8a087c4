"""`temper mix`: sets of rows from the command line."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session
from typer.testing import CliRunner, Result

from app.cli import app
from app.domain import accounts
from tests.conftest import forget_settings
from tests.domain.datasets.files import ALPACA, FORMS, PAIRS, jsonl
from tests.factories import make_recipe_data


@pytest.fixture(autouse=True)
def server(live_server: str, session: Session, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point the command at a live server, with an admin's token."""
    token = accounts.create_token(session, accounts.first_admin(session), name="tests")
    session.commit()
    monkeypatch.setenv("TEMPER_URL", live_server)
    monkeypatch.setenv("TEMPER_TOKEN", token)
    forget_settings()
    return live_server


def mix(*arguments: str) -> Result:
    """Run `temper mix` in this process."""
    return CliRunner().invoke(app, ["mix", *arguments])


def read(*arguments: str) -> Any:
    """Run `temper mix` with `--json`; return what it wrote."""
    result = mix(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a file of two rows."""
    path = tmp_path / "my rows.jsonl"
    path.write_bytes(jsonl(PAIRS))
    return path


@pytest.mark.parametrize("command", ["upload", "list", "show", "export", "delete"])
def test_every_command_has_help_and_json(command: str) -> None:
    """Each says what it does, and can write JSON."""
    shown = mix(command, "--help")

    assert shown.exit_code == 0
    assert "--json" in shown.stdout


def test_a_set_goes_round(file: Path, tmp_path: Path) -> None:
    """It is uploaded, listed, shown, exported as it is stored, and deleted."""
    dataset = read("upload", str(file), "--name", "[b]set[/b]")
    target = tmp_path / "out.jsonl"

    assert dataset["source_name"] == "my rows.jsonl"
    assert [each["id"] for each in read("list", "SET")["datasets"]] == [dataset["id"]]
    assert "[b]set[/b]" in mix("list").stdout
    assert read("show", str(dataset["id"]), "--rows", "1")["first_rows"][0]["conversation"][0]["output"] == "2"
    assert read("export", "[b]set[/b]", "--output", str(target))["file"] == str(target)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == dataset["sha256"]
    assert mix("delete", "[b]set[/b]").stdout.strip() == f"Dataset {dataset['id']}, [b]set[/b], is deleted."
    assert read("list")["total"] == 0


def test_a_set_is_shown_as_people_read_it(tmp_path: Path) -> None:
    """Facts first, then rows turn by turn; nothing in them reaches the terminal as a command."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(jsonl([*FORMS["openai"][0], {"messages": [
        {"role": "user", "content": "q"}, {"role": "assistant", "content": "\x1b[31mred"}]}]))  # fmt: skip
    uploaded = mix("upload", str(path)).stdout.strip()

    shown = mix("show", "x").stdout

    assert uploaded == "Dataset 1, x: 3 rows (openai)"
    assert "[system] Be brief." in shown
    assert "[assistant] 你好" in shown
    assert "\x1b" not in shown
    assert "1. [system]" not in mix("show", "x", "--rows", "0").stdout


def test_rows_that_were_left_out_are_told(tmp_path: Path) -> None:
    """Rows without an answer are counted."""
    path = tmp_path / "alpaca.jsonl"
    path.write_bytes(jsonl([*ALPACA, {"instruction": "x", "input": "", "output": "<nooutput>"}]))

    assert mix("upload", str(path)).stdout.strip() == (
        "Dataset 1, alpaca: 2 rows, 1 without an answer left out (alpaca)"
    )


def test_what_the_server_refuses_is_a_sentence(file: Path) -> None:
    """Its line is told, and the command fails."""
    file.write_bytes(file.read_bytes() + b"{")

    refused = mix("upload", str(file))

    assert refused.exit_code == 1
    assert "file: Line 3: It ends in the middle" in refused.stderr


def test_only_regular_files_are_uploaded(tmp_path: Path) -> None:
    """A pipe would be waited for, and a device never ends: neither is opened."""
    os.mkfifo(tmp_path / "pipe")

    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        result = mix("upload", str(path))
        assert (result.exit_code, result.stderr) == (
            1,
            f"Error: {path} is no regular file. Give the path of a file of rows.\n",
        )
    assert "is not there" in mix("upload", str(tmp_path / "nothing")).stderr


@pytest.mark.parametrize("command", ["show", "export", "delete"])
def test_a_set_that_is_not_there_is_told(command: str) -> None:
    """By name and by id."""
    named, numbered = mix(command, "nothing"), mix(command, "999")

    assert named.stderr.startswith("Error: There is no dataset named “nothing”.")
    assert (numbered.exit_code, numbered.stderr) == (1, "Error: There is no dataset 999.\n")


def test_the_pairs_of_a_recipe_are_saved_as_a_set(tmp_path: Path) -> None:
    """Each once, with its variables filled in, whatever its copies; the same again is the same version."""
    recipe = tmp_path / "recipe.json"
    data = make_recipe_data(mix={"variables": {"maker": "Example Lab"}, "name": "Ada"})
    data["mix"]["identity"] = [{"question": "Who made you?", "answer": "{maker} made {name}."}]
    recipe.write_text(json.dumps(data), "utf-8")

    saved = read("save", str(recipe), "--name", "who made it")
    again = read("save", str(recipe), "--name", "who made it")

    assert (saved["rows"], saved["form"], saved["container"]) == (2, "pairs", "form")
    assert again["id"] == saved["id"]
    shown = read("show", "who made it", "--rows", "1")
    assert shown["first_rows"][0]["conversation"][0]["output"] == "Example Lab made Ada."


def test_a_recipe_without_pairs_saves_nothing(tmp_path: Path) -> None:
    """It is said; no version is made."""
    recipe = tmp_path / "recipe.json"
    recipe.write_text("{}", "utf-8")

    result = mix("save", str(recipe), "--name", "nothing")

    assert result.exit_code == 1
    assert "There are no rows to save" in result.output
