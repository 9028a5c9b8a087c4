"""Another question, asked in a browser and answered by a worker."""

import pytest
from playwright.sync_api import Page, expect
from sqlmodel import Session

from app.config import settings
from app.domain.models import RunState
from app.domain.runs import id_of
from tests.factories import make_checkpoint, make_run

pytestmark = pytest.mark.browser


def test_a_question_is_answered_by_every_checkpoint(page: Page, session: Session, live_worker: None) -> None:
    """A quick choice fills the form; a refusal stands in its place; the answers come by themselves, on both pages."""
    run = make_run(session, state=RunState.FINISHED, iterations=20, name="ada")
    for iteration in (0, 5):
        make_checkpoint(session, run, iteration=iteration, texts=["a", "b", "c"])
    settings().run_folder(id_of(run)).mkdir(parents=True)

    page.goto(f"/runs/{run.id}")
    page.get_by_text("Ask another question").click()
    page.get_by_label("Question", exact=True).fill("Are you a doctor?")
    page.get_by_label("Group", exact=True).select_option("near-miss")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#run-panel .asking .error")).to_contain_text("asks that already")
    page.get_by_role("button", name="Are you Bob's assistant?").click()
    expect(page.get_by_label("Question", exact=True)).to_have_value("Are you Bob's assistant?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#run-answers")).to_contain_text("answer 3 of 5")

    page.goto(f"/compare?runs={run.id}")
    page.get_by_text("Ask another question").click()
    page.get_by_label("Question", exact=True).fill("And now?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".matrix")).to_contain_text("answer 4 of 0")
    expect(page.locator(".matrix")).to_contain_text("answer 4 of 5")
