"""Lists a page at a time, and as lines."""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlmodel import Session

from app.api.paging import NDJSON, make_cursor, read_cursor
from app.domain.errors import InvalidError
from app.domain.models import Event, RunState, StoredScore
from app.domain.runs import id_of
from tests.factories import IDENTITY, make_checkpoint, make_metrics, make_model, make_run
from tests.sweep_stories import make_sweep

RUNS = "/api/v1/runs"
LINES = {"Accept": NDJSON}


def pages(api: TestClient, path: str, key: str, **params: Any) -> Iterator[list[Any]]:
    """Follow the cursors of a list to its end."""
    cursor: str | None = ""
    while cursor is not None:
        body = api.get(path, params=params | {"cursor": cursor}).json()
        yield body[key]
        cursor = body["next_cursor"]


def lines(api: TestClient, path: str, **params: Any) -> list[Any]:
    """Read a list as lines."""
    reply = api.get(path, params=params, headers=LINES)
    assert reply.headers["content-type"].startswith(NDJSON)
    return [json.loads(line) for line in reply.text.splitlines()]


@pytest.mark.parametrize("sort", ["created", "-created", "name", "-name", "loss", "-loss", "state", "queue", "-queue"])
def test_pages_hold_every_run_once_in_order(api: TestClient, session: Session, sort: str) -> None:
    """Whatever the order, with equals and with nothing to sort by, the pages together are the whole list."""
    for number in range(7):
        state = RunState.QUEUED if number % 2 else RunState.FINISHED
        make_run(session, name=f"Name {number % 3}", loss=None if number % 3 else float(number % 2), state=state)

    whole = [run["id"] for run in api.get(RUNS, params={"sort": sort, "limit": 200}).json()["runs"]]
    cut = [[run["id"] for run in page] for page in pages(api, RUNS, "runs", sort=sort, limit=3)]

    assert [len(page) for page in cut] == [3, 3, 1]
    assert list(chain.from_iterable(cut)) == whole
    assert [run["id"] for run in lines(api, RUNS, sort=sort)] == whole


def test_a_run_that_comes_meanwhile_shifts_nothing(api: TestClient, session: Session) -> None:
    """The next page begins behind the last run seen, wherever that stands by now."""
    made = [make_run(session, name=f"run {number}").id for number in range(4)]
    first = api.get(RUNS, params={"limit": 2}).json()
    make_run(session, name="newcomer")

    second = api.get(RUNS, params={"limit": 2, "cursor": first["next_cursor"]}).json()

    assert [run["id"] for run in second["runs"]] == [made[1], made[0]]
    assert second["next_cursor"] is None
    assert second["total"] == 5


def test_runs_are_chosen(api: TestClient, session: Session) -> None:
    """By name, model, sweep, time and verdict; what fits none is an empty list."""
    other = make_model(session, name="other")
    run = make_run(session, name="one", model=other)
    made = make_checkpoint(session, run, iteration=5)
    session.merge(StoredScore(checkpoint_id=id_of(made), fingerprint="x", verdict="good", counts={}))
    session.commit()
    in_sweep = make_sweep(session)
    before = {"created_before": (run.created_at + timedelta(microseconds=1)).isoformat()}
    after = {"created_after": run.created_at.isoformat()}

    def found(**params: Any) -> list[int]:
        return sorted(each["id"] for each in api.get(RUNS, params=params | {"limit": 200}).json()["runs"])

    assert found(name="one") == found(model="other") == found(verdict="good") == found(**before) == [run.id]
    assert run.id not in found(**after)
    assert run.id not in found(sweep=in_sweep.id)
    assert len(found(sweep=in_sweep.id)) > 1
    assert found(name="on") == found(verdict="parrot") == found(model="\x00") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [("verdict=best", "verdict"), ("created_after=2026-11-26", "created_after"), ("sweep=0", "sweep"),
     ("created_before=0001-01-01T00:00:00%2B14:00", "created_before"), ("cursor=a", "cursor"), ("limit=201", "limit")],
)  # fmt: skip
def test_a_choice_that_is_none_is_named(api: TestClient, query: str, field: str) -> None:
    """422 at the parameter."""
    reply = api.get(f"{RUNS}?{query}")

    assert reply.status_code == 422
    assert [each["field"] for each in reply.json()["error"]["fields"]] == [field]


def test_a_cursor_is_of_its_list(api: TestClient, session: Session) -> None:
    """With another order, with other filters and on another list it is refused."""
    for _ in range(2):
        run = make_run(session)
    cursor = api.get(RUNS, params={"limit": 1}).json()["next_cursor"]

    of_run = f"/{run.id}/checkpoints"
    elsewhere: list[tuple[str, dict[str, str]]] = [("", {"sort": "name"}), ("", {"q": "x"}), (of_run, {})]
    replies = [api.get(RUNS + path, params=params | {"cursor": cursor}) for path, params in elsewhere]

    assert [reply.status_code for reply in replies] == [422] * 3
    assert api.get(RUNS, params={"limit": 1, "cursor": cursor}).status_code == 200


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: base64.urlsafe_b64encode(data).decode()))
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_garbage_is_no_cursor(text: str) -> None:
    """Whatever it is, nothing but the sentence at its field comes of it."""
    if not text:
        assert read_cursor(text, "runs") is None
        return
    with pytest.raises(InvalidError) as refused:
        read_cursor(text, "runs")

    assert [each.field for each in refused.value.fields] == ["cursor"]


def test_a_cursor_that_somebody_made_is_refused(api: TestClient, session: Session) -> None:
    """One that carries the right hash and the wrong values too."""
    run = make_run(session)
    make_checkpoint(session, run, iteration=0)

    of_checkpoints = make_cursor(("a", None), "checkpoints", run.id)
    of_sweeps = make_cursor(("a",), "sweeps")
    of_metrics = make_cursor(("a",), "metrics", run.id, 0)
    of_run = f"/runs/{run.id}"
    made = [(f"{of_run}/checkpoints", of_checkpoints), ("/sweeps", of_sweeps), (f"{of_run}/metrics", of_metrics)]

    for path, cursor in made:
        assert api.get(f"/api/v1{path}", params={"cursor": cursor}).status_code == 422


def test_what_a_run_made_comes_in_pages_and_lines(api: TestClient, session: Session) -> None:
    """Answers, checkpoints and metrics: the pages together are the lines, and both are all there is."""
    run = make_run(session, state=RunState.FINISHED)
    make_metrics(session, run, iterations=range(1, 8))
    for iteration in range(0, 30, 5):
        make_checkpoint(session, run, iteration=iteration, texts=[IDENTITY, "b", "Paris"])
    path = f"{RUNS}/{run.id}"

    answers = list(chain.from_iterable(pages(api, f"{path}/answers", "answers", limit=4)))
    metrics = list(chain.from_iterable(pages(api, f"{path}/metrics", "metrics", limit=3, after=1)))
    checkpoints = list(chain.from_iterable(pages(api, f"{path}/checkpoints", "checkpoints", limit=4)))

    assert answers == lines(api, f"{path}/answers")
    assert len({(each["checkpoint_id"], each["probe_id"]) for each in answers}) == len(answers) == 18
    assert metrics == lines(api, f"{path}/metrics", after=1)
    assert [each["iteration"] for each in metrics] == [2, 3, 4, 5, 6, 7]
    assert [each["iteration"] for each in checkpoints] == [0, 5, 10, 15, 20, 25]


def test_what_was_measured_again_comes_once(api: TestClient, session: Session) -> None:
    """Where a run went on from a checkpoint, what came after it is forgotten, as on its page."""
    run = make_run(session, state=RunState.FINISHED)
    make_metrics(session, run, iterations=range(1, 6))
    session.add(Event(run_id=id_of(run), attempt=2, kind="resumed", iteration=3, data={"iteration": 3, "damaged": []}))
    session.commit()
    make_metrics(session, run, iterations=range(4, 7))

    assert [each["iteration"] for each in lines(api, f"{RUNS}/{run.id}/metrics")] == [1, 2, 3, 4, 5, 6]


def test_a_comparison_as_lines_is_its_answers(api: TestClient, session: Session) -> None:
    """Of a whole run all, of a checkpoint its own and the base model's; scored as in the table."""
    run, other = make_run(session, state=RunState.FINISHED), make_run(session, state=RunState.FINISHED)
    for each in (run, other):
        for iteration in (0, 5, 10):
            last = make_checkpoint(session, each, iteration=iteration, texts=[IDENTITY, "b", "Paris"])

    found = lines(api, "/api/v1/compare", runs=str(run.id), checkpoints=str(last.id))

    assert {(each["run_id"], each["iteration"]) for each in found} == {
        (run.id, 0), (run.id, 5), (run.id, 10), (other.id, 0), (other.id, 10),
    }  # fmt: skip
    table = api.get("/api/v1/compare", params={"checkpoints": str(last.id)}).json()
    cells = {cell["answer_id"]: cell for row in table["rows"] for cell in row["cells"]}
    for each in found:
        assert cells.get(each["answer_id"], each).items() <= each.items()
    assert api.get("/api/v1/compare", params={"runs": "99"}, headers=LINES).status_code == 404
