"""Tokens of other services in the server's surroundings: nowhere that anybody can read."""

from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select

from app.config import settings
from app.domain.logs import log_path
from app.domain.models import Credential, Run, RunState
from app.domain.runs import id_of
from tests.conftest import COOKIE, forget_settings
from tests.factories import attempt_of, make_run
from worker.children import child_environment
from worker.gpus import Device
from worker.preparing import AttemptFolder, prepare, start_trainer

SECRET = "s3cr3t-that-nobody-may-read"
NAMES = (
    *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"),
    *("TEMPER_TOKEN", "PGPASSWORD", "REDISCLI_AUTH"),
)
PAGES = ("/runs", "/runs/{id}", "/runs/{id}/config", "/models", "/runs/new", "/nothing", "/patterns", "/login")
DATA = ("/api/v1/runs/{id}", "/api/v1/models", "/api/v1/openapi.json", "/readyz", "/api/v1/nothing")


@pytest.fixture
def secrets(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a secret under every name that one is known by, and into the queue's address."""
    for name in NAMES:
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("TEMPER_REDIS_URL", f"redis://:{SECRET}@127.0.0.1:1/0")
    forget_settings()


@pytest.mark.usefixtures("secrets")
def test_no_answer_holds_a_secret(client: Any, session: Session, caplog: pytest.LogCaptureFixture) -> None:
    """44: No page, error page, description, JSON or log line has a token of the server's surroundings."""
    run = make_run(session, state=RunState.FINISHED)

    for path in (*PAGES, *DATA):
        assert SECRET not in client.get(path.format(id=run.id)).text, path
    assert client.post(f"/runs/{run.id}/resume", headers={"Origin": "null"}).status_code in {403, 409}
    assert SECRET not in caplog.text


@pytest.mark.usefixtures("secrets")
def test_a_trainer_gets_no_secret(session: Session, tmp_path: Path) -> None:
    """44: Neither the environment of a child, nor its arguments, nor a file of its run has one."""
    run = make_run(session, state=RunState.RUNNING)
    attempt = AttemptFolder(id_of(run), attempt_of(session, run).id or 0, 1)

    prepare(attempt, Device("cpu", "cpu-0", "CPU"))

    assert not [name for name, value in child_environment(None, private=tmp_path).items() if SECRET in value]
    for path in settings().run_folder(id_of(run)).rglob("*"):
        assert not path.is_file() or SECRET not in path.read_text("utf-8"), path


def test_a_started_trainer_knows_nothing_of_databases(
    session: Session, monkeypatch: pytest.MonkeyPatch, redis_server: object
) -> None:
    """44: What a real child finds in its environment is the short list, whatever its parent knows; `ps` shows paths."""
    monkeypatch.setenv("TEMPER_ENGINE", "tests.fakes")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    for name in NAMES:
        monkeypatch.setenv(name, SECRET)
    forget_settings()
    run = make_run(session, state=RunState.RUNNING, name="silent always")
    attempt = AttemptFolder(id_of(run), attempt_of(session, run).id or 0, 1)
    prepare(attempt, Device("cpu", "cpu-0", "CPU"))

    child = start_trainer(attempt, Device("cpu", "cpu-0", "CPU"))
    arguments = child.process.args
    child.process.wait(60)

    known = log_path(id_of(run), 1).read_text("utf-8").partition("knows ")[2].split()
    assert known
    assert not set(known) & set(NAMES)
    assert not [name for name in known if name.startswith("TEMPER_")]
    assert SECRET not in str(arguments)


def test_what_lets_in_is_not_stored(client: Any, session: Session) -> None:
    """44: The database holds no cookie's or token's secret, only a hash that opens nothing."""
    secret = client.cookies[COOKIE]

    rows = [row.model_dump() for row in session.exec(select(Credential))]

    assert secret not in str(rows)
    client.cookies.set(COOKIE, rows[0]["secret_sha256"])
    assert client.get("/runs").status_code == 303


def test_no_page_tells_of_the_inside(client: Any, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """44: A page that fails says so, and neither where nor with what values."""
    make_run(session)
    monkeypatch.setattr(Run, "checkpoints", property(lambda _: 1 / 0))
    client.app.router.routes[0]

    reply = client.get("/runs/1")

    assert "division" not in reply.text
    assert "Traceback" not in reply.text
