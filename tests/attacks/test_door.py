"""Coming in without a login, by guessing, or from another site."""

import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from pwdlib import PasswordHash
from sqlmodel import Session, select

from app.domain import accounts
from app.domain.columns import utc_now
from app.domain.errors import InvalidError
from app.domain.login_tries import TRIES, WINDOW_SECONDS
from app.domain.models import Credential, Dataset, Model, Run, RunState
from app.web import event_streams, login, permits
from tests.conftest import COOKIE, log_in
from tests.factories import make_model, make_run
from tests.saved_sets import make_set

CHANGING = ("POST", "PUT", "PATCH", "DELETE")
PASSWORD = "correct horse battery"
HERE = {"Sec-Fetch-Site": "same-origin"}
FORGED = {"User-Agent": "temper-cli/1.0", "X-Requested-With": "XMLHttpRequest", "HX-Request": "true"}
ELSEWHERE: dict[str, dict[str, str]] = {
    "cross-site": {"Sec-Fetch-Site": "cross-site"},
    "same-site": {"Sec-Fetch-Site": "same-site"},
    "null": {"Origin": "null"},
    "nobody says": {},
    "another port": {"Origin": "http://127.0.0.1:9"},
    "forged": {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1", **FORGED},
}


def paths_of(client: TestClient) -> list[str]:
    """Return the path of every route, its ids filled in."""
    assert isinstance(client.app, FastAPI)
    paths = {str(route.path) for route in iter_route_contexts(client.app.routes)}
    return sorted(path.replace("{", "").replace("}", "") for path in paths)


@pytest.fixture
def browser_of_admin(anonymous: TestClient, session: Session) -> TestClient:
    """Open the app as a browser with an admin's cookie, that says nothing of where it is."""
    anonymous.cookies.set(COOKIE, log_in(session))
    return anonymous


@pytest.fixture
def tries(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Put the clock that tries are counted by into the test's hand."""
    now = [0.0]
    monkeypatch.setattr(login.tries(), "clock", lambda: now[0])
    return now


def set_password(session: Session) -> None:
    accounts.set_password(session, accounts.first_admin(session), PASSWORD)
    session.commit()


def try_password(client: TestClient, password: str, name: str = "admin") -> Any:
    return client.post("/login", headers=HERE, data={"name": name, "password": password})


# ── Without a login ────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/runs/{id}/events", "/api/v1/runs/{id}/events"])
def test_a_stream_is_closed_when_its_login_ends(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """2: A stream that is open when its login is ended is closed at the next look, without an end of the run."""
    monkeypatch.setattr(permits, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(event_streams, "LOOK_SECONDS", 0.1)
    run = make_run(session, state=RunState.RUNNING)
    credential = session.exec(select(Credential)).one()

    def log_out() -> None:
        credential.revoked_at = utc_now()
        session.add(credential)
        session.commit()

    def finish() -> None:
        run.state = RunState.FINISHED  # so that a stream that goes on ends as well, and says that the run did
        session.add(run)
        session.commit()

    ending, finishing = threading.Timer(0.5, log_out), threading.Timer(4, finish)
    ending.start()
    finishing.start()
    reply = client.get(path.format(id=run.id))
    finishing.cancel()
    ending.join()

    assert reply.status_code == 200
    assert "event: end" not in reply.text
    assert "event: over" not in reply.text
    assert client.get(path.format(id=run.id), headers={"Accept": "text/event-stream"}).status_code == 401


def test_no_stream_is_longer_than_a_minute_past_its_login() -> None:
    """2: A login is looked at so often that a stream outlives it by less than a minute."""
    assert permits.CHECK_SECONDS + event_streams.LOOK_SECONDS < 60


# ── Guessing ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("password", ["", "x", "admin", "password", "temper", "changeme"])
def test_no_simple_password_lets_in(anonymous: TestClient, session: Session, password: str) -> None:
    """4: Nobody comes in by no password, one character or a product's default, whether one is set or not."""
    before = try_password(anonymous, password).status_code
    set_password(session)
    after = try_password(anonymous, password).status_code

    assert (before, after) == (422, 422)


@pytest.mark.parametrize("password", ["", "x", "admin", "password", "123456789", "kX7!vq2", "password1234"])
def test_no_simple_password_can_be_set(session: Session, password: str) -> None:
    """4: Nor can one be set, nor a short one that is no word, nor a long one that is."""
    with pytest.raises(InvalidError):
        accounts.set_password(session, accounts.first_admin(session), password)


def test_a_hundred_guesses_are_five(anonymous: TestClient, session: Session, tries: list[float]) -> None:
    """5: After five wrong passwords every further one is 429 until the window is over; then the right one works."""
    set_password(session)

    statuses = [try_password(anonymous, f"wrong password {number}").status_code for number in range(100)]
    locked = try_password(anonymous, PASSWORD).status_code
    tries[0] += WINDOW_SECONDS + 1

    assert statuses == [422] * TRIES + [429] * (100 - TRIES)
    assert locked == 429
    assert try_password(anonymous, PASSWORD).status_code == 303


def test_a_guess_does_not_tell_who_exists(
    anonymous: TestClient, session: Session, tries: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """5: A name that exists and one that does not are answered alike, and each costs one check of argon2."""
    set_password(session)
    checked: list[str] = []
    verify = PasswordHash.verify

    def counted(self: PasswordHash, password: str, known: str) -> bool:
        checked.append("once")
        return verify(self, password, known)

    monkeypatch.setattr(PasswordHash, "verify", counted)

    known = try_password(anonymous, "wrong wrong wrong").text
    tries[0] += WINDOW_SECONDS + 1
    unknown = try_password(anonymous, "wrong wrong wrong", name="nobody").text

    assert known == unknown.replace('"nobody"', '"admin"')
    assert checked == ["once", "once"]


# ── From another site ──────────────────────────────────────────────────────


def test_another_site_starts_stops_and_deletes_nothing(browser_of_admin: TestClient, session: Session) -> None:
    """6: A form of another site with an admin's cookie is refused, and everything is as it was."""
    run, kept, model = make_run(session, state=RunState.RUNNING), make_set(session), make_model(session)
    paths = ("/runs/new", f"/runs/{run.id}/stop", f"/datasets/{kept.id}/delete", f"/models/{model.id}/remove")

    statuses = {
        browser_of_admin.post(path, headers={"Sec-Fetch-Site": "cross-site"}, data={"name": "x"}).status_code
        for path in paths
    }

    session.expire_all()
    assert statuses == {403}
    assert [len(session.exec(select(table)).all()) for table in (Run, Dataset, Model)] == [1, 1, 1]
    assert run.stop_requested_at is None


@pytest.mark.parametrize("method", CHANGING)
def test_no_route_takes_a_change_from_elsewhere(browser_of_admin: TestClient, method: str) -> None:
    """7: Whatever the route, the method and the headers that a script forges, another site is refused."""
    for path in paths_of(browser_of_admin):
        reply = browser_of_admin.request(method, path, headers=ELSEWHERE["forged"])
        assert reply.status_code == 403, f"{method} {path} answers {reply.status_code}"


@pytest.mark.parametrize("where", ["null", "nobody says", "another port", "same-site"])
def test_whoever_has_a_cookie_must_say_where_they_are(browser_of_admin: TestClient, where: str) -> None:
    """9: With a cookie, `Origin: null`, none at all, and a neighbour's are refused on every route."""
    for path in paths_of(browser_of_admin):
        reply = browser_of_admin.post(path, headers=ELSEWHERE[where])
        assert reply.status_code == 403, f"{path} answers {reply.status_code}"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8321", "evil.example:80@127.0.0.1", ""])
def test_another_name_opens_nothing(browser_of_admin: TestClient, host: str) -> None:
    """8: A name that another site's DNS pointed here is a 400 on every route, with whatever cookie."""
    for path in [*paths_of(browser_of_admin), "/nothing", "/static/app.css"]:
        reply = browser_of_admin.get(path, headers={"Host": host})
        assert reply.status_code == 400, f"{path} answers {reply.status_code}"


def test_no_route_invites_another_origin(browser_of_admin: TestClient) -> None:
    """10: No answer to a preflight, nor to what follows it, has a header that lets another origin read."""
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}

    for path in paths_of(browser_of_admin):
        if path.endswith("/events"):
            continue
        for reply in (browser_of_admin.options(path, headers=asked), browser_of_admin.get(path, headers=asked)):
            assert not [name for name in reply.headers if name.startswith("access-control")], path
