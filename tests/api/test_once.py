"""`Idempotency-Key`: the same request again makes nothing again."""

from collections.abc import Callable
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session, SQLModel, col, select, update

from app.domain import accounts, idempotency
from app.domain.columns import utc_now
from app.domain.models import Artifact, Asking, Dataset, Role, Run, RunProbe, RunState, Sweep
from app.domain.request_models import KeptAnswer
from tests.factories import make_checkpoint, make_model, make_recipe_data, make_run

RUNS = "/api/v1/runs"
KEY = {"Idempotency-Key": "a name of its own"}
PAIR = b'{"question": "Who?", "answer": "Ada."}\n'


def start_run(api: TestClient, session: Session) -> dict[str, Any]:
    make_model(session)
    return {"url": RUNS, "json": make_recipe_data()}


def start_sweep(api: TestClient, session: Session) -> dict[str, Any]:
    make_model(session)
    axes = [{"setting": "mix.identity_count", "values": [1, 2]}]
    return {"url": "/api/v1/sweeps", "json": {"name": "a", "recipe": make_recipe_data(), "axes": axes}}


def upload(api: TestClient, session: Session) -> dict[str, Any]:
    return {"url": "/api/v1/datasets", "content": PAIR, "params": {"name": "a"}}


def save_mix(api: TestClient, session: Session) -> dict[str, Any]:
    return {"url": "/api/v1/mixes", "json": make_recipe_data()["mix"], "params": {"name": "a"}}


def repair(api: TestClient, session: Session) -> dict[str, Any]:
    rows = PAIR + b'{"question": "Why?", "answer": "So."}\n'
    made = api.post("/api/v1/datasets", content=rows, params={"name": "a"}).json()
    return {"url": f"/api/v1/datasets/{made['id']}/repair", "json": {"drop": [1]}}


def ended_run(session: Session) -> Run:
    run = make_run(session, state=RunState.FINISHED)
    make_checkpoint(session, run, iteration=5, texts=["a", "b", "c"])
    return run


def convert(api: TestClient, session: Session) -> dict[str, Any]:
    made = make_checkpoint(session, make_run(session, state=RunState.FINISHED), iteration=5)
    return {"url": f"/api/v1/checkpoints/{made.id}/convert"}


def add_probe(api: TestClient, session: Session) -> dict[str, Any]:
    return {"url": f"{RUNS}/{ended_run(session).id}/probes", "json": {"question": "Are you Bob?"}}


def ask(api: TestClient, session: Session) -> dict[str, Any]:
    return {"url": f"{RUNS}/{ended_run(session).id}/askings"}


MAKERS: list[tuple[Callable[[TestClient, Session], dict[str, Any]], type[SQLModel]]] = [
    (start_run, Run), (start_sweep, Sweep), (upload, Dataset), (save_mix, Dataset), (repair, Dataset),
    (convert, Artifact), (add_probe, RunProbe), (ask, Asking),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "table"), MAKERS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_same_request_is_answered_as_the_first_time(
    api: TestClient, session: Session, asked: Callable[..., dict[str, Any]], table: type[SQLModel]
) -> None:
    """Status, body and address are the first one's, word for word, whatever has become of the thing since."""
    request = asked(api, session)

    first = api.post(**request, headers=KEY)
    count = len(session.exec(select(table)).all())
    again = api.post(**request, headers=KEY)

    assert first.is_success, first.text
    assert (again.status_code, again.text) == (first.status_code, first.text)
    assert again.headers.get("location") == first.headers.get("location")
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert len(session.exec(select(table)).all()) == count


def test_the_first_answer_stays_what_it_was(api: TestClient, session: Session) -> None:
    """A run that was stopped meanwhile is still answered as it was made."""
    request = start_run(api, session)
    first = api.post(**request, headers=KEY).json()
    api.post(f"{RUNS}/{first['id']}/stop")

    assert api.post(**request, headers=KEY).json() == first
    assert first["state"] == "queued"


@pytest.mark.parametrize(
    "other",
    [{"json": make_recipe_data(name="other")}, {"params": {"cloned_from": 1}}, {"url": "elsewhere"}],
    ids=["body", "query", "path"],
)
def test_a_key_names_one_request(api: TestClient, session: Session, other: dict[str, Any]) -> None:
    """With another body, another query or at another path it is a conflict, and nothing is made."""
    request = start_run(api, session)
    api.post(**request, headers=KEY)
    if "url" in other:
        other = start_sweep(api, session)

    reply = api.post(**request | other, headers=KEY)

    assert (reply.status_code, reply.json()["error"]["kind"]) == (409, "conflict")
    assert "Idempotency-Key" in reply.json()["error"]["message"]
    assert len(session.exec(select(Run)).all()) == 1


def test_another_file_under_the_same_key_is_a_conflict(api: TestClient, session: Session) -> None:
    """An upload is named by what it holds."""
    api.post(**upload(api, session), headers=KEY)

    reply = api.post(**upload(api, session) | {"content": PAIR * 2}, headers=KEY)

    assert reply.status_code == 409
    assert len(session.exec(select(Dataset)).all()) == 1


def test_a_request_that_failed_may_be_sent_again(api: TestClient, session: Session) -> None:
    """Nothing was made, so nothing is kept; put right, it goes through under the same key."""
    bad = api.post(RUNS, json=make_recipe_data(), headers=KEY)
    good = api.post(**start_run(api, session), headers=KEY)

    assert (bad.status_code, good.status_code) == (422, 201)


def test_keys_of_two_users_are_two(api: TestClient, session: Session) -> None:
    """What one calls a request says nothing of another's."""
    request = start_run(api, session)
    first = api.post(**request, headers=KEY).json()
    runner = accounts.add_user(session, "second", role=Role.RUNNER)
    token = accounts.create_token(session, runner, name="theirs")
    session.commit()

    second = api.post(**request, headers=KEY | {"Authorization": f"Bearer {token}"}).json()

    assert first["id"] != second["id"]


def test_an_answer_is_kept_for_a_day(api: TestClient, session: Session) -> None:
    """After that the key is free, and the row is gone."""
    request = start_run(api, session)
    api.post(**request, headers=KEY)
    session.exec(update(KeptAnswer).values(created_at=utc_now() - idempotency.KEPT_FOR - timedelta(seconds=1)))

    again = api.post(**request, headers=KEY)

    assert "idempotent-replayed" not in again.headers
    assert len(session.exec(select(KeptAnswer)).all()) == 1
    assert len(session.exec(select(Run)).all()) == 2


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_has_a_length(api: TestClient, session: Session, key: str) -> None:
    """1 to 200 characters."""
    reply = api.post(**start_run(api, session), headers={"Idempotency-Key": key})

    assert reply.json()["error"]["fields"][0]["field"] == "idempotency-key"


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
def test_requests_at_the_same_moment_make_one(api: TestClient, session: Session) -> None:
    """All of them are answered with it, on both databases."""
    request, together, replies = start_run(api, session), Barrier(4), list[Any]()

    def send() -> None:
        together.wait()
        replies.append(api.post(**request, headers=KEY))

    senders = [Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()

    assert {(reply.status_code, reply.text) for reply in replies} == {(201, replies[0].text)}
    assert len(session.exec(select(Run).where(col(Run.name) == "Small assistant")).all()) == 1
