"""Static files: answered from memory, compressed for whoever takes that, and never older than the file."""

import gzip
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.web import assets, kept_files


def raw(client: TestClient, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """Ask, and return what came as it came."""
    with client.stream("GET", path, headers={"Accept-Encoding": "identity"} | headers) as reply:
        return reply.status_code, b"".join(reply.iter_raw()), dict(reply.headers)


@pytest.mark.parametrize("path", ["app.css", "app.js", "icons.svg", "vendor/htmx.min.js"])
def test_a_file_comes_whole_or_compressed(anonymous: TestClient, path: str) -> None:
    """Both forms are the same bytes, with their length, their type and the door's headers; no login is needed."""
    stored = (assets.STATIC_FOLDER / path).read_bytes()

    plain = raw(anonymous, f"/static/{path}")
    packed = raw(anonymous, f"/static/{path}", **{"Accept-Encoding": "gzip"})

    assert (plain[0], plain[1]) == (200, stored)
    assert gzip.decompress(packed[1]) == stored
    assert packed[2]["content-length"] == str(len(packed[1]))
    assert plain[2]["content-type"].startswith(("text/", "image/svg"))
    assert {"content-security-policy", "x-content-type-options", "etag"} <= set(plain[2])


def test_a_browser_that_has_it_is_told_so(anonymous: TestClient) -> None:
    """Its tag brings a 304 without a body; an address with the content's hash is kept for good, another asked again."""
    _, _, headers = raw(anonymous, "/static/app.css")
    status, body, _ = raw(anonymous, "/static/app.css", **{"If-None-Match": headers["etag"]})
    _, _, for_good = raw(anonymous, assets.static_url("app.css"))

    assert (status, body) == (304, b"")
    assert headers["cache-control"] == "no-cache"
    assert "immutable" in for_good["cache-control"]


def test_a_changed_file_is_read_again(anonymous: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever works on the look needs no new start."""
    path = tmp_path / "own.css"
    path.write_text("a { color: red }")
    monkeypatch.setattr(kept_files, "_paths", lambda: {"/static/own.css": path})

    before = anonymous.get("/static/own.css").text
    path.write_text("a { color: blue; }")
    after = anonymous.get("/static/own.css").text

    assert (before, after) == ("a { color: red }", "a { color: blue; }")


@pytest.mark.parametrize("path", ["../pyproject.toml", "%2e%2e/pyproject.toml", "nothing.css", "", "vendor"])
def test_nothing_but_files_of_the_folder_is_sent(anonymous: TestClient, path: str) -> None:
    """Whatever is not one of them is not there."""
    assert anonymous.get(f"/static/{path}", follow_redirects=False).status_code in {303, 404}


def test_a_part_of_a_file_is_sent_as_a_part(anonymous: TestClient) -> None:
    """Who asks for a range gets it: that is not answered from memory."""
    reply = anonymous.get("/static/app.css", headers={"Range": "bytes=0-9"})

    assert (reply.status_code, len(reply.content)) == (206, 10)
