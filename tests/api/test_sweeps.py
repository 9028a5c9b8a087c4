"""Sweeps over the REST API."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app.domain.models import Run, Sweep
from tests.factories import make_model, make_recipe_data
from tests.sweep_stories import make_sweep, make_told_sweep

SWEEPS = "/api/v1/sweeps"


def plan(**changes: Any) -> dict[str, Any]:
    """Return a plan as the API takes it."""
    axes = [
        {"setting": "mix.identity_count", "values": [24, 150]},
        {"setting": "training.learning_rate", "values": [1e-3, 5e-4]},
    ]
    return {"name": "how much?", "recipe": make_recipe_data(), "axes": axes, **changes}


def test_a_plan_starts_a_sweep(api: TestClient, session: Session) -> None:
    """It is answered with its runs and their values, and found again at its address."""
    make_model(session)

    reply = api.post(SWEEPS, json=plan(at_once=2))

    assert reply.status_code == 201
    assert api.get(reply.headers["location"]).json() == reply.json()
    body = reply.json()
    assert [run["values"] for run in body["run_results"]] == [
        {"mix.identity_count": n, "training.learning_rate": rate} for n in (24, 150) for rate in (1e-3, 5e-4)
    ]
    assert (body["at_once"], body["stops_parrots"], body["by_state"]) == (2, True, {"queued": 4})
    run = api.get(f"/api/v1/runs/{body['run_results'][0]['id']}").json()
    assert run["sweep_id"] == body["id"]


def test_the_same_key_makes_one_sweep(api: TestClient, session: Session) -> None:
    """The second request is answered with the first one's."""
    make_model(session)

    replies = [api.post(SWEEPS, json=plan(), headers={"Idempotency-Key": "k"}).json() for _ in range(2)]

    assert replies[0] == replies[1]
    assert len(session.exec(select(Run)).all()) == 4


BAD = [
    ({"axes": [{"setting": "mix.identity_count", "values": [1, -1]}]}, "axes.0.values.1"),
    ({"axes": [{"setting": "mix.identity_count", "values": [1, "many"]}]}, "axes.0.values.1"),
    ({"axes": [{"setting": "training.seed", "values": [1, 2]}]}, "axes.0.setting"),
    ({"axes": [{"setting": "mix.identity_count", "values": []}]}, "axes.0.values"),
    ({"axes": []}, "axes"),
    ({"at_once": 0}, "at_once"),
    ({"name": ""}, "name"),
    ({"recipe": make_recipe_data(model="nobody")}, "recipe.model"),
    ({"recipe": make_recipe_data(training={"seed": -1})}, "recipe.training.seed"),
    ({"axis": []}, "axis"),
]


@pytest.mark.parametrize(("changes", "field"), BAD, ids=lambda value: str(value)[-40:])
def test_a_bad_value_is_named_at_its_field(
    api: TestClient, session: Session, changes: dict[str, Any], field: str
) -> None:
    """Every bad value is a 422 that names its field in words, and nothing is started."""
    make_model(session)

    reply = api.post(SWEEPS, json=plan(**changes))

    assert reply.status_code == 422
    named = [problem["field"] for problem in reply.json()["error"]["fields"]]
    assert any(each == field or each.startswith(f"{field}.") for each in named), named
    assert session.exec(select(Sweep)).all() == []


def test_a_sweep_tells_its_verdicts_and_what_to_keep(api: TestClient, session: Session) -> None:
    """By run and iteration; the recommendation names run, checkpoint and reason."""
    sweep = make_told_sweep(session)

    body = api.get(f"{SWEEPS}/{sweep.id}").json()

    second = body["run_results"][1]
    assert [each["verdict"] for each in second["verdicts"]] == [
        *["not-learnt"] * 3,
        *["good"] * 3,
        *["leaking"] * 2,
    ]
    assert (second["first_learnt"], second["first_leak"], second["good_in_a_row"], second["keep"]) == (20, 35, 3, 25)
    assert body["parrots"] == 3
    kept = body["recommendation"]
    assert (kept["run_id"], kept["iteration"]) == (second["id"], 25)
    assert kept["checkpoint_id"] in [each["checkpoint_id"] for each in second["verdicts"]]
    assert "3 checkpoints in a row" in kept["reason"]


def test_sweeps_are_listed_a_page_at_a_time(api: TestClient, session: Session) -> None:
    """The newest first."""
    made = [make_sweep(session, axes={"mix.identity_count": [1, 2]}).id for _ in range(3)]

    first = api.get(SWEEPS, params={"limit": 1}).json()
    page = api.get(SWEEPS, params={"limit": 1, "cursor": first["next_cursor"]}).json()

    assert [sweep["id"] for sweep in page["sweeps"]] == [made[1]]
    assert page["total"] == 3


def test_a_sweep_is_changed_and_stopped(api: TestClient, session: Session) -> None:
    """What has been stopped cannot be stopped again."""
    sweep = make_sweep(session, axes={"mix.identity_count": [1, 2]})

    changed = api.patch(f"{SWEEPS}/{sweep.id}", json={"at_once": 2})
    too_many = api.patch(f"{SWEEPS}/{sweep.id}", json={"at_once": 65})
    stopped = [api.post(f"{SWEEPS}/{sweep.id}/stop") for _ in range(2)]

    assert changed.json()["at_once"] == 2
    assert too_many.json()["error"]["fields"][0]["field"] == "at_once"
    assert [reply.status_code for reply in stopped] == [200, 409]
    assert stopped[0].json()["by_state"] == {"cancelled": 2}
    assert api.get(f"{SWEEPS}/99").status_code == 404


def test_a_plan_is_forecast_and_nothing_is_stored(api: TestClient, session: Session) -> None:
    """How many runs and iterations; what no run has told is null, with a reason."""
    make_model(session)

    body = api.post(f"{SWEEPS}/forecast", json=plan()).json()

    assert [run["iterations"] for run in body["runs"]] == [20] * 4
    assert (body["iterations"], body["seconds"], body["lanes"]) == (80, None, 1)
    assert body["unknown"]
    assert session.exec(select(Sweep)).all() == []
