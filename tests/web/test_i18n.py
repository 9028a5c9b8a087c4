"""Languages: which one a reader gets, and that every sentence is there in each."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from starlette.datastructures import Headers

from app.domain.messages import message
from app.domain.models import RunState
from app.web import i18n, translations


@pytest.fixture
def chinese() -> Iterator[None]:
    """Read as a Chinese reader does."""
    token = i18n._language.set("zh")
    yield
    i18n._language.reset(token)


def test_every_sentence_is_translated() -> None:
    """Code, templates and catalogues agree; run `make translations` and fill what is empty."""
    assert list(translations.problems()) == []


@pytest.mark.parametrize(
    ("cookie", "accept", "expected"),
    [
        ("", "", "en"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("", "de,zh-TW;q=0.5,en;q=0.4", "zh"),
        ("", "de-DE,fr", "en"),
        ("", "en;q=0.1,zh;q=0.9", "zh"),
        ("", "zh;q=x, en", "en"),
        ("language=en", "zh-CN", "en"),
        ("language=zh", "en", "zh"),
        ("language=../../etc", "zh", "zh"),
        ("a b=\x7f;;=,", "en", "en"),
    ],
)
def test_a_reader_gets_their_language(cookie: str, accept: str, expected: str) -> None:
    """The reader's own choice first, then the browser's wishes in their order, then English."""
    headers = Headers({"cookie": cookie, "accept-language": accept})

    assert i18n.language_of(headers) == expected


def test_a_page_speaks_chinese(client: TestClient) -> None:
    """A Chinese browser gets a Chinese page that says so."""
    page = client.get("/runs", headers={"Accept-Language": "zh-CN"}).text

    assert '<html lang="zh">' in page
    assert "还没有模型" in page
    assert "No model yet" not in page


def test_the_switch_is_remembered_and_leads_back(client: TestClient) -> None:
    """Choosing a language comes back to the same page, in it."""
    reply = client.post("/language", data={"language": "zh", "back": "/runs?q=x"})

    assert reply.status_code == 303
    assert reply.headers["location"] == "/runs?q=x"
    assert '<html lang="zh">' in client.get("/runs").text


@pytest.mark.parametrize(
    "back",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x", "", "/\t/evil.example", "//["],
)
def test_the_switch_never_leads_elsewhere(client: TestClient, back: str) -> None:
    """An address that is not a path of this server is replaced by home."""
    reply = client.post("/language", data={"language": "zh", "back": back})

    assert reply.headers["location"] == "/"


def test_an_unknown_language_changes_nothing(client: TestClient) -> None:
    """No cookie is set for a language there is no catalogue of."""
    reply = client.post("/language", data={"language": "xx", "back": "/runs"})

    assert "set-cookie" not in reply.headers


@pytest.mark.usefixtures("chinese")
def test_messages_of_the_domain_are_translated_with_their_values() -> None:
    """Names stay, words of enums are translated, a message inside a message too."""
    text = i18n.translate(message("Run {id} has already ended: it is {state}.", id=7, state=RunState.FINISHED))

    assert "7" in text
    assert "已完成" in text
    assert "Run" not in text


@pytest.mark.usefixtures("chinese")
def test_braces_in_a_value_stay_braces() -> None:
    """A value is never read as a template."""
    text = i18n.translate(
        message("There is no model named “{name}”. Register it on the Models page first.", name="{x}")
    )

    assert "{x}" in text
