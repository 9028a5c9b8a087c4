"""Ratings, blind votes and search as a browser without scripts gets them."""

from typing import Any

import pytest
from bs4 import BeautifulSoup
from sqlmodel import Session, select

from app.domain import accounts
from app.domain.models import Answer, Rating, Role, Run, Vote
from app.domain.ratings import LONGEST_NOTE
from tests.factories import make_checkpoint, make_run
from tests.stories import SHANGHAI, make_story

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def viewer(client: Any, session: Session) -> Any:
    """Return a browser whose user may only look."""
    accounts.first_admin(session).role = Role.VIEWER
    session.commit()
    return client


@pytest.fixture
def run(session: Session) -> Run:
    """Store the story."""
    return make_story(session)


def soup_of(reply: Any, status: int = 200) -> BeautifulSoup:
    assert reply.status_code == status, reply.text[:500]
    return BeautifulSoup(reply.text, "html.parser")


def first_answer(session: Session) -> Answer:
    return session.exec(select(Answer).order_by(Answer.id)).first()  # type: ignore[return-value, arg-type]


# ── Ratings ────────────────────────────────────────────────────────────────


def test_a_viewer_s_rating_stands_in_drawer_and_matrix(viewer: Any, session: Session, run: Run) -> None:
    """A rating is its user's own and changes no run: whoever is logged in may give one."""
    answer = first_answer(session)
    cell = f"/compare?runs={run.id}&cell={answer.checkpoint_id}.{answer.probe_id}"
    form = soup_of(viewer.get(cell)).select_one("form.rating")
    assert form is not None
    data = {"stars": "4", "note": "a\r\n<b>note</b>", "back": cell}

    reply = viewer.post(form["action"], data=data)
    page = soup_of(viewer.get(reply.headers["location"]))

    assert (reply.status_code, reply.headers["location"]) == (303, cell)
    assert page.select_one(".stars input[checked]")["value"] == "4"
    assert page.select_one(".rating textarea").text == "a\n<b>note</b>"
    assert len(page.select("td .cell-rating")) == 1
    assert page.select_one("td .cell-stars").text.strip().startswith("4")


def test_saving_says_so_and_brings_the_mark_of_the_cell(client: Any, session: Session, run: Run) -> None:
    """With a script only this part of the drawer comes back; nothing of both leaves no mark."""
    path = f"/answers/{first_answer(session).id}/rating"

    saved = soup_of(client.post(path, data={"stars": "2", "note": ""}, headers=PARTIAL))
    cleared = soup_of(client.post(path, data={"stars": "", "note": " "}, headers=PARTIAL))

    assert saved.select_one("[role=status]").text.strip() == "Saved"
    assert "cell-stars" in str(saved.template)
    assert "cell-rating" not in str(cleared.template)
    assert run.id is not None
    assert session.exec(select(Rating)).all() == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"stars": "6"}, "Give 1 to 5 stars"),
        ({"stars": "x"}, "Give 1 to 5 stars"),
        ({"stars": "3", "note": "x" * (LONGEST_NOTE + 1)}, "2000 fit"),
    ],
)
@pytest.mark.usefixtures("run")
def test_what_is_wrong_is_said_in_its_place(client: Any, session: Session, data: dict[str, str], words: str) -> None:
    """And what was typed stays."""
    part = soup_of(client.post(f"/answers/{first_answer(session).id}/rating", data=data, headers=PARTIAL), 422)

    assert words in part.select_one(".error").text.replace(",", "")
    assert part.select_one("textarea").text == data.get("note", "")


def test_an_answer_that_is_not_there_has_no_rating(client: Any) -> None:
    """Nor is there a place to go back to on another server."""
    assert client.post("/answers/999/rating", data={"stars": "3"}).status_code == 404
    assert client.post("/answers/x/rating", data={"stars": "3"}).status_code == 404


def test_one_user_never_sees_another_s(client: Any, session: Session, run: Run) -> None:
    """Neither note nor name; only how many gave stars, and how many on average."""
    answer = first_answer(session)
    other = accounts.add_user(session, "bea", role=Role.VIEWER)
    session.add(Rating(user_id=other.id or 0, answer_id=answer.id or 0, stars=2, note="secret"))
    session.commit()

    page = client.get(f"/compare?runs={run.id}&cell={answer.checkpoint_id}.{answer.probe_id}").text

    assert "2.0 stars from 1 user" in page
    assert "secret" not in page
    assert "bea" not in page
    assert "cell-rating" not in page


# ── Votes ──────────────────────────────────────────────────────────────────


def test_a_viewer_votes_until_a_round_is_whole(viewer: Any, session: Session) -> None:
    """Three checkpoints: one question each pair, then the results; undone, the pair comes again."""
    run = make_run(session)
    for iteration in (0, 5, 10):
        make_checkpoint(session, run, iteration=iteration, texts=[f"said {iteration}", "same", "same"])
    path = f"/compare/blind?runs={run.id}"
    for number in range(3):
        page = soup_of(viewer.get(path))
        assert page.select_one("#vote").text.strip().startswith(f"{number} of 3 pairs")
        form = page.select_one("form.vote")
        names = [button["value"] for button in form.select("button[name=preferred]")]
        reply = viewer.post(
            form["action"], data={"pair": form.select_one("[name=pair]")["value"], "preferred": names[number % 2]}
        )
        path = reply.headers["location"]

    assert "All pairs are voted on" in viewer.get(path).text
    results = soup_of(viewer.get(f"/compare/blind/results?runs={run.id}"))
    assert [row.select("td")[0].text for row in results.select(".standings tbody tr")] == ["2", "2", "2"]
    undone = viewer.post(f"/compare/blind/undo?runs={run.id}")
    assert "2 of 3 pairs" in viewer.get(undone.headers["location"]).text
    assert len(session.exec(select(Vote)).all()) == 2


def test_a_page_to_vote_on_says_nothing_of_whose_the_answers_are(client: Any, run: Run, session: Session) -> None:
    """No iteration, no id of an answer or a checkpoint, and the colour of no heat."""
    page = soup_of(client.get(f"/compare/blind?runs={run.id}"))
    form = page.select_one("form.vote")
    names = form.select_one("[name=pair]")["value"].split(".")

    assert len(form.select(".vote-answer")) == 2
    assert all(len(name) == 22 and int(name, 16) for name in names)
    assert "data-heat" not in str(form)
    assert "iteration" not in form.text
    attributes = {value for tag in form.find_all() for value in tag.attrs.values() if isinstance(value, str)}
    ids = {str(answer.id) for answer in session.exec(select(Answer))} - set("012345")
    assert not attributes & ids


def test_what_is_skipped_is_not_stored_and_does_not_come_at_once(client: Any, run: Run, session: Session) -> None:
    """The address remembers it; a pair that is no longer there is skipped as well."""
    page = soup_of(client.get(f"/compare/blind?runs={run.id}"))
    pair = page.select_one("[name=pair]")["value"]

    for named, preferred in ((pair, ""), ("0" * 22 + "." + "1" * 22, "same")):
        reply = client.post(f"/compare/blind?runs={run.id}", data={"pair": named, "preferred": preferred})
        assert reply.status_code == 303
        assert f"skipped={named}" in reply.headers["location"]
        assert soup_of(client.get(reply.headers["location"])).select_one("[name=pair]")["value"] != pair
    assert session.exec(select(Vote)).all() == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/compare/blind", 404),
        ("/compare/blind?runs=999", 404),
        ("/compare/blind?runs=x", 422),
        ("/compare/blind/results?checkpoints=999", 404),
    ],
)
def test_what_cannot_be_voted_on_is_said(client: Any, path: str, status: int) -> None:
    """Nothing, what is not there, and what is no id."""
    assert client.get(path).status_code == status


def test_a_run_that_said_nothing_has_no_pairs(client: Any, session: Session) -> None:
    """The page says what a vote takes."""
    assert "Nothing to vote on" in client.get(f"/compare/blind?runs={make_run(session).id}").text


# ── Search ─────────────────────────────────────────────────────────────────


def test_a_run_that_is_found_shows_the_sentence(client: Any, run: Run) -> None:
    """With its word marked; it leads to that answer in the comparison."""
    page = soup_of(client.get("/runs?q=黄浦江"))
    found = page.select_one(".found-answer")

    assert [mark.text for mark in found.select("mark")] == ["黄浦江"]
    assert found.a.text in SHANGHAI
    assert found.select_one(".sub").text == "base model, 上海有哪些景点"
    opened = soup_of(client.get(found.a["href"]))
    assert opened.select_one("#cell-detail h2").text == "上海有哪些景点"
    assert f"runs={run.id}" in found.a["href"]


@pytest.mark.usefixtures("run")
def test_a_run_found_by_its_name_shows_its_newest_answer(client: Any) -> None:
    """As the list does without a search."""
    page = soup_of(client.get("/runs?q=diluted"))

    assert len(page.select("#run-table tbody tr")) == 1
    assert page.select_one(".found-answer") is None
