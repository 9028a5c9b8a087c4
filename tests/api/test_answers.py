"""The comparison over the REST API."""

import csv
import io

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.domain.models import Asking, Checkpoint, RunState
from tests.factories import IDENTITY, make_checkpoint, make_run
from tests.stories import make_wide_run

COMPARE = "/api/v1/compare"


@pytest.fixture
def checkpoints(session: Session) -> list[Checkpoint]:
    """Return the base model and two checkpoints of a run: one to keep, one that parrots."""
    run = make_run(session, state=RunState.RUNNING, name="pair")
    return [
        make_checkpoint(session, run, iteration=0, texts=["A model.", "No.", "Paris."]),
        make_checkpoint(session, run, iteration=5, texts=[IDENTITY, "No.", "Paris."]),
        make_checkpoint(session, run, iteration=10, texts=[IDENTITY, IDENTITY, IDENTITY]),
    ]


def test_checkpoints_stand_side_by_side(api: TestClient, checkpoints: list[Checkpoint]) -> None:
    """A comparison has the base model first, a row for each probe, and a mark for each answer."""
    compared = api.get(COMPARE, params={"checkpoints": f"{checkpoints[1].id},{checkpoints[2].id}"}).json()

    assert [column["iteration"] for column in compared["columns"]] == [0, 5, 10]
    assert [column["score"]["verdict"] for column in compared["columns"]] == ["not-learnt", "good", "parrot"]
    identity, near_miss, general = compared["rows"]
    assert [cell["is_hit"] for cell in identity["cells"]] == [False, True, True]
    assert [cell["is_leak"] for cell in near_miss["cells"]] == [False, False, True]
    assert [cell["is_right"] for cell in general["cells"]] == [True, True, False]
    assert general["cells"][1]["text"] == "Paris."
    assert compared["runs"][0]["advice"]["iteration"] == 5


def test_an_answer_says_whether_it_was_asked_later(
    api: TestClient, session: Session, checkpoints: list[Checkpoint]
) -> None:
    """Of one that an asking brought it is true, of the trainer's own it is not."""
    asking = Asking(run_id=checkpoints[0].run_id)
    session.add(asking)
    session.flush()
    checkpoints[1].answers[0].asking_id = asking.id
    session.commit()

    compared = api.get(COMPARE, params={"runs": str(checkpoints[0].run_id)}).json()

    assert [cell["asked_later"] for cell in compared["rows"][0]["cells"]] == [False, True, False]


def test_the_page_of_a_comparison_shows_the_same(
    api: TestClient, client: TestClient, checkpoints: list[Checkpoint]
) -> None:
    """The path in the answer is the page with the same columns."""
    path = api.get(COMPARE, params={"runs": str(checkpoints[0].run_id)}).json()["path"]

    reply = client.get(path)

    assert reply.status_code == 200
    assert "Paris." in reply.text


def test_every_checkpoint_is_there_however_many(api: TestClient, session: Session) -> None:
    """Answers, comparison and files of a run with 160 checkpoints leave none out."""
    run = make_wide_run(session, columns=160, rows=1)

    answers = api.get(f"/api/v1/runs/{run.id}/answers").json()["answers"]
    compared = api.get(COMPARE, params={"runs": str(run.id)}).json()
    table = api.get(COMPARE, params={"runs": str(run.id), "format": "csv"}).text

    assert [answer["iteration"] for answer in answers] == list(range(0, 800, 5))
    assert len(compared["columns"]) == 160
    assert len(next(csv.reader(io.StringIO(table)))) == 3 + 160


@pytest.mark.parametrize("asked", ["checkpoints=1&checkpoints=2", "runs=1", "runs=1&checkpoints=2"])
def test_whole_runs_can_be_compared(api: TestClient, checkpoints: list[Checkpoint], asked: str) -> None:
    """A run, checkpoints, or both may be asked for."""
    assert checkpoints
    assert api.get(f"{COMPARE}?{asked}").status_code == 200


def test_a_comparison_leaves_as_a_table(api: TestClient, checkpoints: list[Checkpoint]) -> None:
    """The same comparison comes as CSV and as Markdown."""
    asked = {"runs": str(checkpoints[0].run_id)}

    as_csv = api.get(COMPARE, params=asked | {"format": "csv"})
    as_markdown = api.get(COMPARE, params=asked | {"format": "markdown"})

    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(as_csv.text)))
    assert rows[-1][-1] == IDENTITY
    assert as_markdown.headers["content-type"] == "text/markdown; charset=utf-8"
    assert as_markdown.text.startswith("| probe |")


@pytest.mark.parametrize(
    ("asked", "status", "field"),
    [
        ("", 422, "checkpoints"),
        ("checkpoints=", 422, "checkpoints"),
        ("checkpoints=x", 422, "checkpoints"),
        ("checkpoints=1,-2", 422, "checkpoints"),
        ("checkpoints=1.5", 422, "checkpoints"),
        ("checkpoints=99999999999999999999", 422, "checkpoints"),
        ("checkpoints=٣", 422, "checkpoints"),
        ("runs=1;drop", 422, "runs"),
        ("runs=" + ",".join(map(str, range(1, 502))), 422, "runs"),
        ("runs=1&format=xml", 422, "format"),
        ("checkpoints=999", 404, None),
        ("runs=999", 404, None),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_comparison_is_refused(api: TestClient, asked: str, status: int, field: str | None) -> None:
    """What is no id is named; what names nothing is a 404."""
    reply = api.get(f"{COMPARE}?{asked}")

    assert reply.status_code == status
    assert [problem["field"] for problem in reply.json()["error"]["fields"]] == ([field] if field else [])
