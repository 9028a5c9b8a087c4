"""The recipe card in a real browser, from the disk and without a network."""

from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect
from sqlmodel import Session

from app.domain.card_files import recipe_in_card
from app.domain.recipes import Recipe
from app.domain.runs import recipe_of
from tests.factories import make_metrics
from tests.stories import make_story

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def test_a_card_opens_from_the_disk_without_a_network(
    page: "Page", browser: "Browser", session: Session, tmp_path: Path
) -> None:
    """It asks for nothing, is drawn with its style, in the dark and narrow too, and holds its run's recipe."""
    run = make_story(session)
    make_metrics(session, run, iterations=range(1, 51))
    page.goto(f"/runs/{run.id}")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Recipe card", exact=True).click()
    card = tmp_path / downloading.value.suggested_filename
    downloading.value.save_as(card)

    alone = browser.new_context(offline=True, color_scheme="dark")
    sheet = alone.new_page()
    asked: list[str] = []
    said: list[str] = []
    sheet.on("request", lambda request: asked.append(request.url))
    sheet.on("console", lambda told: said.append(told.text))
    sheet.goto(card.as_uri())

    expect(sheet.locator("h1")).to_have_text(run.name)
    expect(sheet.locator(".advice .keep")).to_contain_text("Keep iteration 20")
    expect(sheet.locator("html")).to_have_css("background-color", "rgb(22, 24, 27)")
    assert asked == [card.as_uri()]
    assert said == []
    sheet.set_viewport_size({"width": 390, "height": 844})
    assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert Recipe.model_validate(recipe_in_card(card.read_text("utf-8"))) == recipe_of(run)
    alone.close()
