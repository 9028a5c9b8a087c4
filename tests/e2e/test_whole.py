"""The whole way in a real browser: a run is started in the form, trained by a worker, and compared."""

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from sqlmodel import Session

from app.domain.presets import SMALL_MODEL
from tests.factories import make_model

if TYPE_CHECKING:
    from playwright.sync_api import Page

WORKER_MS = 30_000  # until a worker has heard of a run, on a busy machine


@pytest.mark.usefixtures("live_worker")
def test_a_run_goes_from_the_form_to_the_comparison(page: "Page", session: Session) -> None:
    """Answers appear on the run's page without a reload, and stand side by side on the comparison."""
    make_model(session, name=SMALL_MODEL)
    page.goto("/runs/new")
    page.locator("#name").fill("slow from the form")
    page.locator('[name="training.length"]').fill("8")
    page.locator('[name="checkpoints.every"]').fill("4")
    page.get_by_role("button", name="Start the run").click()
    expect(page).to_have_url(re.compile(r"/runs/\d+$"))
    page.evaluate("window.isStillHere = true")

    expect(page.locator("#run-answers")).to_contain_text("answer 0 of 8", timeout=WORKER_MS)
    expect(page.locator(".page-head .state")).to_have_text("finished", timeout=WORKER_MS)

    assert page.evaluate("window.isStillHere === true")
    page.locator(".page-head").get_by_role("link", name="Compare").click()
    heads = page.locator(".matrix thead th b")
    expect(heads).to_have_text(["Probe", "base model", "iteration 4", "iteration 8"])
    expect(page.locator(".matrix tbody tr:not(.group) td").nth(2)).to_contain_text("answer 0 of 8")
