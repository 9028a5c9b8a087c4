"""Attacks as Chromium sees them: what runs, what is asked of other hosts, what is framed, what is read."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from sqlmodel import Session

from app.config import settings
from app.domain.models import Run, RunState
from app.domain.runs import id_of
from tests.factories import make_answers, make_checkpoint, make_run
from tests.saved_sets import make_set

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page

OUTSIDE = "http://outside.example:9"
SCRIPTS = (
    "<script>window.hit=1</script>",
    f'"><img src="{OUTSIDE}/x.png" onerror="window.hit=2">',
    "<svg onload=window.hit=3></svg>",
    "[x](javascript:window.hit=4) <a href='javascript:window.hit=5'>x</a>",
    f"![x]({OUTSIDE}/y.png) {OUTSIDE}/z",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    f"<iframe src='{OUTSIDE}'></iframe><form action='{OUTSIDE}'><button>x",
)
ODD = "\x1b[31mred\x1b[0m \x00nul \u202egnp.exe \ufffd \u2028 end"
LONG = "x" * 1_000_000
MOST_PAGE_BYTES = 200_000


class Watched:
    """A page, and everything that it did which it should not."""

    def __init__(self, page: "Page", own: str) -> None:
        """Begin to watch."""
        self.page, self.own, self.outside, self.violations = page, (own,), list[str](), list[str]()
        page.on("request", lambda sent: self.outside.append(sent.url) if not sent.url.startswith(self.own) else None)
        page.on("dialog", self._refuse)
        page.on("console", lambda said: self.violations.append(said.text) if "Content Security" in said.text else None)

    def _refuse(self, dialog: "Dialog") -> None:
        self.violations.append(dialog.message)
        dialog.dismiss()

    def check(self) -> None:
        """Nothing ran, nothing was blocked because nothing tried, and nobody else was asked."""
        assert self.page.evaluate("window.hit") is None
        assert self.outside == []
        assert self.violations == []


@pytest.fixture
def watched(page: "Page", live_server: str) -> Watched:
    return Watched(page, live_server)


@pytest.fixture
def run(session: Session) -> Run:
    """Return a run whose name, answers and log are made to break out."""
    words = " ".join(SCRIPTS)
    run = make_run(session, state=RunState.FAILED, name=SCRIPTS[1])
    for iteration in (0, 5):
        make_answers(
            session, make_checkpoint(session, run, iteration=iteration), [words, ODD.replace("\x00", ""), words]
        )
    log = settings().run_folder(id_of(run)) / "attempts" / "1" / "trainer.log"
    log.parent.mkdir(parents=True)
    log.write_bytes("\n".join([LONG, *SCRIPTS, ODD]).encode() + b"\n\xff\xfe invalid \xc3\n")
    return run


@pytest.mark.browser
def test_a_frame_stays_empty(page: "Page", live_server: str) -> None:
    """11: A page of another origin that frames Temper gets an empty frame."""
    with framing(live_server) as outer:
        page.goto(outer)
        frame = page.frames[-1]

        expect(page.locator("iframe")).to_be_attached()
        assert "Temper" not in frame.content()


class framing:  # noqa: N801 - read as a phrase
    """A server of another origin, whose only page frames one of ours."""

    def __init__(self, url: str) -> None:
        """Say what to frame."""
        self.url = url

    def __enter__(self) -> str:
        """Serve; return the address."""
        body = f"<!doctype html><iframe src='{self.url}/login'></iframe>".encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://localhost:{self.server.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.browser
@pytest.mark.parametrize("path", ["/runs", "/runs/{id}", "/compare?runs={id}&lines=all"])
def test_names_and_answers_run_nothing(watched: Watched, run: Run, path: str) -> None:
    """12: A name and an answer of scripts, handlers and images are read as text: 0 run, 0 requests, 0 reports."""
    watched.page.goto(path.format(id=run.id))
    expect(watched.page.locator("body")).to_contain_text(SCRIPTS[1])

    watched.check()


@pytest.mark.browser
def test_a_card_runs_nothing(watched: Watched, run: Run, tmp_path: Path) -> None:
    """13: A card, opened from the disk where no server's headers guard it, is words all the same."""
    card = tmp_path / "card.html"
    card.write_bytes(watched.page.request.get(f"/runs/{run.id}/card.html").body())
    watched.own = ("file:",)

    watched.page.goto(card.as_uri())

    expect(watched.page.locator("body")).to_contain_text(SCRIPTS[1])
    watched.check()


@pytest.mark.browser
def test_an_opened_answer_runs_nothing(watched: Watched, run: Run) -> None:
    """13: Opened in full, an answer is its words: no link to press, no image, no frame."""
    watched.page.goto(f"/compare?runs={run.id}")
    watched.page.locator("tr[data-probe]").first.locator("td").nth(1).click()

    detail = watched.page.locator("#cell-detail .answer-text").first
    expect(detail).to_contain_text("<script>window.hit=1</script>")
    assert detail.locator("a, img, svg, iframe, form").count() == 0
    watched.check()


@pytest.mark.browser
def test_a_log_of_anything_is_shown_small(watched: Watched, run: Run) -> None:
    """14: A log with a line of 1 MB, escape codes, a NUL, a changed direction and broken bytes makes no large page."""
    reply = watched.page.goto(f"/runs/{run.id}")

    assert reply is not None
    assert len(reply.body()) <= MOST_PAGE_BYTES
    assert "\x00" not in reply.text()
    assert not {"\x1b", "\u202e"} & set(watched.page.locator("#run-log").inner_text())
    watched.check()


@pytest.mark.browser
def test_a_row_of_data_runs_nothing(watched: Watched, session: Session) -> None:
    """15: An uploaded row with HTML and a template in it is read as text."""
    kept = make_set(session, pairs=[(SCRIPTS[0] + SCRIPTS[5], words) for words in SCRIPTS])
    watched.page.goto(f"/datasets/{kept.id}")

    expect(watched.page.locator("main")).to_contain_text("{{7*7}} ${7*7} <%= 7*7 %>")
    watched.check()


@pytest.fixture(autouse=True)
def _nothing_outside(page: "Page") -> None:
    """Answer whatever a page asks of another host, so that a test that fails does so at once."""
    page.route(f"{OUTSIDE}/**", lambda route: route.abort())
