"""The fixtures themselves: what the other tests stand on."""

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Page
from sqlmodel import Session

from app.domain.models import RunState
from tests.conftest import wait_until
from tests.factories import make_model, make_run


def test_the_client_is_an_admin_and_a_stranger_is_not(anonymous: TestClient, session: Session) -> None:
    """Pages ask a stranger to log in."""
    make_run(session)

    assert anonymous.get("/runs").status_code in {303, 401}


def test_the_client_sees_what_a_factory_made(client: TestClient, session: Session) -> None:
    """A row of a factory is committed."""
    run = make_run(session, name="Made by a factory")

    assert run.name in client.get("/runs").text


def test_a_script_starts_a_run(api: TestClient, session: Session) -> None:
    """A token lets a script write."""
    assert api.get("/api/v1/runs").status_code == 200


@pytest.mark.browser
def test_a_browser_is_logged_in_and_a_worker_trains(page: Page, live_worker: None, session: Session) -> None:
    """Page, server, database, queue, worker and trainer work together."""
    from app.domain import queue

    make_model(session)
    run = make_run(session, name="Trained in moments")
    queue.send([queue.QueueMessage("runs.train", {"run_id": run.id or 0})])

    page.goto("/runs")

    assert page.get_by_text("Trained in moments").count() > 0

    def has_ended() -> bool:
        session.refresh(run)
        return run.state.is_final

    wait_until(has_ended, "the run did not end", seconds=30)
    assert run.state is RunState.FINISHED
