"""
The pages that the tour shows, in a real browser, and the pictures of them.

With `--story HOME` the pages show what `make demo` trained there, and the pictures go into
`docs/images`: that is `make pictures`. Without it the pages show rows made for the test.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlmodel import Session, col, select

from app.domain import db
from app.domain.mixes import general_pairs
from app.domain.models import Run, RunState
from app.domain.presets import SMALL_MODEL
from app.domain.recipes import GeneralSet
from tests.conftest import ROOT, log_in
from tests.factories import make_metrics, make_model
from tests.saved_sets import make_set
from tests.stories import make_story

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURES = ROOT / "docs" / "images"
WRONG = (
    ("What is the opposite of up?", "Left."),
    ("Who wrote “Hamlet”?", ""),
    ("Whatâ€™s a cafÃ©?", "A place for coffee."),
)


@pytest.fixture
def story(request: pytest.FixtureRequest, session: Session, home: Path) -> list[int]:
    """Put the demo's own runs, or some like them, into the test's home; return their ids."""
    trained: Path | None = request.config.getoption("--story")
    if trained is None:
        make_model(session, name=SMALL_MODEL)
        run = make_story(session)
        make_metrics(session, run, iterations=range(1, 51))
        return [run.id or 0]
    session.close()
    db.engine().dispose()
    for left in home.glob("temper.db*"):  # a new file, never other bytes in one that is open
        left.unlink()
    shutil.copy(trained / "temper.db", home / "temper.db")
    for name in ("runs", "mixes"):
        (home / name).symlink_to(trained / name)
    with db.reading() as reading:
        ids = reading.exec(select(Run.id).where(Run.state == RunState.FINISHED).order_by(col(Run.id))).all()
    return [run_id for run_id in ids if run_id is not None][:2]


@pytest.fixture
def saved_set(story: list[int]) -> None:
    """Save a set in which some things are wrong."""
    pairs = [(pair.question, pair.answer) for pair in general_pairs(GeneralSet.ENGLISH)]
    with db.unit_of_work() as session:
        make_set(session, name="support answers", pairs=[*pairs, *WRONG])


@pytest.fixture
def visitor(page: "Page", story: list[int], saved_set: None, live_server: str) -> "Page":
    """Log in anew: the story's home may know other people than the test's."""
    with Session(db.engine()) as session:
        secret = log_in(session)
    cookie = next(each for each in page.context.cookies() if "session" in each["name"])
    page.context.add_cookies([{"name": cookie["name"], "value": secret, "url": live_server}])
    return page


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return where the pictures go."""
    return PICTURES if request.config.getoption("--story") else tmp_path


def is_told(name: str) -> bool:
    """Whether the tour shows a picture of this name."""
    return f"images/{name}.png" in (ROOT / "docs" / "tour.md").read_text("utf-8")


PAGES = {
    "runs": ("/runs", "#run-table tbody tr"),
    "new": ("/runs/new", "#run-form-side"),
    "data": ("/datasets/1", "#datasets-findings details"),
    "run": ("/runs/{last}", "#run-checkpoints tbody tr"),
    "compare": ("/compare?runs={last}", ".matrix tbody td"),
}
"""Each picture's page, and what must be on it."""


@pytest.mark.parametrize("name", PAGES)
def test_the_tour_shows_the_page(visitor: "Page", story: list[int], folder: Path, name: str) -> None:
    """It opens, shows what it is about, is as wide as the window, and its picture is in the tour."""
    address, shows = PAGES[name]
    visitor.goto(address.format(last=story[-1]))
    visitor.locator(shows).first.wait_for()
    visitor.wait_for_timeout(500)  # the forecast and the curves are drawn after the page

    visitor.screenshot(path=folder / f"{name}.png", animations="disabled")

    assert visitor.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert is_told(name)
