"""Two at once, far too many at once, and doors that frameworks leave open."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app.domain.models import Run, RunState
from app.main import create_app
from tests.conftest import COOKIE, log_in
from tests.factories import make_model, make_recipe_data, make_run
from tests.saved_sets import make_set

DEBUG = (
    *("/docs", "/redoc", "/openapi.json", "/api/v1/docs", "/debug", "/metrics", "/console", "/.git/HEAD", "/.env"),
    *("/temper.db", "/static/../temper.db", "/static/%2e%2e/app/config.py", "/static/..%5c..%5capp/config.py"),
    *("/app/config.py", "/pyproject.toml", "/server-status", "/actuator/env", "/flower", "/.well-known/x"),
)


def test_the_same_request_twice_at_once_is_one_run(api: Any, session: Session) -> None:
    """47: Eight launches with one key at the same moment make one run, and all are answered with it."""
    make_model(session)

    def launch(_: int) -> Any:
        return api.post("/api/v1/runs", json=make_recipe_data(), headers={"Idempotency-Key": "one"})

    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(launch, range(8)))

    assert {reply.status_code for reply in replies} <= {200, 201}
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert len(session.exec(select(Run)).all()) == 1


def test_a_stop_at_any_moment_is_one_stop(api: Any, session: Session) -> None:
    """47: Eight stops at the same moment end a run once; a stop of what has ended is a conflict."""
    run = make_run(session)

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: api.post(f"/api/v1/runs/{run.id}/stop").status_code, range(8)))

    assert set(statuses) <= {200, 409}
    assert statuses.count(200) >= 1
    session.refresh(run)
    assert run.state is RunState.CANCELLED
    assert api.post(f"/api/v1/runs/{run.id}/stop").status_code == 409


def test_what_is_deleted_while_it_is_looked_at_is_gone(client: TestClient, session: Session) -> None:
    """47: A second deletion, and every view after the first one, are a 404."""
    kept = make_set(session)
    assert client.get(f"/datasets/{kept.id}").status_code == 200

    first, second = (client.post(f"/datasets/{kept.id}/delete").status_code for _ in range(2))

    assert (first, second) == (303, 404)
    assert client.get(f"/datasets/{kept.id}").status_code == 404
    assert client.get(f"/datasets/{kept.id}/download").status_code == 404


@pytest.mark.parametrize("path", DEBUG)
def test_nothing_of_the_inside_is_served(client: TestClient, path: str) -> None:
    """48: Not even an admin finds a framework's pages, a repository, a database or a source file over HTTP."""
    reply = client.get(path)

    assert reply.status_code in {404, 405}
    assert "SQLite format" not in reply.text
    assert "BaseSettings" not in reply.text


@pytest.mark.parametrize("path", ["/healthz/broken", "/api/broken", "/broken/page"])
def test_a_failure_tells_nothing(session: Session, path: str) -> None:
    """48: A failure inside is a 500 without a line of a traceback, with the headers of every answer."""
    app = create_app()

    @app.get(path)
    def broken() -> None:
        raise RuntimeError("the inside")

    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        client.cookies.set(COOKIE, log_in(session))
        reply = client.get(path)

    assert reply.status_code == 500
    for word in ("the inside", "Traceback", "RuntimeError", ".py"):
        assert word not in reply.text
    assert "content-security-policy" in reply.headers
