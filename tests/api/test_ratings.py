"""Ratings and votes over HTTP."""

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.domain import accounts
from app.domain.models import Role, Run
from tests.stories import make_story


@pytest.fixture
def run(session: Session) -> Run:
    """Store the story."""
    return make_story(session)


@pytest.fixture
def viewer(anonymous: TestClient, session: Session) -> TestClient:
    """Open the app as a script of somebody who may only look."""
    user = accounts.add_user(session, "bea", role=Role.VIEWER)
    anonymous.headers["Authorization"] = f"Bearer {accounts.create_token(session, user, name='t')}"
    session.commit()
    return anonymous


def row_of(api: TestClient, run: Run) -> list[dict[str, object]]:
    """Return what the checkpoints of a run say to its first probe."""
    cells = api.get("/api/v1/compare", params={"runs": run.id}).json()["rows"][0]["cells"]
    return list(cells)


def test_a_rating_is_put_listed_and_deleted(viewer: TestClient, run: Run) -> None:
    """By whoever has a token; what it answers is what a page shows."""
    answer = row_of(viewer, run)[0]["answer_id"]
    path = f"/api/v1/answers/{answer}/rating"
    rating = {"answer_id": answer, "stars": 5, "note": "好", "users": 1, "mean_stars": 5.0}

    assert viewer.put(path, json={"stars": 5, "note": "好"}).json() == rating
    assert viewer.get(f"/api/v1/runs/{run.id}/ratings").json() == {"ratings": [rating], "next_cursor": None}
    assert viewer.delete(path).status_code == 204
    assert viewer.delete(path).status_code == 204
    assert viewer.get(f"/api/v1/runs/{run.id}/ratings").json()["ratings"] == []


def test_a_bad_rating_is_named(api: TestClient, run: Run) -> None:
    """At its field, and nothing is there for an answer that is not."""
    answer = row_of(api, run)[0]["answer_id"]

    for body, field in (({"stars": 6}, "stars"), ({"note": "x" * 2001}, "note"), ({"star": 1}, "star")):
        reply = api.put(f"/api/v1/answers/{answer}/rating", json=body)
        assert (reply.status_code, reply.json()["error"]["fields"][0]["field"]) == (422, field)
    assert api.put("/api/v1/answers/9999/rating", json={"stars": 3}).status_code == 404
    assert api.delete("/api/v1/answers/9999/rating").status_code == 404
    assert api.get("/api/v1/runs/9999/ratings").status_code == 404


def test_votes_are_posted_and_counted(viewer: TestClient, run: Run) -> None:
    """The last word on a pair counts, however often it is sent."""
    base, first, *_ = row_of(viewer, run)
    pair = [first["answer_id"], base["answer_id"]]
    for preferred in (None, base["answer_id"]):
        body = {"answer_ids": pair, "preferred_answer_id": preferred}
        assert viewer.post("/api/v1/votes", json=body).status_code == 204

    results = viewer.get("/api/v1/votes", params={"checkpoints": f"{base['checkpoint_id']},{first['checkpoint_id']}"})

    assert [vote["preferred_answer_id"] for vote in results.json()["votes"]] == [base["answer_id"]]
    assert [(each["wins"], each["losses"], each["share"]) for each in results.json()["own"]] == [(1, 0, 1), (0, 1, 0)]
    assert results.json()["own"] == results.json()["everybody"]


def test_a_bad_vote_is_named(api: TestClient, run: Run) -> None:
    """One answer twice, and nothing to look at."""
    answer = row_of(api, run)[0]["answer_id"]

    reply = api.post("/api/v1/votes", json={"answer_ids": [answer, answer]})

    assert (reply.status_code, reply.json()["error"]["fields"][0]["field"]) == (422, "answer_ids")
    assert api.get("/api/v1/votes").status_code == 422
    assert api.get("/api/v1/votes?runs=9999").status_code == 404
