"""The Python client against a live server."""

from collections.abc import Iterator

import pytest
from sqlmodel import Session

from app.client import TemperClient, TemperError
from app.client_types import Run
from app.domain import accounts
from app.domain.columns import utc_now
from app.domain.models import RunState
from tests.factories import IDENTITY, make_checkpoint, make_metrics, make_model, make_recipe_data, make_run


@pytest.fixture
def temper(live_server: str, session: Session) -> Iterator[TemperClient]:
    """Connect to a live server as an admin."""
    token = accounts.create_token(session, accounts.first_admin(session), name="tests")
    session.commit()
    with TemperClient(live_server, token) as client:
        yield client


def test_a_run_goes_round(temper: TemperClient, session: Session) -> None:
    """A run can be started, found, looked at and stopped."""
    make_model(session)

    run = temper.create_run(make_recipe_data(name="round trip"))

    assert temper.runs(query="round")["runs"][0]["id"] == run["id"]
    assert temper.run(run["id"])["recipe"]["name"] == "round trip"
    assert temper.stop(run["id"])["state"] == "cancelled"
    assert temper.wait(run["id"])["state"] == "cancelled"


def test_what_a_run_made_can_be_read(temper: TemperClient, session: Session) -> None:
    """Metrics, checkpoints, answers, the log and the comparison are there."""
    run = make_run(session, state=RunState.RUNNING)
    make_metrics(session, run)
    make_checkpoint(session, run, iteration=0, texts=["a", "b", "Paris"])
    tuned = make_checkpoint(session, run, iteration=5, texts=[IDENTITY, "b", "Paris"])
    run_id = run.id or 0

    assert [metric["iteration"] for metric in temper.metrics(run_id, after=3)] == [4, 5]
    assert [checkpoint["is_kept"] for checkpoint in temper.checkpoints(run_id)] == [False, True]
    assert len(temper.answers(run_id)) == 6
    assert temper.log(run_id) == ""
    assert temper.compare(checkpoints=[tuned.id or 0])["rows"][0]["cells"][1]["is_hit"]
    assert "| probe |" in temper.compare_as("markdown", runs=[run_id])


def test_waiting_ends_with_the_run(temper: TemperClient, session: Session) -> None:
    """Waiting returns when the run has ended, and tells of it on the way."""
    run = make_run(session, state=RunState.RUNNING)
    told: list[str] = []

    def see(seen: Run) -> None:
        told.append(seen["state"])
        run.state, run.ended_at = RunState.FINISHED, utc_now()
        session.add(run)
        session.commit()

    ended = temper.wait(run.id or 0, poll_seconds=0.01, on_change=see)

    assert ended["state"] == "finished"
    assert told == ["running", "finished"]


def test_a_refusal_names_the_fields(temper: TemperClient, session: Session) -> None:
    """What the server refuses is an error with its kind, its sentence and its fields."""
    make_model(session)

    with pytest.raises(TemperError) as refused:
        temper.create_run(make_recipe_data(training={"learning_rate": -1}))

    assert (refused.value.status, refused.value.kind) == (422, "invalid")
    assert refused.value.fields[0]["field"] == "training.learning_rate"


def test_a_wrong_token_is_told(live_server: str) -> None:
    """Without a good token every call says so."""
    with TemperClient(live_server, "temper_wrong") as client, pytest.raises(TemperError, match="token") as refused:
        client.runs()

    assert refused.value.status == 401


def test_a_server_that_is_not_there_is_told() -> None:
    """A server that does not answer is an error with status 0 that names the address."""
    with TemperClient("http://127.0.0.1:9", "x") as client:
        assert not client.is_ready()
        with pytest.raises(TemperError, match=r"127\.0\.0\.1:9") as refused:
            client.runs()

    assert refused.value.status == 0
