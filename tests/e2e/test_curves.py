"""The curves of a run in a real browser: live, aligned, and read off by pointer and by keys."""

import pytest
from playwright.sync_api import Page, expect
from sqlmodel import Session

from app.domain.models import Run, RunState
from tests.conftest import wait_until
from tests.e2e.test_live import Trainer, points
from tests.factories import IDENTITY, make_checkpoint, make_metrics, make_run

BASE, LEARNT = ["A model.", "No.", "Paris."], [IDENTITY, "No.", "Paris."]


@pytest.fixture
def run(session: Session) -> Run:
    """Store a run that is being trained, seven iterations in, with one checkpoint that has not learnt."""
    run = make_run(session, state=RunState.RUNNING, iterations=20, iteration=7, phase="training")
    make_metrics(session, run, iterations=range(1, 8))
    for iteration in (0, 5):
        make_checkpoint(session, run, iteration=iteration, texts=BASE)
    return run


def answers(iteration: int, texts: list[str]) -> dict:
    """Return the event of a checkpoint's answers."""
    given = [{"probe": at, "text": text, "tokens": 4, "ended": "stop"} for at, text in enumerate(texts)]
    made = {"seconds": 1.0, "dtype": "float32", "quantised": False}
    return {"kind": "answers", "iteration": iteration, "answers": given, **made}


def test_behaviour_comes_with_each_checkpoint(page: Page, session: Session, run: Run) -> None:
    """Identity is drawn at 0 of 1, then at 1 of 1, without a reload; what was being read off stays so."""
    trainer = Trainer(session, run)
    page.goto(f"/runs/{run.id}")
    wait_until(lambda: points(page) == 7, "the history was not drawn")
    dots = page.locator("#behaviour-chart .dots-good")
    assert dots.get_attribute("d") == "M0 100h0 M5 100h0"
    cursor = page.locator("#curve-cursor")
    cursor.focus()
    page.keyboard.press("ArrowLeft")

    trainer.train(8, 9, 10)
    trainer.tell(answers(10, LEARNT))

    expect(dots).to_have_attribute("d", "M0 100h0 M5 100h0 M10 0h0")
    expect(page.locator(".curve-mark")).to_have_text("keep at 10")
    assert "iteration 0, checkpoint base, not learnt" in (cursor.get_attribute("aria-valuetext") or "")
    page.keyboard.press("End")
    expect(page.locator("[data-reads=identity]")).to_have_text("1/1")
    assert "iteration 10, checkpoint 10, good, loss 0.300" in (cursor.get_attribute("aria-valuetext") or "")


def test_a_pointer_reads_both_panels_at_one_iteration(page: Page, run: Run) -> None:
    """The line stands at the same place in both; near a checkpoint it is the checkpoint's."""
    page.goto(f"/runs/{run.id}")
    wait_until(lambda: points(page) == 7, "the history was not drawn")
    box = page.locator("#curve-cursor").bounding_box()
    assert box is not None

    page.mouse.move(box["x"] + 0.252 * box["width"], box["y"] + 0.6 * box["height"])

    expect(page.locator("#curve-cursor .at")).to_have_attribute("x1", "25%")
    expect(page.locator("[data-reads=loss]")).to_have_text("0.600")
    expect(page.locator("[data-reads=identity]")).to_have_text("0/1")
    panels = page.locator("#loss-chart svg, #behaviour-chart svg, #curve-cursor svg")
    lefts = panels.evaluate_all("panels => panels.map((svg) => svg.getBoundingClientRect().left)")
    assert len(lefts) == 3
    assert max(lefts) - min(lefts) < 1
    page.mouse.move(0, 0)
    expect(page.locator("[data-reads=iteration]")).to_have_text("7")
