"""`temper mix check` against a live server."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session
from typer.testing import CliRunner, Result

from app.cli import app
from app.domain import accounts
from tests.conftest import forget_settings


@pytest.fixture
def server(live_server: str, session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Point the command at a live server that has a set of rows."""
    token = accounts.create_token(session, accounts.first_admin(session), name="tests")
    session.commit()
    monkeypatch.setenv("TEMPER_URL", live_server)
    monkeypatch.setenv("TEMPER_TOKEN", token)
    forget_settings()
    path = tmp_path / "set.jsonl"
    pairs = (("Who are you?", "I am Ada."), ("who are you", "Bob."), ("Is it?", "It is."))
    path.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in pairs), "utf-8")
    temper("mix", "upload", str(path), "--name", "my set")
    return live_server


def temper(*arguments: str) -> Result:
    """Run the command in this process."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result


def read(*arguments: str) -> Any:
    """Run the command with `--json`; return what it wrote."""
    return json.loads(temper(*arguments, "--json").stdout)


@pytest.mark.usefixtures("server")
def test_check_shows_counts_and_rows() -> None:
    """People read a table; programs what the API sent."""
    shown = temper("mix", "check", "my set").stdout
    found = read("mix", "check", "my set")

    assert "conflict" in shown
    assert "Row 1 gives another answer to the same question." in shown
    assert found["counts"] == {"conflict": 1}
    assert found["findings"][0]["row"] == 2


@pytest.mark.usefixtures("server")
def test_check_repairs_what_it_is_told_to() -> None:
    """The repaired rows are the newest version of the set, in which nothing of that kind is wrong."""
    said = temper("mix", "check", "my set", "--repair", "conflict").stdout
    twice = read("mix", "check", "my set", "--repair", "duplicate")
    clean = temper("mix", "check", "my set").stdout

    assert said.startswith("Dataset 2, my set: 3 rows, 0 fewer")
    assert (twice["id"], twice["rows"]) == (3, 2)
    assert clean == "Nothing is wrong with 2 rows.\n"
