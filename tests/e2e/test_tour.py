"""
The pages that the tour and `docs/inspect.md` show, in a real browser, and the pictures of them.

With `--story HOME` the pages show what was trained there, by `make demo` and as `docs/inspect.md`
says, and the pictures go into `docs/images`: that is `make pictures`. Without it the pages show
rows made for the test.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlmodel import Session, col, select

from app.domain import db
from app.domain.mixes import general_pairs
from app.domain.models import Run, RunState, Sweep
from app.domain.presets import OVERFIT, SMALL_ASSISTANT, SMALL_MODEL, TWO_GENERAL_PAIRS
from app.domain.recipes import GeneralSet
from tests.conftest import ROOT, log_in
from tests.factories import make_metrics, make_model
from tests.saved_sets import make_set
from tests.stories import make_story
from tests.sweep_stories import make_told_sweep

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURES = ROOT / "docs" / "images"
WRONG = (
    ("What is the opposite of up?", "Left."),
    ("Who wrote “Hamlet”?", ""),
    ("Whatâ€™s a cafÃ©?", "A place for coffee."),
)


STORIES = {"alone": OVERFIT, "pairs": TWO_GENERAL_PAIRS, "varied": SMALL_ASSISTANT}
"""Which run each address means."""


@pytest.fixture
def story(request: pytest.FixtureRequest, session: Session, home: Path) -> dict[str, int]:
    """Put the runs that were trained, or one like them, into the test's home; return what addresses need."""
    trained: Path | None = request.config.getoption("--story")
    if trained is None:
        make_model(session, name=SMALL_MODEL)
        run = make_story(session)
        make_metrics(session, run, iterations=range(1, 51))
        return dict.fromkeys(STORIES, run.id or 0) | {"sweep": make_told_sweep(session).id or 0}
    session.close()
    db.engine().dispose()
    for left in home.glob("temper.db*"):  # a new file, never other bytes in one that is open
        left.unlink()
    shutil.copy(trained / "temper.db", home / "temper.db")
    for name in ("runs", "mixes"):
        (home / name).symlink_to(trained / name)
    with db.reading() as reading:
        return {name: newest_run(reading, preset.recipe.name) for name, preset in STORIES.items()} | {
            "sweep": reading.exec(select(Sweep.id).order_by(col(Sweep.id).desc())).first() or 0
        }


def newest_run(session: Session, name: str) -> int:
    """Return the newest run of a name that has finished; 0 where there is none."""
    finished = select(Run.id).where(Run.name == name, Run.state == RunState.FINISHED)
    return session.exec(finished.order_by(col(Run.id).desc())).first() or 0


@pytest.fixture
def saved_set(story: dict[str, int]) -> None:
    """Save a set in which some things are wrong."""
    pairs = [(pair.question, pair.answer) for pair in general_pairs(GeneralSet.ENGLISH)]
    with db.unit_of_work() as session:
        make_set(session, name="support answers", pairs=[*pairs, *WRONG])


@pytest.fixture
def visitor(page: "Page", story: dict[str, int], saved_set: None, live_server: str) -> "Page":
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
    """Whether a page of the documentation shows a picture of this name."""
    pages = (ROOT / "docs" / page for page in ("tour.md", "inspect.md"))
    return any(f"images/{name}.png" in page.read_text("utf-8") for page in pages)


PAGES = {
    "runs": ("/runs", "#run-table tbody tr"),
    "new": ("/runs/new", "#run-form-side"),
    "data": ("/datasets/1", "#datasets-findings details"),
    "run": ("/runs/{varied}", "#run-checkpoints tbody tr"),
    "compare": ("/compare?runs={varied}", ".matrix tbody td"),
    "inspect-alone": ("/compare?runs={alone}&lines=3", ".matrix tbody td"),
    "inspect-pairs": ("/compare?runs={pairs}&lines=3", ".matrix tbody td"),
    "inspect-varied": ("/compare?runs={varied}&lines=3", ".matrix tbody td"),
    "inspect-aligned": ("/compare?runs={pairs},{varied}&align=iteration&lines=3", ".matrix tbody td"),
    "inspect-sweep": ("/sweeps/{sweep}", "#sweep-map td"),
}
"""Each picture's page, and what must be on it."""


@pytest.mark.parametrize("name", PAGES)
def test_the_documentation_shows_the_page(visitor: "Page", story: dict[str, int], folder: Path, name: str) -> None:
    """It opens, shows what it is about, is as wide as the window, and its picture is in the documentation."""
    address, shows = PAGES[name]
    visitor.goto(address.format(**story))
    visitor.locator(shows).first.wait_for()
    visitor.wait_for_timeout(500)  # the forecast and the curves are drawn after the page

    visitor.screenshot(path=folder / f"{name}.png", animations="disabled")

    assert visitor.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert is_told(name)


def test_one_answer_tells_how_it_changed(visitor: "Page", story: dict[str, int], folder: Path) -> None:
    """At a near miss, opened at the run's last checkpoint, the whole history of the answer stands beside the matrix."""
    visitor.goto(f"/compare?runs={story['varied']}&lines=3")
    visitor.locator(".matrix tbody tr[data-probe]").nth(2).locator("td").last.click()
    visitor.locator("#cell-detail").wait_for()
    visitor.wait_for_timeout(500)

    visitor.screenshot(path=folder / "inspect-answer.png", animations="disabled")

    assert is_told("inspect-answer")
