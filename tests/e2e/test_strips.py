"""The strip of checkpoints in a real browser: how much of it is out of sight, and how that comes into it."""

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from sqlmodel import Session

from app.domain.models import Run
from tests.stories import make_story, make_wide_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

SHOWN = "button.strip-more:visible"


@pytest.mark.parametrize("path", ["/compare?runs={run}", "/runs/{run}"])
def test_a_strip_that_is_cut_says_how_much_more_there_is(page: "Page", session: Session, path: str) -> None:
    """At the side where it is, and a press brings it; at the end nothing more is promised."""
    run = make_wide_run(session, columns=15, rows=2)
    page.goto(path.format(run=run.id))
    strip = page.locator(".strip")
    strip.evaluate("strip => strip.scrollTo(0, 0)")
    end, start = page.locator("[data-scrolls='end']"), page.locator("[data-scrolls='start']")

    expect(end).to_be_visible()
    expect(start).to_be_hidden()
    seen = strip.evaluate("""strip => [...strip.children].filter(
        (block) => block.getBoundingClientRect().right <= strip.getBoundingClientRect().right + 1).length""")
    assert int(end.inner_text()) == strip.locator("> li").count() - seen > 0

    end.click()

    expect(start).to_be_visible()
    expect(end).to_be_hidden()


def test_a_strip_that_fits_says_nothing(page: "Page", session: Session) -> None:
    """Until the window is made narrower."""
    run: Run = make_story(session)
    page.goto(f"/compare?runs={run.id}")
    expect(page.locator(SHOWN)).to_have_count(0)

    page.set_viewport_size({"width": 390, "height": 844})

    expect(page.locator(SHOWN)).not_to_have_count(0)


def test_every_strip_begins_where_its_run_has_the_best(page: "Page", session: Session) -> None:
    """What to keep of a run is in sight on a phone too, in the second strip as in the first."""
    one, two = make_story(session, name="one"), make_story(session, name="two")
    page.set_viewport_size({"width": 390, "height": 844})

    page.goto(f"/compare?runs={one.id},{two.id}")

    for strip in page.locator(".strip").all():
        place, kept = strip.bounding_box(), strip.locator("[data-keep]").bounding_box()
        assert place
        assert kept
        assert place["x"] <= kept["x"]
        assert kept["x"] + kept["width"] <= place["x"] + place["width"]
