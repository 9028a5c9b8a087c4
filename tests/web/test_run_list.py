"""Pages of the list of runs."""

from fastapi.testclient import TestClient
from sqlmodel import Session

from tests.factories import make_run


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
