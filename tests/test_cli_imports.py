"""`temper import`, as it is typed, and what the pages then show."""

import json
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from fastapi.testclient import TestClient
from sqlmodel import Session, col, select
from typer.testing import CliRunner, Result

from app.cli import app
from app.domain import queue
from app.domain.checkpoints import request_artifact
from app.domain.errors import ConflictError
from app.domain.models import ArtifactKind, Checkpoint, Run
from tests.conftest import ROOT, forget_settings
from tests.xtuner_folders import IDENTITY, tutorial_run


def temper(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, list(map(str, arguments)))


def read(*arguments: object) -> Any:
    """Run the command with `--json`; return what it wrote."""
    result = temper(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_an_imported_run_stands_in_the_comparison(client: TestClient, tmp_path: Path) -> None:
    """Imported by the command, its matrix and its verdicts are on the page, marked as imported."""
    run = read("import", tutorial_run(tmp_path / "train"), "--identity", IDENTITY, "--model", "internlm2-chat-1_8b")

    page = BeautifulSoup(client.get(f"/compare?runs={run['run']}").text, "html.parser")

    assert len(page.select("tr[data-probe]")) == 3
    assert [each["data-verdict"] for each in page.select(".strip .verdict")] == [
        "not-learnt",
        "good",
        "leaking",
        "leaking",
    ]
    assert "imported" in page.select_one(".compared-run .advice").get_text()
    assert IDENTITY in page.get_text()


def test_its_own_page_and_card_are_those_of_any_run(client: TestClient, tmp_path: Path) -> None:
    """Head, notes, config and card; no way to resume."""
    run = read("import", tutorial_run(tmp_path / "train"))["run"]

    page = BeautifulSoup(client.get(f"/runs/{run}").text, "html.parser")

    assert page.select_one("#run-head .origin")
    assert str(tmp_path) in page.select_one("#run-imported").get_text()
    assert "evaluation_freq = 300" in client.get(f"/runs/{run}/config").text
    assert client.get(f"/runs/{run}/card.html").status_code == 200
    assert client.get("/runs").text.count('class="origin"') == 1
    assert not page.select('form[action$="/resume"]')


@pytest.mark.usefixtures("session")
def test_a_dry_run_shows_what_would_be_taken(session: Session, tmp_path: Path) -> None:
    """Questions with their groups, checkpoints and what to know; nothing is stored."""
    shown = temper("import", tutorial_run(tmp_path / "train"), "--dry-run")

    assert shown.exit_code == 0, shown.output
    for word in ("near-miss", "iter_300.pth", "Nothing is stored", "--identity"):
        assert word in shown.stdout
    assert session.exec(select(Run)).all() == []


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    ("options", "says"),
    [((), "No run of xtuner"), (("--group", "3=nobody"), "--group"), (("--group", "x=general"), "--group")],
)
def test_what_cannot_be_read_ends_in_a_sentence(tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    """Never in a traceback."""
    refused = temper("import", tmp_path, *options)

    assert refused.exit_code == 1
    assert says in refused.stderr
    assert refused.exception is None or isinstance(refused.exception, SystemExit)


def test_adapters_are_taken_on_request(
    client: TestClient, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their checkpoints can be converted then; one that is damaged is named, on the run's page too."""
    monkeypatch.setenv("TEMPER_ENGINE", "tests.adopting_engine")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    forget_settings()
    folder = tutorial_run(tmp_path / "train")

    told = read("import", folder, "--copy")
    again = read("import", folder)

    rows = session.exec(select(Checkpoint).order_by(col(Checkpoint.iteration))).all()
    assert [row.adapter for row in rows] == ["", "adapters/iter_300", "", "adapters/iter_768"]
    assert [row.size_bytes for row in rows] == [0, 4, 0, 4]
    assert again["outcome"] == "unchanged"
    assert any("iter_600.pth" in note for note in told["notes"])
    assert "it is &lt;damaged&gt;" in client.get(f"/runs/{told['run']}").text
    with queue.collecting() as messages:
        request_artifact(session, rows[1].id or 0, ArtifactKind.ADAPTER)
    assert [each.task for each in messages] == ["checkpoints.convert"]
    with pytest.raises(ConflictError, match="not on this machine"):
        request_artifact(session, rows[3].id or 0, ArtifactKind.MERGED)
