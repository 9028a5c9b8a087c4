"""What a browser may do with an answer: nothing inline, nothing framed, nothing guessed, whatever the page holds."""

import re
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.domain.models import RunState
from app.main import create_app
from tests.conftest import forget_settings
from tests.factories import make_answers, make_checkpoint, make_recipe_data, make_run
from tests.saved_sets import make_set
from tests.stories import make_story

ROOT = Path(__file__).parents[2]
NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}} ${7*7} {% raw %}",
    "<svg onload=alert(1)><a href='javascript:alert(1)'>x</a>",
    "</textarea></title></style><!-- ]]>",
    "![x](https://evil.example/x.png) [x](javascript:alert(1))",
)  # fmt: skip
HARDENED = (
    "content-security-policy",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "permissions-policy",
    "cache-control",
)
RAW = {  # every text that is put on a page as it is, and why it may be
    "app/web/cards.py": "our own style sheet and icons, a template's output, and JSON whose `<` is escaped",
    "app/web/compare_cells.py": "pieces that are escaped one by one, and our own attribute names",
}


@pytest.fixture
def story(session: Session) -> dict[str, int]:
    """Fill the database with names, answers and rows that are made to break out."""
    words = " ".join(NASTY)
    run = make_run(session, state=RunState.FINISHED, name=words[:100])
    make_answers(session, make_checkpoint(session, run, iteration=0), [words] * 3)
    make_answers(session, make_checkpoint(session, run, iteration=5), [words[::-1] + words] * 3)
    told = make_story(session)
    kept = make_set(session, name=words[:80])
    return {"run": run.id or 0, "story": told.id or 0, "set": kept.id or 0}


PAGES = (
    *("/runs", "/runs?q=%3Cscript%3E", "/runs/{run}", "/runs/{run}/config", "/runs/new", "/runs/new?from={run}"),
    *(
        "/compare",
        "/compare?runs={run},{story}",
        "/compare?runs={run}&diff=base&lines=all",
        "/compare/blind?runs={run}",
    ),
    *("/sweeps", "/sweeps/new", "/datasets", "/datasets/{set}", "/models", "/verdicts"),
    *("/patterns", "/login", "/nothing", "/login/%3Cscript%3E"),
)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_carries_script_of_its_own(client: TestClient, story: dict[str, int], path: str) -> None:
    """12: A page has no inline script, style or handler, no address that is one, and no link that can reach back."""
    reply = client.get(path.format(**story))

    assert reply.status_code in {200, 303, 404, 410}, reply.status_code
    page = BeautifulSoup(reply.text, "html.parser")
    assert [tag for tag in programs(page) if not str(tag.get("src", "")).startswith("/static/")] == []
    assert page.find_all(["style", "base", "iframe", "object", "embed"]) == []
    for tag in page.find_all(True):
        check_attributes(tag)


def test_a_card_carries_nothing_that_runs(client: TestClient, story: dict[str, int]) -> None:
    """12: It is opened from a disk too, so its style is inside; its own policy lets nothing else in."""
    reply = client.get("/runs/{run}/card.html".format(**story))

    page = BeautifulSoup(reply.text, "html.parser")
    assert programs(page) == page.find_all(["base", "iframe", "object", "embed"]) == []
    policy = page.select_one("meta[http-equiv=Content-Security-Policy]")
    assert policy is not None
    assert str(policy["content"]).startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "script-src" not in policy["content"]
    assert reply.headers["Content-Disposition"].startswith("attachment")
    for tag in page.find_all(True):
        check_attributes(tag)


def programs(page: BeautifulSoup) -> list[Any]:
    """Return the elements that a browser would run."""
    return [tag for tag in page.find_all("script") if tag.get("type") != "application/json"]


def check_attributes(tag: Any) -> None:
    """Check one element of a page."""
    for name, value in tag.attrs.items():
        assert not name.startswith("on"), f"{name} of {tag.name}"
        assert name not in {"style", "srcdoc"}, f"{name} of {tag.name}"
        if name in {"href", "src", "action", "formaction", "hx-get", "hx-post"}:
            assert re.match(r"(/(?!/)|#|\?|$)", str(value)) or leads_away_safely(tag), f"{name}={value}"


def leads_away_safely(tag: Any) -> bool:
    """Whether a link to another site is one of ours, and gives that site no handle on this page."""
    return str(tag.get("href", "")).startswith("https://") and "noopener" in (tag.get("rel") or [])


@pytest.mark.parametrize("path", ["/runs", "/runs/{run}", "/compare?runs={run}", "/datasets/{set}"])
def test_words_stay_words(client: TestClient, story: dict[str, int], path: str) -> None:
    """15: What is made to break out of a page or a template is read on it as it was written."""
    page = BeautifulSoup(client.get(path.format(**story)).text, "html.parser")

    assert "<script>alert(1)</script>" in page.get_text()
    assert page.find("img", src="x") is None
    assert "49" not in page.get_text().split("{{7*7}}")[0][-4:]


def test_what_is_written_as_it_is_is_on_a_list() -> None:
    """12: Nothing but what is listed here, with its reason, puts text on a page without escaping it."""
    pages = [*(ROOT / "templates").rglob("*.html")]
    raw = re.compile(r"\|\s*safe\b|autoescape\s+false|Markup\(|mark_safe|\bautoescape=False")
    found = {
        str(path.relative_to(ROOT))
        for path in [*pages, *(ROOT / "app").rglob("*.py")]
        if raw.search(path.read_text("utf-8"))
    }

    assert found == set(RAW)


# ── Headers of every answer ────────────────────────────────────────────────


def test_every_answer_has_the_headers(client: TestClient, session: Session) -> None:
    """11: Pages, errors of every kind, redirects, 304, files, streams and refusals forbid frames and inline script."""
    run = make_run(session, state=RunState.FINISHED)
    tag = client.get("/runs").headers["etag"]
    replies = {
        "page": client.get("/runs"),
        "304": client.get("/runs", headers={"If-None-Match": tag}),
        "redirect": client.get("/"),
        "stream": client.get(f"/runs/{run.id}/events"),
        "404": client.get("/nothing"),
        "404 of the API": client.get("/api/v1/nothing"),
        "405": client.put("/runs"),
        "422": client.post(f"/runs/{run.id}/queue", data={"place": "x"}),
        "400": client.get("/runs", headers={"Host": "evil.example"}),
        "403": client.post("/runs/1/stop", headers={"Sec-Fetch-Site": "cross-site"}),
        "static": client.get("/static/app.css"),
        "static 404": client.get("/static/nothing"),
        "toast": client.get("/nothing", headers={"HX-Request": "true"}),
        "health": client.get("/healthz"),
    }

    assert replies["304"].status_code == 304
    for name, reply in replies.items():
        assert [header for header in HARDENED if header not in reply.headers] == [], name
        policy = reply.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy, name
        assert "default-src 'none'" in policy, name
        assert "unsafe" not in policy, name
        assert reply.headers["x-frame-options"] == "DENY", name


def test_behind_tls_a_browser_never_comes_without_it(anonymous: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """11: Where cookies are for TLS only, so is the whole site; elsewhere nothing is said of it."""
    assert "strict-transport-security" not in anonymous.get("/login").headers

    monkeypatch.setenv("TEMPER_SECURE_COOKIES", "1")
    forget_settings()

    assert anonymous.get("/login").headers["strict-transport-security"].startswith("max-age=31536000")


def test_the_api_gives_words_as_json(api: TestClient, session: Session) -> None:
    """12: What a program gets is JSON by name and by header, so that no browser takes it for a page."""
    make_run(session, name=NASTY[0])

    reply = api.get("/api/v1/runs")

    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.json()["runs"][0]["name"] == NASTY[0]


def test_a_recipe_shown_again_is_words(client: TestClient, session: Session) -> None:
    """12: A form that comes back with its errors holds what was typed, as text."""
    make_run(session)
    data = make_recipe_data(name=NASTY[1])

    reply = client.post("/runs/new", data={"name": data["name"], "training.epochs": NASTY[0]})

    page = BeautifulSoup(reply.text, "html.parser")
    assert page.find("input", attrs={"name": "name"})["value"] == NASTY[1]
    assert page.find("img", src="x") is None


def test_the_app_has_no_debugger() -> None:
    """48: No page of the framework's own, and no debug mode, is built in."""
    app = create_app()

    assert not app.debug
    assert (app.docs_url, app.redoc_url, app.openapi_url) == (None, None, None)
