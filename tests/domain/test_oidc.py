"""What an OpenID provider and a browser send: whatever it is, it is refused in words."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.domain import oidc
from tests.conftest import forget_settings

DEEP = b"[" * 5_000  # deeper than Python follows


class Answers(ThreadingHTTPServer):
    """A server that answers everything with what a test puts here; with its own metadata at first."""

    body = b""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    """One answer."""

    server: Answers

    def do_GET(self) -> None:
        """Send what the test has put there."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.body)

    do_POST = do_GET  # noqa: N815 - the name that the server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(home: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """Serve a provider that the settings name."""
    with Answers(("127.0.0.1", 0), Answer) as served:
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        served.body = json.dumps({"issuer": served.url, **dict.fromkeys(names, served.url)}).encode()
        monkeypatch.setenv("TEMPER_OIDC_ISSUER", served.url)
        monkeypatch.setenv("TEMPER_OIDC_CLIENT_ID", "temper")
        monkeypatch.setenv("TEMPER_OIDC_CLIENT_SECRET", "secret")
        forget_settings()
        oidc.provider.cache_clear()
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield served
        served.shutdown()
        thread.join(10)


def encoded(text: bytes) -> str:
    """Return a part of a signed text."""
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "head",
    [
        b'{"alg":"HS256","crit":[1]}',
        b'{"alg":"HS256","crit":[{}]}',
        b'{"alg":"HS256","crit":[[]]}',
        b"[]",
        DEEP[:2_900],
    ],
    ids=["number", "object", "list", "no-head", "deep"],
)
def test_a_cookie_with_an_odd_head_is_no_login(server: Answers, head: bytes) -> None:
    """Anybody may write one: it is read before its signature is known to be wrong."""
    with pytest.raises(oidc.StaleLoginError):
        oidc.read_attempt(f"{encoded(head)}.{encoded(b'{}')}.x", state="y")


@pytest.mark.parametrize("what", ["metadata", "keys", "code"])
def test_a_provider_that_answers_endlessly_deep_is_told(server: Answers, what: str) -> None:
    """It is unreachable like one that answers nonsense."""
    provider = oidc.provider(server.url)
    if what != "metadata":
        provider.metadata()
    server.body = DEEP
    asked: dict[str, Callable[[], object]] = {
        "metadata": provider.metadata,
        "keys": provider.keys,
        "code": lambda: exchange(server),
    }

    with pytest.raises(oidc.ProviderError):
        asked[what]()


def exchange(server: Answers) -> object:
    """Give a code back."""
    attempt = oidc.Attempt(state="s", nonce="n", verifier="v" * 48, next="/")
    return oidc.finish(attempt, code="c", redirect_uri=server.url)


@pytest.mark.parametrize("next_page", ["/" + "a" * 1_999, "/" + "中" * 1_999, "/" + '"' * 1_999, "/" + "\x01" * 9_999])
def test_a_cookie_is_never_longer_than_browsers_keep(server: Answers, next_page: str) -> None:
    """An attempt that does not fit goes on to the start page."""
    _, cookie = oidc.begin(redirect_uri=server.url, next_page=next_page)

    attributes = "__Host-temper_oidc=; HttpOnly; Max-Age=600; Path=/; SameSite=lax; Secure"
    assert len(cookie) + len(attributes) < 4_096
    attempt = oidc.read_attempt(cookie, state=state_of(cookie))
    assert attempt.next in {next_page, ""}
    assert (attempt.next == next_page) == next_page.endswith("a")


def state_of(cookie: str) -> str:
    """Return the state that a login comes back with."""
    payload = cookie.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=="))["state"])
