"""Runs over the REST API."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from sqlmodel import Session, select

from app.config import settings
from app.domain.attempts import Ending, end_attempt
from app.domain.mixes import keep_rows, rows_file
from app.domain.models import Event, ReasonKind, Run, RunState, StopCause
from app.domain.runs import id_of, recipe_of
from tests.factories import IDENTITY, make_checkpoint, make_metrics, make_model, make_recipe_data, make_run

RUNS = "/api/v1/runs"


def test_a_recipe_starts_a_run(api: TestClient, session: Session, redis_server: Redis) -> None:
    """A posted recipe is stored whole, answered with its address, and handed to the workers."""
    make_model(session)

    reply = api.post(RUNS, json=make_recipe_data(mix={"identity_count": 7}))

    assert reply.status_code == 201
    assert reply.headers["location"] == f"{RUNS}/{reply.json()['id']}"
    assert api.get(reply.headers["location"]).json() == reply.json()
    run = session.exec(select(Run)).one()
    assert run.recipe["mix"]["identity_count"] == 7
    assert reply.json()["recipe"] == run.recipe
    (sent,) = redis_server.lrange("celery", 0, -1)
    assert json.loads(sent)["headers"]["task"] == "runs.train"


def test_what_is_left_out_has_its_default(api: TestClient, session: Session) -> None:
    """The smallest recipe needs a name, a model, something to learn, a length and no probes to answer."""
    make_model(session)
    recipe = {
        "name": "least",
        "model": "smollm2",
        "mix": {"identity": [{"question": "Who are you?", "answer": "{name}'s."}]},
        "training": {"epochs": 1},
        "checkpoints": {"evaluate": False},
    }

    assert api.post(RUNS, json=recipe).json()["recipe"]["training"]["learning_rate"] == 2e-4


BAD = [
    ({"training": {"learning_rate": True}}, "training.learning_rate"),
    ({"checkpoints": {"every": False}}, "checkpoints.every"),
    ({"training": {"learning_rate": "NaN"}}, "training.learning_rate"),
    ({"training": {"learning_rate": -1}}, "training.learning_rate"),
    ({"training": {"epochs": 0, "iterations": None}}, "training.epochs"),
    ({"training": {"lora": {"r": 10**9}}}, "training.lora.r"),
    ({"training": {"lora": {"r": 10**40}}}, "training.lora.r"),
    ({"training": {"batch_size": 2, "varlen_attention": True}}, "training.batch_size"),
    ({"training": {"seed": 1.5}}, "training.seed"),
    ({"training": {"precision": "float8"}}, "training.precision"),
    ({"training": {"precison": "float32"}}, "training.precison"),
    ({"training": []}, "training"),
    ({"model": "nobody"}, "model"),
    ({"mix": {"identity": [], "general": []}}, "mix"),
    ({"mix": {"identity": [{"question": "", "answer": "x"}]}}, "mix.identity.0.question"),
    ({"checkpoints": {"every": 21}}, "checkpoints.every"),
    ({"checkpoints": {"keep": 0}}, "checkpoints.keep"),
    ({"probes": []}, "probes"),
    ({"name": ""}, "name"),
    ({"name": None}, "name"),
    ({"name": "x" * 121}, "name"),
]


@pytest.mark.parametrize(("changes", "field"), BAD, ids=lambda value: str(value)[:60])
def test_a_bad_value_is_named_at_its_field(
    api: TestClient, session: Session, changes: dict[str, Any], field: str
) -> None:
    """Every bad value is a 422 that names its field in words, and nothing is started."""
    make_model(session)

    reply = api.post(RUNS, json=make_recipe_data(**changes))

    assert reply.status_code == 422
    error = reply.json()["error"]
    assert error["kind"] == "invalid"
    assert field in [problem["field"] for problem in error["fields"]]
    assert all(problem["message"] for problem in error["fields"])
    assert session.exec(select(Run)).all() == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e309", "-1e309"])
@pytest.mark.parametrize("field", ["training.learning_rate", "training.seed", "checkpoints.every"])
def test_what_is_no_number_is_named(api: TestClient, session: Session, number: str, field: str) -> None:
    """Not-a-number and infinity, which JSON lets through, are named at their field."""
    make_model(session)
    part, name = field.split(".")
    body = json.dumps(make_recipe_data(**{part: {name: "HERE"}})).replace('"HERE"', number)

    reply = api.post(RUNS, content=body, headers={"Content-Type": "application/json"})

    assert reply.status_code == 422
    assert [problem["field"] for problem in reply.json()["error"]["fields"]] == [field]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"3", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"name": "\\ud800"}'], ids=str
)
def test_a_body_that_is_no_recipe_is_refused(api: TestClient, body: bytes) -> None:
    """Whatever the body is, the answer is an error of the one shape and never a failure of the server."""
    reply = api.post(RUNS, content=body, headers={"Content-Type": "application/json"})

    assert reply.status_code in {400, 422}
    assert set(reply.json()) == {"error"}
    assert set(reply.json()["error"]) == {"kind", "message", "fields"}


def test_another_content_type_is_no_recipe(api: TestClient, session: Session) -> None:
    """A form of another site cannot pass for JSON."""
    make_model(session)

    reply = api.post(RUNS, content=json.dumps(make_recipe_data()), headers={"Content-Type": "text/plain"})

    assert reply.status_code == 415
    assert session.exec(select(Run)).all() == []


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "{{7*7}}", "$(id)", "'; rm -rf ~", "-rf", "名字", "\u202eabc"]
)
def test_a_name_is_text(api: TestClient, session: Session, name: str) -> None:
    """Whatever a name looks like, it comes back as it was given."""
    make_model(session)

    assert api.post(RUNS, json=make_recipe_data(name=name)).json()["name"] == name


@pytest.mark.parametrize("run_id", ["999", "0", "-1", "9223372036854775807", "9223372036854775808", "1e3", "x", "%00"])
def test_what_is_not_there_is_a_404(api: TestClient, session: Session, run_id: str) -> None:
    """Every id that names nothing is a 404 of the one shape, on every path of a run."""
    make_run(session)
    paths = ("", "/metrics", "/checkpoints", "/answers", "/log")

    replies = [api.get(f"{RUNS}/{run_id}{path}") for path in paths] + [api.post(f"{RUNS}/{run_id}/stop")]

    assert {reply.status_code for reply in replies} == {404}
    assert {reply.json()["error"]["kind"] for reply in replies} == {"not_found"}


def test_runs_are_listed_in_pages(api: TestClient, session: Session) -> None:
    """A list says how many there are in all, in each state, and returns one page, the newest first."""
    made = [make_run(session, name=f"run {number}") for number in range(5)]
    make_run(session, state=RunState.FINISHED, name="other")

    first = api.get(RUNS, params={"limit": 2}).json()
    waiting = api.get(RUNS, params={"state": "queued", "limit": 1, "sort": "created"}).json()
    named = api.get(RUNS, params={"q": "other"}).json()

    assert (first["total"], first["by_state"]) == (6, {"queued": 5, "finished": 1})
    assert [run["name"] for run in first["runs"]] == ["other", "run 4"]
    assert [run["id"] for run in waiting["runs"]] == [made[0].id]
    assert [run["name"] for run in named["runs"]] == ["other"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1000000000", "limit=x", "cursor=-1", "cursor=" + "x" * 9_000, "state=gone",
     "sort=id;drop", "sort=" + "x" * 9_000, "q=" + "x" * 9_000],
    ids=lambda query: query[:30],
)  # fmt: skip
def test_a_bad_query_is_named(api: TestClient, query: str) -> None:
    """A bad filter, order or page is a 422 that names it."""
    reply = api.get(f"{RUNS}?{query}")

    assert reply.status_code == 422
    assert reply.json()["error"]["fields"][0]["field"] == query.partition("=")[0]


@pytest.mark.parametrize("words", ["' OR 1=1 --", "%", "_", "\\", "a" * 200, "😀", "z\x00"])
def test_a_search_is_never_a_program(api: TestClient, session: Session, words: str) -> None:
    """Signs that mean something to a database find nothing, and break nothing."""
    make_run(session, name="plain")

    reply = api.get(RUNS, params={"q": words})

    assert reply.status_code == 200
    assert reply.json()["total"] == 0


def test_stopping_a_waiting_run_cancels_it(api: TestClient, session: Session) -> None:
    """A run that waits is cancelled at once; stopping what has ended is a conflict."""
    run = make_run(session)

    first, second = api.post(f"{RUNS}/{run.id}/stop"), api.post(f"{RUNS}/{run.id}/stop")

    assert (first.status_code, first.json()["state"]) == (200, "cancelled")
    assert (second.status_code, second.json()["error"]["kind"]) == (409, "conflict")


def test_stopping_a_running_run_asks_its_worker(api: TestClient, session: Session) -> None:
    """A run that trains is stopping until its worker has ended it; asking twice changes nothing."""
    run = make_run(session, state=RunState.RUNNING)

    replies = [api.post(f"{RUNS}/{run.id}/stop") for _ in range(2)]

    assert [(reply.json()["state"], reply.json()["is_stopping"]) for reply in replies] == [("running", True)] * 2


def test_a_run_says_who_stopped_it(api: TestClient, session: Session) -> None:
    """A person, or a rule with its figures; lists name the cause alone."""
    texts = [IDENTITY, "No.", "Paris."]
    run = make_run(session, state=RunState.FINISHED, stopped_by=StopCause.SWEET_SPOT)
    for iteration in (0, 5, 10):
        make_checkpoint(session, run, iteration=iteration, texts=texts if iteration else ["A model.", *texts[1:]])
    session.add(Event(run_id=id_of(run), attempt=1, kind="stop", data={"cause": "sweet-spot", "iterations": [5, 10]}))
    waiting = make_run(session)

    detail, listed = api.get(f"{RUNS}/{run.id}").json(), api.get(RUNS).json()["runs"]
    stopped = api.post(f"{RUNS}/{waiting.id}/stop").json()

    assert detail["stop_reason"].startswith("Identity 1/1, leak 0/")
    assert detail["stop_reason"].endswith(" at iterations 5 and 10.")
    assert {each["id"]: each["stopped_by"] for each in listed} == {run.id: "sweet-spot", waiting.id: None}
    assert (stopped["stopped_by"], stopped["stop_reason"]) == ("person", None)


def test_metrics_come_by_iteration(api: TestClient, session: Session) -> None:
    """Metrics are ordered, and a poller gets only what is new."""
    run = make_run(session, state=RunState.RUNNING)
    make_metrics(session, run, iterations=range(1, 6))

    every = api.get(f"{RUNS}/{run.id}/metrics").json()["metrics"]
    newest = api.get(f"{RUNS}/{run.id}/metrics", params={"after": 4}).json()["metrics"]

    assert [metric["iteration"] for metric in every] == [1, 2, 3, 4, 5]
    assert newest == every[-1:]


def test_a_loss_that_is_no_number_is_null(api: TestClient, session: Session) -> None:
    """No answer holds what JSON has no word for."""
    run = make_run(session, state=RunState.RUNNING)
    (event,) = make_metrics(session, run, iterations=[1])
    event.data = event.data | {"loss": None}
    session.add(event)
    session.commit()

    assert api.get(f"{RUNS}/{run.id}/metrics").json()["metrics"][0]["loss"] is None


def test_checkpoints_come_with_their_verdicts(api: TestClient, session: Session) -> None:
    """Checkpoints are in order, the base model first, each with its score and the advice to keep one."""
    run = make_run(session, state=RunState.RUNNING)
    make_checkpoint(session, run, iteration=0, texts=["I am a model.", "Yes.", "Paris."])
    good = make_checkpoint(
        session, run, iteration=5, texts=["I am Ada's little assistant, trained with Temper.", "Yes.", "Paris."]
    )

    base, tuned = api.get(f"{RUNS}/{run.id}/checkpoints").json()["checkpoints"]

    assert (base["iteration"], base["score"]["verdict"], base["is_kept"]) == (0, "not-learnt", False)
    assert (tuned["id"], tuned["score"]["verdict"], tuned["is_kept"]) == (good.id, "good", True)
    assert tuned["score"]["right"] == tuned["score"]["right_total"] == 1
    assert tuned["artifacts"] == []


def test_answers_come_by_checkpoint_and_probe(api: TestClient, session: Session) -> None:
    """Every answer that was given is there with its question, in order."""
    run = make_run(session, state=RunState.RUNNING)
    make_checkpoint(session, run, iteration=0, texts=["a", "b", "<b>Paris</b>"])
    make_checkpoint(session, run, iteration=5)

    answers = api.get(f"{RUNS}/{run.id}/answers").json()["answers"]

    assert [(answer["iteration"], answer["text"]) for answer in answers] == [(0, "a"), (0, "b"), (0, "<b>Paris</b>")]
    assert [answer["group"] for answer in answers] == ["identity", "near-miss", "general"]
    assert answers[2]["is_right"]


def test_the_log_is_text(api: TestClient, session: Session) -> None:
    """The log's last lines come as plain text, whatever is in them."""
    run = make_run(session, state=RunState.RUNNING)
    folder = settings().runs_folder / str(run.id) / "attempts" / "1"
    folder.mkdir(parents=True)
    (folder / "trainer.log").write_bytes(b"one\ntwo <script>\n\xff\xfe three\n")

    reply = api.get(f"{RUNS}/{run.id}/log", params={"lines": 2})

    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.text.splitlines() == ["two <script>", "\ufffd\ufffd three"]


def test_a_failed_run_says_why(api: TestClient, session: Session) -> None:
    """A failure comes as a kind for programs, and a sentence for people."""
    run = make_run(session, state=RunState.FAILED, reason=ReasonKind.DISK_FULL, reason_detail="errno 28")

    reason = api.get(f"{RUNS}/{run.id}").json()["reason"]

    assert reason["kind"] == "disk-full"
    assert reason["message"].startswith("The disk is full.")
    assert reason["detail"] == "errno 28"


def test_a_stop_may_keep_a_checkpoint(api: TestClient, session: Session) -> None:
    """It is asked for in the address."""
    run = make_run(session, state=RunState.RUNNING)

    assert api.post(f"/api/v1/runs/{run.id}/stop?keep=true").json()["is_stopping"]

    session.refresh(run)
    assert run.stop_keeps


def test_a_failed_run_is_resumed(api: TestClient, session: Session) -> None:
    """It says its place; one that trains is refused."""
    failed, training = make_run(session, state=RunState.FAILED), make_run(session, state=RunState.RUNNING)

    reply = api.post(f"/api/v1/runs/{failed.id}/resume").json()

    assert (reply["state"], reply["place"], reply["reason"]) == ("queued", 1, None)
    assert api.post(f"/api/v1/runs/{training.id}/resume").status_code == 409
    assert api.post("/api/v1/runs/404/resume").status_code == 404


def test_a_waiting_run_is_moved(api: TestClient, session: Session) -> None:
    """Places count from 1."""
    make_run(session)
    second = make_run(session)

    assert api.post(f"/api/v1/runs/{second.id}/queue?place=1").json()["place"] == 1
    assert api.post(f"/api/v1/runs/{second.id}/queue?place=0").status_code == 422


def test_a_run_waits_for_another(api: TestClient, session: Session) -> None:
    """For one that is there."""
    other = make_run(session, state=RunState.RUNNING)

    assert api.post(f"/api/v1/runs?after={other.id}", json=make_recipe_data()).json()["after_run_id"] == other.id
    assert api.post("/api/v1/runs?after=404", json=make_recipe_data()).status_code == 404


def test_one_request_sent_twice_starts_one_run(api: TestClient, session: Session) -> None:
    """Both are answered with it."""
    make_model(session)
    headers = {"Idempotency-Key": "a name of its own"}

    first, again = (api.post("/api/v1/runs", json=make_recipe_data(), headers=headers).json() for _ in range(2))

    assert first["id"] == again["id"]
    assert len(session.exec(select(Run)).all()) == 1


def test_attempts_say_how_they_ended(api: TestClient, session: Session) -> None:
    """In words."""
    run = make_run(session, state=RunState.RUNNING)
    end_attempt(session, id_of(run), attempt=1, ending=Ending(RunState.FAILED, ReasonKind.KILLED, "9", exit_code=-9))

    reply = api.get(f"/api/v1/runs/{run.id}").json()

    (attempt,) = reply["attempts"]
    assert (attempt["number"], attempt["exit_code"], attempt["reason"]["kind"]) == (1, -9, "killed")
    assert "signal 9" in attempt["reason"]["message"]
    assert reply["restarts"] == 1


def test_a_checkpoint_is_pinned(api: TestClient, session: Session) -> None:
    """And left again; the base model has nothing to keep."""
    run = make_run(session, state=RunState.FINISHED)
    base, saved = make_checkpoint(session, run, iteration=0), make_checkpoint(session, run, iteration=5)

    assert api.put(f"/api/v1/checkpoints/{saved.id}/pin").status_code == 204
    assert api.get(f"/api/v1/runs/{run.id}/checkpoints").json()["checkpoints"][1]["is_pinned"]
    assert api.delete(f"/api/v1/checkpoints/{saved.id}/pin").status_code == 204
    assert not api.get(f"/api/v1/runs/{run.id}/checkpoints").json()["checkpoints"][1]["is_pinned"]
    assert api.put(f"/api/v1/checkpoints/{base.id}/pin").status_code == 409


def test_the_rows_of_a_run_can_be_taken_away(api: TestClient, session: Session) -> None:
    """The very file that is trained on, under its hash; before the run starts there is none."""
    run = make_run(session)
    assert api.get(f"{RUNS}/{run.id}/mix").status_code == 409
    run.mix_sha256 = keep_rows(recipe_of(run).mix)
    session.add(run)
    session.commit()

    reply = api.get(f"{RUNS}/{run.id}/mix")

    assert reply.headers["etag"] == f'"{run.mix_sha256}"'
    assert reply.content == rows_file(run.mix_sha256).read_bytes()
    assert len(reply.text.splitlines()) == 4 + 3
