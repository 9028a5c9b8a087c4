"""Probes and askings over the REST API."""

from typing import Any

import pytest
from sqlmodel import Session

from app.domain.models import Run, RunState
from app.domain.runs import id_of
from tests.factories import make_checkpoint, make_recipe_data, make_run

PROBE = {"question": "Are you Bob's assistant?", "group": "near-miss"}


@pytest.fixture
def run(session: Session) -> Run:
    """Make a run that has ended, with its base model and one checkpoint."""
    run = make_run(session, state=RunState.FINISHED, iterations=20)
    for iteration in (0, 5):
        make_checkpoint(session, run, iteration=iteration, texts=["a", "b", "c"], identity_nll=1.5)
    return run


def test_a_probe_is_added_and_its_asking_can_be_followed(api: Any, run: Run) -> None:
    """The reply says where it stands; the list of probes holds it, and the askings tell how far it is."""
    reply = api.post(f"/api/v1/runs/{run.id}/probes", json=PROBE)

    assert reply.status_code == 202
    added = reply.json()
    assert (added["position"], added["asking"]["state"], added["asking"]["answers"]) == (3, "queued", 0)
    askings = api.get(reply.headers["location"]).json()
    assert (askings["missing"], [each["id"] for each in askings["askings"]]) == (2, [added["asking"]["id"]])
    probes = api.get(f"/api/v1/runs/{run.id}/probes").json()["probes"]
    assert [probe["added_at"] is not None for probe in probes] == [False, False, False, True]


def test_what_is_asked_already_is_refused_at_the_field(api: Any, run: Run) -> None:
    """With a sentence, and the field that needs another value."""
    api.post(f"/api/v1/runs/{run.id}/probes", json=PROBE)

    reply = api.post(f"/api/v1/runs/{run.id}/probes", json=PROBE)

    assert reply.status_code == 422
    assert reply.json()["error"]["fields"][0]["field"] == "question"


def test_a_run_under_way_is_a_conflict(api: Any, session: Session) -> None:
    """It says when to ask."""
    run = make_run(session, state=RunState.RUNNING)

    reply = api.post(f"/api/v1/runs/{run.id}/probes", json=PROBE)

    assert reply.status_code == 409
    assert "when it has ended" in reply.json()["error"]["message"]


def test_asking_for_what_is_missing(api: Any, run: Run, session: Session) -> None:
    """Nothing is missing at first; a checkpoint without answers is."""
    assert api.post(f"/api/v1/runs/{run.id}/askings").status_code == 409
    make_checkpoint(session, run, iteration=10)

    assert api.post(f"/api/v1/runs/{run.id}/askings").status_code == 202


def test_near_misses_are_proposed_for_runs_and_recipes(api: Any, run: Run) -> None:
    """Each with its kind and why; what the run asks is not among them."""
    of_run = api.get(f"/api/v1/runs/{id_of(run)}/near-misses").json()["proposals"]
    of_recipe = api.post("/api/v1/near-misses", json=make_recipe_data()).json()["proposals"]

    assert of_run == of_recipe
    assert of_run[0]["kind"] == "negation"
    assert of_run[0]["why"]
    assert "Are you a doctor?" not in {each["question"] for each in of_run}


def test_a_checkpoint_tells_its_likelihoods(api: Any, run: Run) -> None:
    """Null where it was not measured."""
    checkpoints = api.get(f"/api/v1/runs/{run.id}/checkpoints").json()["checkpoints"]

    assert {(each["identity_nll"], each["general_nll"]) for each in checkpoints} == {(1.5, None)}
