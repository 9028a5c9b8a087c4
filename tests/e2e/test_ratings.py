"""Stars, notes and blind votes in a real browser, by keys."""

from typing import TYPE_CHECKING

from playwright.sync_api import expect
from sqlmodel import Session, select

from app.domain.models import Rating, Vote
from tests.stories import make_story

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_an_answer_is_rated_by_keys_and_the_drawer_stays(page: "Page", session: Session) -> None:
    """Stars at once, the note once it is left; the cell shows both, and a note's digits are a note."""
    page.goto(f"/compare?runs={make_story(session).id}")
    page.locator("tr[data-probe]").nth(2).locator("td").nth(3).click()
    expect(page.locator("#cell-detail [data-rating]")).to_be_visible()

    page.keyboard.press("4")
    expect(page.locator(".rating-saved")).to_have_text("Saved")
    page.locator("[data-rating] textarea").fill("first")
    page.locator("[data-rating] textarea").press_sequentially(" 2")
    page.keyboard.press("Tab")

    expect(page.locator("td[aria-selected] .cell-rating")).to_contain_text("first 2")
    expect(page.locator("[data-rating] input:checked")).to_have_value("4")
    rating = session.exec(select(Rating)).one()
    assert (rating.stars, rating.note) == (4, "first 2")
    page.reload()
    expect(page.locator(".cell-rating")).to_have_count(1)
    expect(page.locator("[data-rating] textarea")).to_have_value("first 2")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_votes_are_given_and_undone_by_keys(page: "Page", session: Session) -> None:
    """Each key brings the next pair without a new page; the last one is taken back and shown again."""
    page.goto(f"/compare/blind?runs={make_story(session).id}")
    progress = page.locator(".vote-progress > span")
    page.evaluate("window.isSamePage = true")

    for number, key in enumerate("120"):
        expect(progress).to_have_text(f"{number} of 50 pairs")
        question = page.locator(".vote-question").inner_text()
        page.keyboard.press(key)
    expect(progress).to_have_text("3 of 50 pairs")
    page.keyboard.press("u")

    expect(progress).to_have_text("2 of 50 pairs")
    expect(page.locator(".vote-question")).to_have_text(question)
    assert page.evaluate("window.isSamePage")
    assert len(session.exec(select(Vote)).all()) == 2
