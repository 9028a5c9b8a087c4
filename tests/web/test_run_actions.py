"""What a person does to a run: stop it, resume it, move it, pin what it saved, start it once."""

import time

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.domain.attempts import Ending, claim_run, end_attempt
from app.domain.models import ReasonKind, Run, RunState
from app.domain.presence import WorkerPresence, announce_worker
from app.domain.presets import SMALL_MODEL
from app.domain.runs import request_stop, resume_run
from app.domain.waiting import waiting_run_ids
from app.web import workers
from tests.factories import make_checkpoint, make_model, make_run
from tests.web.form_fields import filled, soup_of


@pytest.fixture(autouse=True)
def _no_memory() -> None:
    """Let each test look at the workers anew."""
    workers.forget()


def post(client: TestClient, path: str, **fields: str) -> int:
    """Send a form as the page does; return the answer's status."""
    return client.post(path, data=fields, follow_redirects=False).status_code


@pytest.mark.parametrize(("fields", "keeps"), [({}, False), ({"keep": "true"}, True)])
def test_stop_may_keep_a_checkpoint(client: TestClient, session: Session, fields: dict[str, str], keeps: bool) -> None:
    """The dialog's two buttons send what they say."""
    run = make_run(session, state=RunState.RUNNING)

    assert post(client, f"/runs/{run.id}/stop", **fields) == 303

    session.refresh(run)
    assert (run.stop_requested_at is not None, run.stop_keeps) == (True, keeps)


def test_a_stopped_run_is_resumed(client: TestClient, session: Session) -> None:
    """Its page says from where; one that has finished has no such button and refuses."""
    run = make_run(session, state=RunState.CANCELLED, iteration=7, iterations=20)
    make_checkpoint(session, run, iteration=5, state_file="states/iter_5.pth")
    done = make_run(session, state=RunState.FINISHED)
    assert "Resume at 5" in client.get(f"/runs/{run.id}").text
    assert "/resume" not in client.get(f"/runs/{done.id}").text

    assert post(client, f"/runs/{run.id}/resume") == 303
    assert post(client, f"/runs/{done.id}/resume") == 409

    session.refresh(run)
    assert run.state is RunState.QUEUED


def test_a_waiting_run_is_moved(client: TestClient, session: Session) -> None:
    """The page names its place, and its buttons change it."""
    announce_worker(WorkerPresence("w", "CPU", 1, time.time()))
    make_run(session)
    second = make_run(session)
    assert "Number 2 of 2 in the queue" in client.get(f"/runs/{second.id}").text

    assert post(client, f"/runs/{second.id}/queue", place="1") == 303
    assert post(client, f"/runs/{second.id}/queue", place="0") == 422

    assert waiting_run_ids(session)[0] == second.id


def test_a_checkpoint_is_pinned_and_left_again(client: TestClient, session: Session) -> None:
    """The menu offers what is not so; the table says what is."""
    checkpoint = make_checkpoint(session, make_run(session, state=RunState.FINISHED))
    page = f"/runs/{checkpoint.run_id}"

    assert post(client, f"/checkpoints/{checkpoint.id}/pin", is_pinned="true") == 303
    assert "kept by hand" in client.get(page).text
    assert post(client, f"/checkpoints/{checkpoint.id}/pin", is_pinned="") == 303
    assert "kept by hand" not in client.get(page).text


def test_a_lost_attempt_is_told(client: TestClient, session: Session) -> None:
    """Each with where it began and how it ended; the page says what comes next."""
    announce_worker(WorkerPresence("w", "CPU", 1, time.time()))
    run = make_run(session, state=RunState.RUNNING)
    ending = Ending(RunState.FAILED, ReasonKind.KILLED, "9")
    end_attempt(session, run.id or 0, attempt=1, ending=ending)

    waiting = client.get(f"/runs/{run.id}").text
    assert "Attempt 1 was lost" in waiting
    assert "Try 1 of 3" in waiting

    session.refresh(run)
    claim_run(session, run.id or 0, worker="other")
    again = client.get(f"/runs/{run.id}").text
    assert "killed by signal 9" in again
    assert "in progress" in again


def test_each_attempt_says_how_it_ended(client: TestClient, session: Session) -> None:
    """Left by its worker, stopped by a person, and stopped again: two different words."""
    run_id = make_run(session).id or 0
    for number, is_stopped in enumerate((False, True, True), 1):
        claim_run(session, run_id, worker="w")
        if is_stopped:
            request_stop(session, run_id)
        end_attempt(session, run_id, attempt=number, ending=Ending(RunState.QUEUED))
        if number == 2:
            resume_run(session, run_id)
    session.commit()

    rows = soup_of(client.get(f"/runs/{run_id}")).select("#run-attempts tbody tr")

    assert [row.select("td")[1].get_text(strip=True) for row in rows] == ["stopped", "stopped", "saved and left"]


def test_the_form_sent_twice_starts_one_run(client: TestClient, session: Session) -> None:
    """Its key comes with the page; a run may wait for another one."""
    make_model(session, name=SMALL_MODEL)
    other = make_run(session, state=RunState.RUNNING)
    fields = filled(soup_of(client.get("/runs/new")), after=str(other.id))

    first = client.post("/runs", data=fields, follow_redirects=False).headers["location"]
    again = client.post("/runs", data=fields, follow_redirects=False).headers["location"]

    assert first == again
    run = session.get_one(Run, int(first.rpartition("/")[2]))
    assert (run.after_run_id, [run.request_key]) == (other.id, fields["request_key"])
