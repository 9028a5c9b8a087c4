"""Pages of the list of runs."""

from bs4 import BeautifulSoup
from fastapi.testclient import TestClient
from sqlmodel import Session

from tests.factories import make_run

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
