"""Which runs the demo shows: its own, if they are there."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console
from sqlmodel import Session, select

from app.client import TemperClient
from app.demo import runs_of_story
from app.domain import accounts
from app.domain.models import Run, RunState
from app.domain.presets import SMALL_MODEL, demo_recipes
from tests.factories import make_model, make_run


@pytest.fixture
def client(live_server: str, session: Session) -> Iterator[TemperClient]:
    """Connect to a live server with an admin's token, and a model to tune."""
    make_model(session, name=SMALL_MODEL)
    token = accounts.create_token(session, accounts.first_admin(session), name="tests")
    session.commit()
    with TemperClient(live_server, token) as client:
        yield client


def tell(client: TemperClient, *, again: bool = False) -> tuple[list[int], str]:
    """Return the ids of the story's runs, and what was said of them."""
    out = io.StringIO()
    return [run["id"] for run in runs_of_story(client, again=again, out=Console(file=out))], out.getvalue()


def make_story_run(session: Session, place: int, *, state: RunState, **changes: Any) -> Run:
    """Store one of the story's two runs, perhaps with another recipe."""
    return make_run(session, recipe=demo_recipes()[place].model_copy(update=changes), state=state)


def test_a_story_that_is_there_is_shown(client: TemperClient, session: Session) -> None:
    """The newest runs of its recipes that finished; nothing is started."""
    make_story_run(session, 0, state=RunState.FINISHED)
    runs = [make_story_run(session, place, state=RunState.FINISHED) for place in (0, 1)]
    make_story_run(session, 1, state=RunState.RUNNING)

    ids, said = tell(client)

    assert ids == [run.id for run in runs]
    assert f"as runs {ids[0]} and {ids[1]}" in said
    assert len(session.exec(select(Run)).all()) == 4


def test_what_is_on_its_way_is_waited_for(client: TemperClient, session: Session) -> None:
    """A first demo that was interrupted goes on with the worker."""
    one, two = make_story_run(session, 0, state=RunState.RUNNING), make_story_run(session, 1, state=RunState.QUEUED)

    assert tell(client)[0] == [one.id, two.id]


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        (RunState.FAILED, {}),
        (RunState.CANCELLED, {}),
        (RunState.FINISHED, {"probes": ()}),
        (RunState.FINISHED, {"name": "x"}),
    ],
)
def test_what_is_not_the_story_is_made(
    client: TemperClient, session: Session, state: RunState, changes: dict[str, Any]
) -> None:
    """A run that did not finish, or of another recipe, is left alone; the other one is taken as it is."""
    other, kept = (
        make_story_run(session, 0, state=state, **changes),
        make_story_run(session, 1, state=RunState.FINISHED),
    )

    (made, taken), said = tell(client)

    assert taken == kept.id
    assert made not in {other.id, kept.id}
    assert not said


def test_it_is_trained_again_when_asked(client: TemperClient, session: Session) -> None:
    """Two new runs beside those that are there."""
    old = [make_story_run(session, place, state=RunState.FINISHED).id for place in (0, 1)]

    ids, said = tell(client, again=True)

    assert len({*ids, *old}) == 4
    assert not said
