"""Imports over the REST API: an admin, and folders that the settings allow."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.domain import accounts
from app.domain.models import Role
from tests.conftest import forget_settings
from tests.xtuner_folders import IDENTITY, tutorial_run

IMPORTS = "/api/v1/imports"


@pytest.fixture
def root(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Allow one folder."""
    folder = home / "imports"
    folder.mkdir()
    monkeypatch.setenv("TEMPER_IMPORT_ROOTS", f'["{folder}"]')
    forget_settings()
    return folder


def test_a_run_is_imported_from_an_allowed_folder(root: Path, api: TestClient) -> None:
    """The reply says what came of it; the same again is the same run."""
    folder = str(tutorial_run(root / "train"))

    made = api.post(IMPORTS, json={"work_dir": folder, "identity": [IDENTITY], "groups": {"3": "general"}})
    again = api.post(IMPORTS, json={"work_dir": folder, "identity": [IDENTITY], "groups": {"3": "general"}})

    assert made.status_code == 201, made.text
    assert (made.json()["outcome"], again.json()["outcome"]) == ("new", "unchanged")
    assert (made.json()["checkpoints"], made.json()["answers"]) == ([0, 300, 600, 768], 12)
    assert made.headers["Location"] == f"/api/v1/runs/{made.json()['run_id']}"
    assert api.get(made.headers["Location"]).json()["imported_from"] == folder


def test_a_dry_run_stores_nothing(root: Path, api: TestClient) -> None:
    """It shows the recipe that would be."""
    reply = api.post(IMPORTS, json={"work_dir": str(tutorial_run(root / "train")), "dry_run": True})

    assert (reply.json()["outcome"], reply.json()["run_id"]) == ("dry-run", None)
    assert api.get("/api/v1/runs").json()["total"] == 0


@pytest.mark.parametrize("path", ["/etc", "imports/../..", "/nowhere", "x\0y"], ids=["other", "up", "missing", "zero"])
def test_other_folders_are_forbidden(root: Path, api: TestClient, path: str) -> None:
    """Whether they are there or not; so are links that lead there."""
    (root / "out").symlink_to("/etc")

    for asked in (path, str(root / "out"), str(root / ".." / "..")):
        assert api.post(IMPORTS, json={"work_dir": asked}).status_code == 403


def test_without_the_setting_nothing_is_imported(api: TestClient, tmp_path: Path) -> None:
    """The API opens no folder that nobody has allowed."""
    reply = api.post(IMPORTS, json={"work_dir": str(tutorial_run(tmp_path))})

    assert reply.status_code == 403
    assert "TEMPER_IMPORT_ROOTS" in reply.json()["error"]["message"]


def test_rows_outside_of_the_allowed_folders_are_not_read(root: Path, api: TestClient, tmp_path: Path) -> None:
    """A config there may name any file of the server."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "who are you?", "input": "", "output": "secret"}\n' * 5, "utf-8")

    reply = api.post(IMPORTS, json={"work_dir": str(tutorial_run(root / "train", data=str(rows)))})

    assert reply.json()["recipe"]["mix"]["identity"] == []
    assert "secret" not in reply.text.replace("secret.json", "")


def test_only_an_admin_imports(root: Path, api: TestClient, session: Session) -> None:
    """It looks at folders of the server."""
    accounts.first_admin(session).role = Role.RUNNER
    session.commit()

    assert api.post(IMPORTS, json={"work_dir": str(root)}).status_code == 403
