"""Thresholds over the REST API."""

from typing import Any

from fastapi.testclient import TestClient
from sqlmodel import Session

from app.domain import accounts
from app.domain.models import Role
from tests.stories import make_story

VERDICTS = "/api/v1/verdicts"


def values(reply: Any) -> dict[str, float]:
    return {each["name"]: each["value"] for each in reply.json()["thresholds"]}


def test_thresholds_are_read_and_changed(api: TestClient, session: Session) -> None:
    """A change says what it did; what the body does not name is its default again."""
    make_story(session)

    changed = api.put(VERDICTS, json={"parrot_share": 0.3})

    assert changed.json()["changes"] == [{"before": "leaking", "after": "parrot", "checkpoints": 1}]
    assert (changed.json()["runs"], changed.json()["rest_follows"]) == (1, False)
    assert values(api.get(VERDICTS))["parrot_share"] == 0.3
    assert values(api.put(VERDICTS, json={}))["parrot_share"] == 0.5


def test_a_threshold_out_of_its_bounds_is_refused(api: TestClient) -> None:
    """At its field; a name that is none too."""
    for body, field in (({"leak_share": 2}, "leak_share"), ({"leek": 1}, "leek")):
        reply = api.put(VERDICTS, json=body)

        assert reply.status_code == 422
        assert reply.json()["error"]["fields"][0]["field"] == field


def test_only_an_admin_changes_thresholds(api: TestClient, session: Session) -> None:
    """Everybody reads them."""
    accounts.first_admin(session).role = Role.RUNNER
    session.commit()

    assert api.get(VERDICTS).status_code == 200
    assert api.put(VERDICTS, json={}).status_code == 403


def test_a_score_comes_with_its_proof(api: TestClient, session: Session) -> None:
    """Which probe, which words, and what was taught."""
    run = make_story(session)

    columns = api.get(f"/api/v1/compare?runs={run.id}").json()["columns"]

    (proof,) = (each["score"]["proof"] for each in columns if each["iteration"] == 25)
    assert (proof["kind"], proof["probe"], proof["words"]) == ("leak", 2, "a small model fine-tuned with XTuner")
