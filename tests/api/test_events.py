"""A run's events over the API: typed, each once, whoever comes back when."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter
from sqlmodel import Session

from app.api.events import event_reply, run_events
from app.config import settings
from app.domain.models import Event, RunState
from app.domain.trainer_events import trainer_event_adapter
from app.web import limits
from tests.factories import make_metrics, make_run

STREAM = {"Accept": "text/event-stream"}


def read_events(api: TestClient, run_id: int | None, **headers: str) -> list[tuple[str, int, Any]]:
    """Read a stream to its end: name, id and data of each event."""
    text = api.get(f"/api/v1/runs/{run_id}/events", headers=STREAM | headers).text
    blocks = (
        dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":") for block in text.split("\n\n")
    )
    return [(each["event"], int(each["id"]), json.loads(each["data"])) for each in blocks if each]


def test_every_line_of_the_ledger_is_an_event(api: TestClient, session: Session) -> None:
    """With its kind as its name, its row as its id, and typed data; the last one says that it is over."""
    run = make_run(session, state=RunState.FINISHED)
    make_metrics(session, run, iterations=range(1, 4))

    events = read_events(api, run.id)

    assert [name for name, _, _ in events] == ["state", "state", "metric", "metric", "metric", "over"]
    assert all((name, number) == (data["kind"], data["id"]) for name, number, data in events)
    for _, _, data in events:
        run_events.validate_python(data)
    assert [data["iteration"] for name, _, data in events if name == "metric"] == [1, 2, 3]


def test_who_comes_back_gets_what_is_new(api: TestClient, session: Session) -> None:
    """After the event that it had last, and nothing twice."""
    run = make_run(session, state=RunState.FINISHED)
    made = make_metrics(session, run, iterations=range(1, 4))

    events = read_events(api, run.id, **{"Last-Event-ID": str(made[1].id)})

    assert [data.get("iteration") for _, _, data in events] == [3, None]


EXAMPLES: dict[str, dict[str, Any]] = {
    "phase": {"phase": "loading"},
    "plan": {"iterations": 3, "updates": 3, "samples": 1, "trainable_parameters": 1, "parameters": 2},
    "metric": {"iteration": 1, "loss": None, "learning_rate": 1.0, "seconds": 1.0, "memory_bytes": 1},
    "checkpoint": {"iteration": 5, "updates": 5, "file": "a", "adapter": None, "size_bytes": 1},
    "resumed": {"iteration": 5, "damaged": [{"iteration": 9, "problem": "gone"}]},
    "answers": {"iteration": 5, "answers": [], "seconds": 1.0, "dtype": "float32", "quantised": False},
    "passed-over": {"iteration": 5, "problem": "gone"},
    "end": {"outcome": "finished"},
}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_whatever_a_trainer_tells_is_passed_on(kind: str) -> None:
    """Each kind of its events has its shape here."""
    told = trainer_event_adapter.validate_python(EXAMPLES[kind] | {"kind": kind, "time": 0.0})
    data = told.model_dump(mode="json", exclude={"kind", "answers"})
    reply = event_reply(Event(id=1, run_id=1, attempt=1, kind=kind, data=data))

    assert reply is not None
    assert reply.kind == kind


def test_every_kind_of_a_trainer_s_events_is_tried() -> None:
    """None is forgotten above."""
    kinds = TypeAdapter(Any).validate_python(trainer_event_adapter.json_schema()["discriminator"]["mapping"])

    assert set(kinds) == set(EXAMPLES)


def test_a_kind_that_nobody_knows_is_left_out() -> None:
    """A newer worker's news breaks no stream."""
    assert event_reply(Event(id=1, run_id=1, attempt=1, kind="omen", data={})) is None


def test_a_run_that_is_not_there_has_no_stream(api: TestClient, session: Session) -> None:
    """A 404 of the one shape, and no stream that never says anything."""
    reply = api.get("/api/v1/runs/99/events", headers=STREAM)

    assert (reply.status_code, reply.json()["error"]["kind"]) == (404, "not_found")


def test_streams_of_one_user_are_bounded(api: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is a 429 with a sentence and `Retry-After`, and its end gives the place back."""
    run, most = make_run(session, state=RunState.FINISHED), settings().streams_per_user
    places = limits.Places()
    places.taken_by[1] = most
    monkeypatch.setattr(limits, "streams", places)

    full = api.get(f"/api/v1/runs/{run.id}/events", headers=STREAM)
    places.taken_by[1] = most - 1
    free = [api.get(f"/api/v1/runs/{run.id}/events", headers=STREAM).status_code for _ in range(2)]

    assert (full.status_code, full.json()["error"]["kind"]) == (429, "too_many")
    assert int(full.headers["retry-after"]) > 0
    assert free == [200, 200]
    assert places.taken_by[1] == most - 1


def test_events_are_described_with_their_types(api: TestClient) -> None:
    """The description has a schema of each kind."""
    schemas = api.get("/api/v1/openapi.json").json()["components"]["schemas"]

    assert set(schemas["RunEvent"]["discriminator"]["mapping"]) == set(EXAMPLES) | {
        "state", "retired", "stop", "asking", "over",
    }  # fmt: skip
