"""Logging in by a one-time link or a password, and out."""

from datetime import timedelta
from http.cookies import SimpleCookie

import pytest
from bs4 import BeautifulSoup
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app.domain import accounts
from app.domain.login_tries import TRIES
from app.domain.models import Credential, Role, User
from app.web.login import tries
from tests.conftest import COOKIE, forget_settings

HOUR = timedelta(hours=1)
HERE = {"Sec-Fetch-Site": "same-origin"}
PASSWORD = "correct horse battery"


def make_link(session: Session, lifetime: timedelta = HOUR) -> str:
    """Return the path of a one-time link of the first admin."""
    code = accounts.make_login_link(session, accounts.first_admin(session), lifetime=lifetime)
    session.commit()
    return f"/login/{code}"


def set_password(session: Session) -> None:
    """Give the first admin a password."""
    accounts.set_password(session, accounts.first_admin(session), PASSWORD)
    session.commit()


def test_a_link_logs_in(anonymous: TestClient, session: Session) -> None:
    """Opening a link shows a button; pressing it lets in, once."""
    path = make_link(session)

    opened = anonymous.get(path)
    pressed = anonymous.post(path, headers=HERE)

    form = BeautifulSoup(opened.text, "html.parser").select_one("form")
    assert form is not None
    assert form["action"] == path
    assert (pressed.status_code, pressed.headers["location"]) == (303, "/runs")
    assert anonymous.get("/api/v1/runs").status_code == 200
    anonymous.cookies.clear()
    again = anonymous.post(path, headers=HERE)
    assert again.status_code == 410
    assert "set-cookie" not in again.headers


def test_looking_does_not_use_a_link_up(anonymous: TestClient, session: Session) -> None:
    """Previews and prefetches may open a link as often as they like."""
    path = make_link(session)

    for _ in range(3):
        assert anonymous.get(path).status_code == 200
    assert anonymous.head(path).status_code in {200, 405}
    assert anonymous.post(path, headers=HERE).status_code == 303


@pytest.mark.parametrize("code", ["nonsense", "x" * 3_000, "%00", "a%2Fb", "<script>"])
def test_an_unknown_link_lets_nobody_in(anonymous: TestClient, code: str) -> None:
    """Whatever is no link is told so, and sets no cookie."""
    for reply in (anonymous.get(f"/login/{code}"), anonymous.post(f"/login/{code}", headers=HERE)):
        assert reply.status_code in {404, 410, 303}
        assert "set-cookie" not in reply.headers
        assert "<script>" not in reply.text.replace("<script src", "")


def test_a_link_past_its_time_says_how_to_get_another(anonymous: TestClient, session: Session) -> None:
    """An old link shows the command that prints a fresh one."""
    reply = anonymous.get(make_link(session, timedelta(seconds=-1)))

    assert reply.status_code == 410
    assert "temper login-link" in reply.text


def test_the_cookie_is_kept_from_scripts_and_other_sites(anonymous: TestClient, session: Session) -> None:
    """The session cookie is HttpOnly and SameSite=Lax."""
    cookie = anonymous.post(make_link(session), headers=HERE).headers["set-cookie"]

    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))


def test_behind_tls_the_cookie_is_never_sent_in_the_clear(
    anonymous: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With secure cookies the cookie is Secure and bound to the host."""
    monkeypatch.setenv("TEMPER_SECURE_COOKIES", "true")
    forget_settings()

    cookie = anonymous.post(make_link(session), headers=HERE).headers["set-cookie"]

    assert cookie.startswith(f"__Host-{COOKIE}=")
    assert "Secure" in cookie.split("; ")


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [
        ("/compare?runs=1,2", "/compare?runs=1,2"),
        ("", "/runs"),
        ("//evil.example", "/runs"),
        ("//[", "/runs"),
        ("/\\evil.example", "/runs"),
        ("/\t/evil.example", "/runs"),
        ("https://evil.example/", "/runs"),
        ("javascript:alert(1)", "/runs"),
    ],
)
def test_one_goes_on_to_this_server_only(anonymous: TestClient, session: Session, wanted: str, reached: str) -> None:
    """After the login one goes where one wanted to, unless that is elsewhere."""
    reply = anonymous.post(make_link(session), headers=HERE, data={"next": wanted})

    assert reply.headers["location"] == reached


def test_who_comes_from_a_long_address_logs_in(anonymous: TestClient, session: Session) -> None:
    """The whole way from the page that was wanted: one that is too long to carry is the start page afterwards."""
    set_password(session)
    short, long = ("/compare?runs=" + ",".join(str(100_000 + number) for number in range(most)) for most in (250, 300))
    reached = []

    for wanted in (short, long):
        page = anonymous.get(anonymous.get(wanted).headers["location"])
        field = BeautifulSoup(page.text, "html.parser").select_one("[name=next]")
        assert field is not None
        data = {"name": "admin", "password": PASSWORD, "next": str(field["value"])}
        reached.append(anonymous.post("/login", headers=HERE, data=data).headers["location"])
        anonymous.cookies.clear()

    assert reached == [short, "/runs"]


@pytest.mark.parametrize("by_link", [True, False])
def test_an_address_that_is_too_long_keeps_nobody_out(
    anonymous: TestClient, session: Session, *, by_link: bool
) -> None:
    """Whoever has put it there, no way in is closed by it."""
    set_password(session)
    wanted = "/runs?q=" + "x" * 9_000
    path = make_link(session) if by_link else "/login"

    shown = anonymous.get(path, params={"next": wanted})
    reply = anonymous.post(path, headers=HERE, data={"name": "admin", "password": PASSWORD, "next": wanted})

    assert shown.status_code == 200
    assert 'name="next" value=""' in shown.text
    assert (reply.status_code, reply.headers["location"]) == (303, "/runs")


def test_another_site_cannot_log_somebody_in(anonymous: TestClient, session: Session) -> None:
    """A login that another site's form asks for is refused, and the link stays good."""
    path = make_link(session)

    refused = anonymous.post(path, headers={"Sec-Fetch-Site": "cross-site"})

    assert refused.status_code == 403
    assert anonymous.post(path, headers=HERE).status_code == 303


def grow_old(session: Session) -> None:
    """Let every login be as old as one that is worth renewing."""
    for login in session.exec(select(Credential)):
        login.created_at -= 2 * accounts.RENEW_AFTER
        session.add(login)
    session.commit()


def test_a_login_lasts_from_its_last_use(client: TestClient, session: Session) -> None:
    """When its time is lengthened the browser is told so, and not with every request."""
    fresh, secret = client.get("/runs"), client.cookies[COOKIE]
    grow_old(session)

    static, used, again = (client.get(path) for path in ("/static/app.css", "/runs", "/runs"))

    assert "set-cookie" not in fresh.headers
    assert "set-cookie" not in static.headers
    assert f"{COOKIE}={secret}" in used.headers["set-cookie"]
    assert "Max-Age=1209600" in used.headers["set-cookie"]
    assert "HttpOnly" in used.headers["set-cookie"]
    assert "set-cookie" not in again.headers


def test_logging_out_renews_nothing(client: TestClient, session: Session) -> None:
    """The cookie that is taken away does not come back with the same answer."""
    grow_old(session)

    reply = client.post("/logout", headers=HERE)

    assert [value.partition("=")[0] for value in reply.headers.get_list("set-cookie")] == [COOKIE]
    assert "Max-Age=0" in reply.headers["set-cookie"]


def test_a_password_logs_in(anonymous: TestClient, session: Session) -> None:
    """The form asks for a password where one is set, and the right one lets in."""
    assert "password" not in anonymous.get("/login").text
    set_password(session)
    assert 'type="password"' in anonymous.get("/login").text

    reply = anonymous.post("/login", headers=HERE, data={"name": "admin", "password": PASSWORD, "next": "/models"})

    assert (reply.status_code, reply.headers["location"]) == (303, "/models")
    assert anonymous.get("/login").headers["location"] == "/runs"


@pytest.mark.parametrize("name", ["a\x00b", "a\u202eb"])
def test_a_name_that_cannot_be_shown_is_wrong(anonymous: TestClient, session: Session, name: str) -> None:
    """Like any that nobody has."""
    set_password(session)

    reply = anonymous.post("/login", headers=HERE, data={"name": name, "password": PASSWORD})

    assert reply.status_code == 422
    assert "this minute: 4" in reply.text


def test_wrong_passwords_run_out(anonymous: TestClient, session: Session) -> None:
    """After five wrong passwords even the right one waits; nothing says whether the name exists."""
    set_password(session)
    wrong = {"name": "admin", "password": "wrong wrong wrong"}
    first = anonymous.post("/login", headers=HERE, data=wrong)
    unknown = anonymous.post("/login", headers=HERE, data=wrong | {"name": "nobody"})

    for _ in range(TRIES - 2):
        anonymous.post("/login", headers=HERE, data=wrong)
    locked = anonymous.post("/login", headers=HERE, data={"name": "admin", "password": PASSWORD})

    assert first.status_code == 422
    assert first.text.replace("minute: 4", "") == unknown.text.replace("minute: 3", "").replace('"nobody"', '"admin"')
    assert locked.status_code == 429
    assert "set-cookie" not in locked.headers


def test_who_must_wait_is_told_how_long(anonymous: TestClient, session: Session) -> None:
    """From whichever address, once a name's tries are used up; another name is still let in."""
    set_password(session)
    accounts.set_password(session, accounts.add_user(session, "ada", role=Role.VIEWER), PASSWORD)
    session.commit()
    for number in range(TRIES):
        tries().take(f"10.0.0.{number}", "admin")

    locked = anonymous.post("/login", headers=HERE, data={"name": "admin", "password": PASSWORD})
    other = anonymous.post("/login", headers=HERE, data={"name": "ada", "password": PASSWORD})

    assert (locked.status_code, other.status_code) == (429, 303)
    assert 0 < int(locked.headers["retry-after"]) <= 60


@pytest.mark.parametrize("by_link", [True, False])
def test_a_login_has_a_new_secret_and_ends_the_one_before(
    anonymous: TestClient, session: Session, *, by_link: bool
) -> None:
    """Whatever cookie a browser came with is worth nothing afterwards, and no cookie is taken over."""
    anonymous.cookies.set(COOKIE, "a secret that somebody else chose")
    set_password(session)
    secrets = []

    for _ in range(2):
        path, data = (make_link(session), {}) if by_link else ("/login", {"name": "admin", "password": PASSWORD})
        cookie = SimpleCookie(anonymous.post(path, headers=HERE, data=data).headers["set-cookie"])
        secrets.append(cookie[COOKIE].value)
        anonymous.cookies.clear()
        anonymous.cookies.set(COOKIE, secrets[-1])

    assert len({"a secret that somebody else chose", *secrets}) == 3
    assert anonymous.get("/api/v1/runs").status_code == 200
    anonymous.cookies.clear()
    anonymous.cookies.set(COOKIE, secrets[0])
    assert anonymous.get("/api/v1/runs").status_code == 401


def test_logging_out_ends_the_session(client: TestClient) -> None:
    """After logging out the old cookie is worth nothing."""
    secret = client.cookies[COOKIE]

    reply = client.post("/logout")

    assert (reply.status_code, reply.headers["location"]) == (303, "/login")
    client.cookies.set(COOKIE, secret)
    assert client.get("/api/v1/runs").status_code == 401


def press(anonymous: TestClient, session: Session, user: User) -> str:
    """Use a new link of a user; return where it leads."""
    code = accounts.make_login_link(session, user, lifetime=HOUR)
    session.commit()
    return str(anonymous.post(f"/login/{code}", headers=HERE).headers["location"])


def test_who_was_invited_is_asked_for_a_password(anonymous: TestClient, session: Session) -> None:
    """The link works once: without a password there would be no second time; the first admin has a terminal."""
    rita = accounts.add_user(session, "rita", role=Role.RUNNER)

    assert press(anonymous, session, accounts.first_admin(session)) == "/runs"
    welcome = press(anonymous, session, rita)
    shown = anonymous.get(welcome).text
    accounts.set_password(session, rita, PASSWORD)
    later = press(anonymous, session, rita)

    assert welcome == "/account?done=welcome"
    assert "Set a password now" in shown
    assert later == "/runs"


@pytest.mark.parametrize(("host", "name", "begins"), [("127.0.0.1", "admin", "password"), ("0.0.0.0", "", "name")])  # noqa: S104
def test_strangers_are_told_no_name(
    anonymous: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch, *, host: str, name: str, begins: str
) -> None:
    """On one's own machine the first admin's is typed in already; what is empty is where one begins to type."""
    set_password(session)
    monkeypatch.setenv("TEMPER_HOST", host)
    forget_settings()

    form = BeautifulSoup(anonymous.get("/login").text, "html.parser")

    assert [field["value"] for field in form.select("input[name=name]")] == [name]
    assert [field["name"] for field in form.select("input[autofocus]")] == [begins]


def test_a_link_says_how_long_it_is_good(anonymous: TestClient, session: Session) -> None:
    """An invitation is longer than a link of the terminal."""
    path = make_link(session, timedelta(hours=24))

    ends_at = session.exec(select(Credential)).one().expires_at

    assert ends_at is not None
    assert f"{ends_at:%Y-%m-%d %H:%M}" in anonymous.get(path).text
