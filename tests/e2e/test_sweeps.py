"""A sweep in a real browser: cells open their answers, keys walk over the map, the form previews its runs."""

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect
from sqlmodel import Session

from app.domain.sweeps import runs_of_sweep, sweep_id_of
from tests.stories import STORY
from tests.sweep_stories import make_sweep, make_told_sweep, tell

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_a_cell_opens_its_answers_and_keys_go_on(page: "Page", session: Session) -> None:
    """The address holds the open cell, an arrow opens its neighbour, Escape closes and gives the focus back."""
    sweep = make_told_sweep(session)
    kept = runs_of_sweep(session, sweep_id_of(sweep))[1].checkpoints
    page.goto(f"/sweeps/{sweep.id}")

    page.locator("td[data-best] a").click()

    drawer = page.locator("#sweep-answers")
    expect(drawer.locator(".answer-text").first).to_have_text(STORY[20][0])
    expect(drawer.locator(".base-text").first).to_contain_text(STORY[0][0])
    expect(page).to_have_url(re.compile(rf"cell={kept[5].id}$"))
    page.locator("td[data-open] a").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(drawer.locator("h2")).to_contain_text("iteration 35")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(page.locator(f"td[data-checkpoint='{kept[7].id}'] a")).to_be_focused()


def test_a_map_grows_while_it_is_looked_at(page: "Page", session: Session) -> None:
    """What is open stays open when a run gets further."""
    sweep = make_sweep(session, axes={"mix.identity_count": [1, 2]})
    first, second = runs_of_sweep(session, sweep_id_of(sweep))
    tell(session, first, "ng")
    page.goto(f"/sweeps/{sweep.id}")
    page.locator("td[data-verdict='good'] a").click()
    expect(page.locator("#sweep-answers")).to_be_visible()

    tell(session, second, "nnn")

    expect(page.locator("td[data-verdict='not-learnt']")).to_have_count(4)
    expect(page.locator("#sweep-answers .answer-text").first).to_have_text(STORY[20][0])
    expect(page.locator("td[data-open]")).to_have_attribute("data-verdict", "good")


def test_the_form_previews_its_runs_while_it_is_typed(page: "Page", session: Session) -> None:
    """A field that is wrong says so to a reader of the screen too, and keeps the focus and what was typed."""
    make_sweep(session, axes={"mix.identity_count": [1, 2]})
    page.goto("/sweeps/new?run=1")

    page.fill("#axis-mix-identity_count", "24, 150, 600")
    page.fill("#axis-mix-general_count", "0, one")

    expect(page.locator("#sweep-planned tbody tr")).to_have_count(3)
    field = page.locator("#axis-mix-general_count")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    field.fill("0, 1")
    expect(page.locator("#sweep-planned tbody tr")).to_have_count(6)
    expect(field).not_to_have_attribute("aria-invalid", "true")
    page.get_by_role("button", name="Start the sweep").last.click()
    expect(page.locator("h1")).to_have_text("ada, n 1")
    expect(page.locator(".heatmap tbody tr")).to_have_count(6)
