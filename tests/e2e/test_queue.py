"""The queue in a real browser: moved by keys, without a reload."""

from typing import TYPE_CHECKING

from playwright.sync_api import expect
from sqlmodel import Session

from app.domain.waiting import waiting_run_ids
from tests.factories import make_run

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_a_run_is_moved_to_the_end_by_one_key(page: "Page", session: Session) -> None:
    """The button that was pressed keeps the focus while its row moves, and stops at the end of the queue."""
    first, second, third = (make_run(session, name=name) for name in ("first", "second", "third"))
    page.goto("/runs?state=queued&sort=queue")
    page.evaluate("window.isStillHere = true")
    names = page.locator("#run-table tbody th a")
    down = page.get_by_role("button", name="Move first down in the queue")

    for order in (["second", "first", "third"], ["second", "third", "first"], ["second", "third", "first"]):
        down.press("Enter")
        expect(names).to_have_text(order)
        expect(down).to_be_focused()

    expect(down).to_have_attribute("aria-disabled", "true")
    assert page.evaluate("window.isStillHere") is True
    assert list(waiting_run_ids(session)) == [second.id, third.id, first.id]
