"""Tokens with a scope, and the audit log, on a terminal."""

import json
from typing import Any

import pytest
from sqlmodel import Session
from typer.testing import CliRunner, Result

from app.cli import app

pytestmark = pytest.mark.usefixtures("database_url")


def temper(*arguments: str, text: str | None = None) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, list(arguments), input=text)


def read(*arguments: str) -> Any:
    """Run the command with `--json`; return what it wrote."""
    result = temper(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_token_has_a_scope(session: Session) -> None:
    """No wider than its user."""
    temper("user", "rita", "--role", "runner")

    made = read("token", "create", "script", "--user", "rita", "--scope", "viewer", "--days", "3")
    wider = temper("token", "create", "script", "--user", "rita", "--scope", "admin")

    assert (made["role"], read("token", "list")[0]["role"]) == ("viewer", "viewer")
    assert wider.exit_code == 1
    assert "scope:" in wider.stderr


def test_a_token_ends_within_ten_years(session: Session) -> None:
    """Or when it is revoked; more days than any calendar has are a mistake of the command's user."""
    assert temper("token", "create", "script", "--days", "99999999").exit_code == 2


def test_every_changing_command_is_entered(session: Session) -> None:
    """Each by its action, with who ran it; what was refused too, and no secret."""
    made = read("token", "create", "script")
    temper("token", "revoke", str(made["id"]))
    temper("token", "revoke", "999")
    temper("user", "rita", "--role", "runner")
    temper("password", "--user", "rita", text="correct horse battery\n")
    temper("login-link", "--user", "rita")
    temper("migrate")

    found = read("audit")

    assert [entry["action"] for entry in reversed(found)] == [
        "token.create", "token.revoke", "token.revoke", "user.add", "password.change", "user.link", "database.migrate",
    ]  # fmt: skip
    assert {entry["means"] for entry in found} == {"command"}
    assert [entry["outcome"] for entry in reversed(found)].count("refused") == 1
    assert made["token"] not in json.dumps(found)
    assert "correct horse" not in json.dumps(found)


def test_the_log_is_searched(session: Session) -> None:
    """By words and each part, as JSON or as a table."""
    temper("user", "rita", "--role", "viewer")
    temper("user", "rita", "--role", "viewer")

    assert [entry["outcome"] for entry in read("audit", "rita")] == ["refused", "done"]
    assert read("audit", "--outcome", "done", "--action", "user", "--since", "2020-01-01")[0]["object_kind"] == "user"
    assert len(read("audit", "--limit", "1")) == 1
    assert read("audit", "--until", "2020-01-01") == read("audit", "--about", "run 7") == []
    assert "user.add" in temper("audit").stdout
