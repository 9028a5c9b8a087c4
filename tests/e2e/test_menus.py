"""Menus in a real browser: where they stand while the page around them changes, and what closes them."""

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from sqlmodel import Session

from app.domain.models import Artifact, ArtifactKind, Checkpoint, Run, RunState
from tests.factories import IDENTITY, make_checkpoint, make_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

SAID = [IDENTITY, "No.", "Paris."]


@pytest.fixture
def run(session: Session) -> Run:
    """Store a run that has ended, with the base model's answers."""
    run = make_run(session, state=RunState.FINISHED, iterations=20, iteration=20)
    make_checkpoint(session, run, iteration=0, texts=SAID)
    return run


@pytest.fixture
def checkpoint(session: Session, run: Run) -> Checkpoint:
    """Store a checkpoint of it."""
    return make_checkpoint(session, run, iteration=5, texts=SAID)


def is_under_its_button(page: "Page", checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint's menu stands right below, or right above, the button that opened it."""
    button = page.locator(f"[popovertarget='checkpoint-menu-{checkpoint.id}']").bounding_box()
    menu = page.locator(f"#checkpoint-menu-{checkpoint.id}").bounding_box()
    assert button
    assert menu
    below, above = menu["y"] - button["y"] - button["height"], button["y"] - menu["y"] - menu["height"]
    return min(abs(below - 4), abs(above - 4)) < 1 and menu["x"] + menu["width"] >= button["x"]


def test_what_is_chosen_in_a_menu_closes_it(page: "Page", run: Run, checkpoint: Checkpoint) -> None:
    """Convert is pressed, the file is on its way, and nothing is left hanging over the page."""
    page.goto(f"/runs/{run.id}")
    page.get_by_role("button", name="Menu of iteration 5").click()
    assert is_under_its_button(page, checkpoint)

    page.get_by_role("button", name="Convert to an adapter").click()

    expect(page.locator("#run-checkpoints .artifact")).to_have_count(1)
    expect(page.locator(f"#checkpoint-menu-{checkpoint.id}")).to_be_hidden()


def test_a_menu_stays_with_its_button(page: "Page", session: Session, run: Run, checkpoint: Checkpoint) -> None:
    """While one reads a menu the table grows above it: the menu stays open and moves along."""
    session.add(Artifact(checkpoint_id=checkpoint.id or 0, kind=ArtifactKind.ADAPTER))  # the page looks for it
    session.commit()
    page.goto(f"/runs/{run.id}")
    page.get_by_role("button", name="Menu of iteration 5").click()

    make_checkpoint(session, run, iteration=10, texts=SAID)

    expect(page.get_by_role("button", name="Menu of iteration 10")).to_be_visible()
    expect(page.locator(f"#checkpoint-menu-{checkpoint.id}")).to_be_visible()
    assert is_under_its_button(page, checkpoint)
