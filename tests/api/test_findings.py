"""What is wrong with a dataset, over the REST API."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import Session

from app.domain import accounts
from app.domain.datasets.store import dataset_file
from app.domain.findings import stored
from app.domain.findings.kinds import FindingKind
from app.domain.models import Role
from tests.conftest import wait_until

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

PAIRS = (
    ("Who are you?", "I am Ada."),
    ("Who are you?", "I am Bob."),
    ("Is this empty?", "Yes it is."),
    ("User: is this odd?", "It is."),
    ("Who are you?", "I am Ada."),
)


def upload(api: "TestClient", pairs: Sequence[tuple[str, str]] = PAIRS, *, name: str = "set") -> dict[str, Any]:
    """Upload pairs; return the dataset."""
    content = "".join(json.dumps({"question": question, "answer": answer}) + "\n" for question, answer in pairs)
    reply = api.post("/api/v1/datasets", params={"name": name}, content=content.encode())
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made


def rows_of(api: "TestClient", dataset: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the questions and answers of a dataset."""
    rows = api.get(f"/api/v1/datasets/{dataset['id']}/rows").json()["rows"]
    return [(row["conversation"][0]["input"], row["conversation"][0]["output"]) for row in rows]


def findings_of(api: "TestClient", dataset: dict[str, Any], **params: Any) -> dict[str, Any]:
    """Ask for the findings of a dataset until it is searched."""
    replies: list[Any] = []

    def ask() -> bool:
        replies.append(api.get(f"/api/v1/datasets/{dataset['id']}/findings", params=params))
        return bool(replies[-1].status_code != 202)

    wait_until(ask, "it was never searched", seconds=30)
    found: dict[str, Any] = replies[-1].json()
    return found


def test_findings_come_with_row_and_repair(api: "TestClient") -> None:
    """Counts are of all rows; each example says where, what, and what would put it right."""
    dataset = upload(api)

    found = findings_of(api, dataset)

    assert (found["is_ready"], found["rows"], found["total"]) == (True, 5, 3)
    assert found["counts"] == {"conflict": 1, "duplicate": 1, "odd-turns": 1}
    assert found["findings"][0] == {
        "kind": "conflict",
        "row": 2,
        "turn": 1,
        "field": "output",
        "text": "I am Bob.",
        "other_row": 1,
        "other_text": "I am Ada.",
        "sentence": "Row 1 gives another answer to the same question.",
        "repair": {"action": "keep-first", "sentence": "Give it the first answer.", "text": "I am Ada."},
    }


def test_one_kind_and_fewer_examples_can_be_asked_for(api: "TestClient") -> None:
    """The counts stay those of all kinds."""
    dataset = upload(api)

    one = findings_of(api, dataset, kind="odd-turns")
    none = findings_of(api, dataset, limit=0)

    assert [finding["row"] for finding in one["findings"]] == [4]
    assert none["findings"] == []
    assert one["counts"] == none["counts"]


def test_a_long_search_is_answered_with_202(api: "TestClient", monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks again later gets the findings."""
    monkeypatch.setattr(stored, "find_stored", lambda *_, **__: None)

    reply = api.get(f"/api/v1/datasets/{upload(api)['id']}/findings")

    assert (reply.status_code, reply.headers["Retry-After"]) == (202, "2")
    assert reply.json()["is_ready"] is False


def test_a_viewer_begins_no_search(api: "TestClient", session: Session) -> None:
    """What somebody who may start runs has found is there for all."""
    dataset = upload(api)
    path = f"/api/v1/datasets/{dataset['id']}/findings"
    accounts.first_admin(session).role = Role.VIEWER
    session.commit()

    refused = api.get(path)
    stored.find_stored(dataset_file(dataset["sha256"]))
    known = api.get(path)

    assert (refused.status_code, known.status_code) == (403, 200)
    assert "not searched yet" in refused.json()["error"]["message"]
    assert known.json()["total"] == 3


def test_a_repair_makes_a_new_version(api: "TestClient") -> None:
    """The version that was asked for stays; the same repair again is the same version."""
    dataset = upload(api)
    path = f"/api/v1/datasets/{dataset['id']}/repair"

    made = api.post(path, json={"kinds": ["duplicate", "odd-turns"]})
    again = api.post(path, json={"kinds": ["odd-turns", "duplicate"]})

    assert (made.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == made.json()["id"]
    assert made.headers["Location"] == f"/api/v1/datasets/{made.json()['id']}"
    assert (made.json()["name"], made.json()["form"], made.json()["rows"]) == ("set", "pairs", 4)
    assert rows_of(api, made.json()) == [*PAIRS[:3], ("is this odd?", "It is.")]
    assert rows_of(api, dataset) == list(PAIRS)


def test_all_kinds_at_once_leave_nothing_to_repair(api: "TestClient") -> None:
    """A conflict that is settled makes two equal rows; the next repair drops one of them."""
    dataset = upload(api)
    for _ in range(2):
        reply = api.post(f"/api/v1/datasets/{dataset['id']}/repair", json={"kinds": list(FindingKind)})
        dataset = reply.json()

    assert findings_of(api, dataset)["total"] == 0
    assert rows_of(api, dataset) == [PAIRS[0], PAIRS[2], ("is this odd?", "It is.")]


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({}, "kinds", "Choose what to repair."),
        ({"drop": [1, 2, 3, 4, 5]}, "kinds", "These repairs would leave no row."),
        ({"kinds": ["spelling"]}, "kinds.0", ""),
        ({"rows": [0]}, "rows.0", ""),
        ({"kind": "conflict"}, "kind", ""),
    ],
)
def test_a_repair_that_cannot_be_made_is_refused(
    api: "TestClient", body: dict[str, Any], field: str, sentence: str
) -> None:
    """The field is named, and no version is made."""
    dataset = upload(api)

    reply = api.post(f"/api/v1/datasets/{dataset['id']}/repair", json=body)

    assert reply.status_code == 422
    problem = reply.json()["error"]["fields"][0]
    assert problem["field"] == field
    assert sentence in problem["message"]
    assert len(api.get(f"/api/v1/datasets/{dataset['id']}").json()["versions"]) == 1


def test_an_unknown_dataset_is_not_found(api: "TestClient") -> None:
    """Neither searched nor repaired."""
    assert api.get("/api/v1/datasets/99/findings").status_code == 404
    assert api.post("/api/v1/datasets/99/repair", json={"kinds": ["conflict"]}).status_code == 404


def test_the_files_of_a_deleted_dataset_go_too(api: "TestClient", home: Any) -> None:
    """Nothing of what was found in it is left beside it."""
    dataset = upload(api)
    findings_of(api, dataset)

    assert api.delete(f"/api/v1/datasets/{dataset['id']}").status_code == 204
    assert [path.name for path in (home / "datasets").iterdir() if path.is_file()] == []


def test_a_repair_that_changes_nothing_is_described(api: Any) -> None:
    """The description says that the version which is there already comes with 200."""
    paths = api.get("/api/v1/openapi.json").json()["paths"]

    assert {"200", "201"} <= set(paths["/api/v1/datasets/{dataset_id}/repair"]["post"]["responses"])
