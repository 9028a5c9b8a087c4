"""The account page: one's own password, logins and tokens, and nobody else's."""

from collections.abc import Callable
from typing import Any

import pytest
from bs4 import BeautifulSoup
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app.domain import accounts, db, tokens
from app.domain.login_tries import TRIES
from app.domain.models import Credential, Role
from app.domain.passwords import fits, hash_of
from app.web.agents import agent_words
from tests.conftest import COOKIE, log_in

PASSWORD = "correct horse battery"


def parsed(reply: Any) -> BeautifulSoup:
    """Read a page."""
    return BeautifulSoup(reply.text, "html.parser")


def test_a_token_is_shown_once_and_works(client: TestClient, anonymous: TestClient, session: Session) -> None:
    """The page that makes it holds it, kept by no cache, and no later one does."""
    made = client.post("/account/tokens", data={"name": "nightly", "scope": "viewer", "days": "30"})

    secret = parsed(made).select_one(".secret-line code").text
    headers = {"Authorization": f"Bearer {secret}"}
    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    assert secret not in client.get("/account").text
    assert client.get("/api/v1/account", headers=headers).json()["may"] == "viewer"
    assert client.post("/api/v1/runs", headers=headers, json={}).status_code == 403
    assert parsed(client.get("/account")).select_one(".tokens-table tbody th").text == "nightly"
    assert session.exec(select(Credential).where(Credential.kind == "token")).one().expires_at is not None


@pytest.mark.parametrize(
    ("typed", "field"), [({"name": ""}, "token-name"), ({"name": "x", "scope": "admin"}, "token-scope")]
)
def test_a_token_that_cannot_be_made_is_explained_at_its_field(
    client: TestClient, session: Session, typed: dict[str, str], field: str
) -> None:
    """The form comes back with what was typed."""
    accounts.add_user(session, "other", role=Role.ADMIN)
    accounts.first_admin(session).role = Role.RUNNER
    session.commit()

    reply = client.post("/account/tokens", data=typed)

    assert reply.status_code == 422
    assert parsed(reply).select_one(f"#{field}")["aria-invalid"] == "true"
    assert tokens.list_tokens(session) == []


def test_a_token_is_revoked_by_its_own_user_only(client: TestClient, session: Session) -> None:
    """Somebody else's is not there, though an admin ends it among the users."""
    bea = tokens.issue_token(session, accounts.add_user(session, "bea", role=Role.VIEWER), name="hers")
    own = tokens.issue_token(session, accounts.first_admin(session), name="own")
    session.commit()

    assert client.post(f"/account/tokens/{bea.credential.id}/revoke").status_code == 404
    assert client.post(f"/account/tokens/{own.credential.id}/revoke").status_code == 303
    assert [token.name for token, _ in tokens.list_tokens(session)] == ["hers"]
    assert client.post(f"/users/tokens/{bea.credential.id}/revoke").status_code == 303
    assert tokens.list_tokens(session) == []


def test_a_password_is_set_and_changed(client: TestClient, session: Session) -> None:
    """The first asks for none, the next for the one before; this browser goes on, others are out."""
    other = log_in(session)
    assert parsed(client.get("/account")).select_one("[name=old]") is None

    first = client.post("/account/password", data={"password": PASSWORD})
    wrong = client.post("/account/password", data={"old": "not it at all", "password": "another battery"})
    common = client.post("/account/password", data={"old": PASSWORD, "password": "password2026!"})

    assert (first.status_code, first.headers["location"]) == (303, "/account?done=password")
    assert "Your password is set" in client.get("/account?done=password").text
    assert (wrong.status_code, common.status_code) == (422, 422)
    assert parsed(wrong).select_one("#password-old")["aria-invalid"] == "true"
    assert parsed(common).select_one("#password-new")["aria-invalid"] == "true"
    client.cookies.clear()
    client.cookies.set(COOKIE, other)
    assert client.get("/account").status_code == 303


def test_the_old_password_is_not_guessed_with_a_stolen_cookie(client: TestClient, session: Session) -> None:
    """Its tries are those of the login."""
    accounts.set_password(session, accounts.first_admin(session), PASSWORD)
    client.cookies.set(COOKIE, log_in(session))

    statuses = [
        client.post("/account/password", data={"old": "wrong wrong", "password": "another battery"}).status_code
        for _ in range(TRIES + 1)
    ]

    assert statuses == [422] * TRIES + [429]


def test_nobody_waits_for_the_database_while_a_password_is_hashed(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while the old one is checked nor while the new one is made: argon2 takes its time."""
    accounts.set_password(session, accounts.first_admin(session), PASSWORD)
    client.cookies.set(COOKIE, log_in(session))
    written: list[str] = []

    def writing(hashed: Callable[..., Any]) -> Callable[..., Any]:
        def first_writes(*given: Any) -> Any:
            with db.unit_of_work() as other:
                written.append(accounts.add_user(other, f"user {len(written)}", role=Role.VIEWER).name)
            return hashed(*given)

        return first_writes

    monkeypatch.setattr("app.domain.accounts.fits", writing(fits))
    monkeypatch.setattr("app.domain.logins.hash_of", writing(hash_of))
    reply = client.post("/account/password", data={"old": PASSWORD, "password": "another horse battery"})

    assert (reply.status_code, written) == (303, ["user 0", "user 1"])
    assert accounts.check_password(session, "admin", "another horse battery") is not None


def test_a_password_that_was_changed_meanwhile_is_not_changed_by_the_one_before(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was checked before the write is looked at again within it."""
    accounts.set_password(session, accounts.first_admin(session), PASSWORD)
    client.cookies.set(COOKIE, log_in(session))

    def overtaken(password: str) -> str:
        with db.unit_of_work() as other:
            accounts.first_admin(other).password_hash = hash_of("a third horse battery")
        return hash_of(password)

    monkeypatch.setattr("app.domain.logins.hash_of", overtaken)
    reply = client.post("/account/password", data={"old": PASSWORD, "password": "another horse battery"})

    assert reply.status_code == 422
    assert accounts.check_password(session, "admin", "a third horse battery") is not None


def test_changing_a_password_again_and_again_ends_too(client: TestClient, session: Session) -> None:
    """The right one starts nothing over here: argon2 works for it as for a wrong one."""
    accounts.set_password(session, accounts.first_admin(session), PASSWORD)
    client.cookies.set(COOKIE, log_in(session))

    statuses = [
        client.post("/account/password", data={"old": PASSWORD, "password": PASSWORD}).status_code
        for _ in range(TRIES + 1)
    ]

    assert statuses == [303] * TRIES + [429]


def test_logins_are_listed_and_ended(client: TestClient, session: Session) -> None:
    """With what the browser calls itself and where it came from; this one has no button, the others have."""
    admin = accounts.first_admin(session)
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    for number in (1, 2):
        accounts.log_in(session, admin, lifetime=accounts.RENEW_AFTER, how="password", address=f"10.0.0.{number}",
                        agent=agent)  # fmt: skip
    session.commit()
    page = parsed(client.get("/account"))
    buttons = page.select(".logins-table form")

    client.post(str(buttons[0]["action"]))
    after_one = parsed(client.get("/account")).select(".logins-table tbody tr")
    client.post("/account/logins/end-others")

    assert "Firefox, Linux" in page.select_one(".logins-table").text
    assert "10.0.0.1" in page.select_one(".logins-table").text
    assert len(buttons) == 2
    assert (len(after_one), len(parsed(client.get("/account")).select(".logins-table tbody tr"))) == (2, 1)


def test_a_login_of_somebody_else_is_not_there(client: TestClient, session: Session) -> None:
    """Ids of other people's logins name nothing."""
    accounts.log_in(session, accounts.add_user(session, "bea", role=Role.VIEWER), lifetime=accounts.RENEW_AFTER)
    session.commit()
    theirs = max(row.id or 0 for row in session.exec(select(Credential)))

    assert client.post(f"/account/logins/{theirs}/end").status_code == 404


def test_everybody_has_an_account(client: TestClient, session: Session) -> None:
    """A viewer too; the menu leads there, and to users and log only for admins."""
    assert {"/account", "/users", "/audit"} <= {a["href"] for a in parsed(client.get("/runs")).select("#account a")}
    accounts.first_admin(session).role = Role.VIEWER
    session.commit()

    page = client.get("/account")

    assert page.status_code == 200
    assert [a["href"] for a in parsed(page).select("#account a")] == ["/account"]


MOZILLA = "Mozilla/5.0"


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (f"{MOZILLA} (Windows NT 10.0; Win64; x64) Chrome/142.0 Safari/537.36 Edg/142.0", "Edge, Windows"),
        (f"{MOZILLA} (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1", "Safari, macOS"),
        (f"{MOZILLA} (iPhone; CPU iPhone OS 18_0 like Mac OS X) CriOS/142.0 Safari/604.1", "Chrome, iPhone"),
        ("curl/8.5.0", "curl"),
        ("<script>alert(1)</script>", ""),
        ("", ""),
    ],
)
def test_a_browser_is_told_in_two_words(agent: str, words: str) -> None:
    """What it descends from, and whatever else it says, is left out."""
    assert agent_words(agent) == words


def test_a_first_password_is_no_guess(client: TestClient) -> None:
    """Whoever is told six times that it is too simple can set a good one."""
    answers = [client.post("/account/password", data={"password": "short"}).status_code for _ in range(6)]
    answers.append(client.post("/account/password", data={"password": "heron wicket lantern"}).status_code)

    assert answers == [422] * 6 + [303]
