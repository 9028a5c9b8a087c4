"""Pages of the list of runs."""

import pytest
from bs4 import BeautifulSoup
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.domain import accounts
from app.domain.models import Role, RunState
from app.domain.waiting import waiting_run_ids
from tests.factories import make_checkpoint, make_run

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


def test_a_page_beyond_the_last_is_the_last(client: TestClient, session: Session) -> None:
    """An old address of a list that has become shorter shows its end, not that nothing is there."""
    for number in range(26):
        make_run(session, name=f"run {number}")

    page, last = client.get("/runs?page=9").text, client.get("/runs?page=2").text

    assert "No run yet" not in page
    assert "run 0</a>" in page
    assert "run 25</a>" not in page
    assert page.count("<tr") == last.count("<tr")


def test_a_page_of_nothing_is_the_first(client: TestClient, session: Session) -> None:
    """Where no run fits, the address of any page says so."""
    make_run(session)

    assert "No run fits" in client.get("/runs?page=9&q=nothing-like-it").text


def count_of(page: str) -> str:
    """Return the sentence that counts the runs."""
    counted = BeautifulSoup(page, "html.parser").select_one("#run-count")
    return " ".join(counted.get_text().split()) if counted else ""


def test_a_search_says_how_many_were_found(client: TestClient, session: Session) -> None:
    """Beside how many there are; what trains and waits is told of all."""
    for name in ("needle one", "hay", "needle two"):
        make_run(session, name=name)

    assert count_of(client.get("/runs").text) == "3 runs. 3 wait."
    assert count_of(client.get("/runs?q=needle").text) == "2 of 3 runs found. 3 wait."


def test_the_count_comes_along_with_a_list_that_renews_itself(client: TestClient, session: Session) -> None:
    """Typing swaps the list alone: the sentence above it is a part of the answer."""
    for name in ("needle", "hay"):
        make_run(session, name=name)

    part = BeautifulSoup(client.get("/runs?q=needle", headers=PARTIAL).text, "html.parser")

    put = part.select_one("hx-partial[hx-target='#run-count']")
    assert put is not None
    assert count_of(str(put)) == "1 of 2 runs found. 2 wait."
    assert part.select_one("#run-list") is not None


@pytest.mark.parametrize(
    ("state", "is_answered", "words"),
    [
        (RunState.RUNNING, False, "no answers yet"),
        (RunState.RUNNING, True, "no verdict yet"),
        (RunState.FAILED, True, "no verdict"),
        (RunState.FAILED, False, "no answers"),
    ],
)
def test_a_base_model_that_answered_is_an_answer(
    client: TestClient, session: Session, *, state: RunState, is_answered: bool, words: str
) -> None:
    """Beside what it said no row says that there is no answer; and “yet” is said of what may still come."""
    run = make_run(session, state=state, newest_answer="I am a model." if is_answered else "")
    make_checkpoint(session, run, iteration=0, texts=["I am a model.", "No.", "Paris."] if is_answered else None)

    row = BeautifulSoup(client.get("/runs").text, "html.parser").select_one(f"#run-row-{run.id}")

    assert row is not None
    assert row.select("td")[5].get_text(strip=True) == words


# ── The queue ──────────────────────────────────────────────────────────────


def moves_of(page: str) -> dict[str, list[str]]:
    """Return the places that each row's buttons lead to, by the name of the run."""
    table = BeautifulSoup(page, "html.parser")
    return {
        str(row.select_one("th a").get_text()): [str(button["value"]) for button in row.select("form.moves button")]
        for row in table.select("#run-table tbody tr")
    }


def test_what_waits_is_moved_from_the_list(client: TestClient, session: Session) -> None:
    """Each row says where up and down lead; the list comes back as it was asked for."""
    first, second, third = (make_run(session, name=name) for name in ("first", "second", "third"))
    make_run(session, name="runs", state=RunState.RUNNING)

    moves = moves_of(client.get("/runs").text)
    reply = client.post(f"/runs/{third.id}/queue", data={"place": "2", "back": "/runs?state=queued&sort=queue"})

    assert moves == {"first": ["1", "2"], "second": ["1", "3"], "third": ["2", "3"], "runs": []}
    assert (reply.status_code, reply.headers["location"]) == (303, "/runs?state=queued&sort=queue")
    assert list(waiting_run_ids(session)) == [first.id, third.id, second.id]


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example"])
def test_moving_leads_nowhere_else(client: TestClient, session: Session, back: str) -> None:
    """An address that is not a path of this server is replaced by home."""
    run = make_run(session)

    assert client.post(f"/runs/{run.id}/queue", data={"place": "1", "back": back}).headers["location"] == "/"


def test_what_waits_stands_in_its_order(client: TestClient, session: Session) -> None:
    """Up is up: whoever asks for the queue sees the first one first, and leaves that order with it."""
    for name in ("first", "second", "third"):
        make_run(session, name=name)
    make_run(session, name="done", state=RunState.FINISHED)

    all_runs = BeautifulSoup(client.get("/runs").text, "html.parser")
    link = next(chip for chip in all_runs.select("a.chip") if "queued" in chip.get_text())
    queue = BeautifulSoup(client.get(str(link["href"])).text, "html.parser")

    assert [each.get_text() for each in queue.select("tbody th a")] == ["first", "second", "third"]
    assert [chip["href"] for chip in queue.select("a.chip") if "finished" in chip.get_text()] == [
        "/runs?state=finished"
    ]


def test_only_what_can_be_moved_has_buttons(client: TestClient, session: Session) -> None:
    """Not the only one that waits, nor one that waits for another run, nor for somebody who may only look."""
    alone = make_run(session, name="alone")
    assert moves_of(client.get("/runs").text) == {"alone": []}

    make_run(session, name="behind", after_run_id=alone.id)
    assert moves_of(client.get("/runs").text) == {"alone": ["1", "2"], "behind": []}

    accounts.first_admin(session).role = Role.VIEWER
    session.commit()
    assert moves_of(client.get("/runs").text) == {"alone": [], "behind": []}
