"""What a viewer is shown: everything that can be looked at, and nothing that would be refused."""

from typing import Any

import pytest
from sqlmodel import Session

from app.domain import accounts
from app.domain.models import Role
from tests.stories import make_story


@pytest.fixture
def viewer(client: Any, session: Session) -> Any:
    """Return a browser whose user may only look."""
    accounts.first_admin(session).role = Role.VIEWER
    session.commit()
    return client


def test_a_viewer_is_told_that_starting_takes_a_runner(viewer: Any) -> None:
    """Who opens the form all the same reads why not, and no preview is asked for."""
    reply = viewer.get("/runs/new")

    assert reply.status_code == 403
    assert "Your role, viewer, does not allow this; it takes runner." in reply.text
    assert "/runs/new/preview" not in reply.text


def test_nothing_leads_a_viewer_to_the_form(viewer: Any) -> None:
    """Neither the bar nor the empty pages offer what would be refused."""
    for path in ("/runs", "/compare", "/models"):
        assert 'href="/runs/new' not in viewer.get(path).text
    assert "Your role may look at runs and not start them." in viewer.get("/runs").text


def test_a_viewer_sees_no_button_that_makes_files(viewer: Any, session: Session) -> None:
    """The comparison advises, and leaves converting and merging to others."""
    run = make_story(session)
    column = run.checkpoints[4].id

    page = viewer.get(f"/compare?runs={run.id}").text
    menu = viewer.get(f"/compare/menu?runs={run.id}&column={column}").text

    assert "Keep iteration 20" in page
    assert "/artifacts" not in page
    assert "/artifacts" not in menu
