"""The users page: adding, roles, disabling, and links that are shown once."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.domain import accounts
from app.domain.models import Role, User
from tests.conftest import forget_settings


def link_in(reply: Any) -> str:
    """Return the one-time link that a page shows."""
    return BeautifulSoup(reply.text, "html.parser").select_one(".secret-line code").text


@pytest.fixture
def bea(client: TestClient, session: Session) -> User:
    """Add a user beside the admin who is logged in."""
    user = accounts.add_user(session, "bea", role=Role.VIEWER)
    session.commit()
    return user


def test_an_added_user_comes_in_by_the_link(client: TestClient, session: Session) -> None:
    """It is shown this once, kept by no cache, and lets in once with the role that was given."""
    added = client.post("/users", data={"name": " ada ", "role": "runner"})

    link = link_in(added)
    assert (added.status_code, added.headers["cache-control"]) == (200, "no-store")
    assert link.startswith("http://127.0.0.1/login/")
    assert link not in client.get("/users").text
    client.cookies.clear()
    assert client.post(urlsplit(link).path).headers["location"] == "/account?done=welcome"
    account = client.get("/api/v1/account").json()
    assert (account["name"], account["role"]) == ("ada", "runner")


def test_behind_tls_the_link_leads_there(client: TestClient, bea: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that begins with http would be sent in the clear."""
    cookie = next(iter(client.cookies.values()))
    monkeypatch.setenv("TEMPER_SECURE_COOKIES", "true")
    forget_settings()

    reply = client.post(f"/users/{bea.id}/link", headers={"Cookie": f"__Host-temper_session={cookie}"})

    assert link_in(reply).startswith("https://127.0.0.1/login/")


@pytest.mark.parametrize("name", ["bea", "", "x" * 101])
def test_a_name_that_cannot_be_is_explained(client: TestClient, bea: User, name: str) -> None:
    """The form comes back with what was typed."""
    reply = client.post("/users", data={"name": name, "role": "admin"})

    page = BeautifulSoup(reply.text, "html.parser")
    assert reply.status_code == 422
    assert page.select_one("#user-name")["aria-invalid"] == "true"
    assert page.select_one("[name=role][checked]")["value"] == "admin"


def test_a_role_and_a_way_in_are_changed(client: TestClient, session: Session, bea: User) -> None:
    """Each button of a user's menu does its own, and what was done is seen on the page."""
    token = accounts.create_token(session, bea, name="hers")
    session.commit()

    assert client.post(f"/users/{bea.id}/role", data={"role": "runner"}).headers["location"] == "/users"
    session.refresh(bea)
    assert bea.role is Role.RUNNER
    assert client.post(f"/users/{bea.id}/end-logins").status_code == 303
    assert client.get("/api/v1/account", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert client.post(f"/users/{bea.id}/disable").status_code == 303
    assert client.get("/api/v1/account", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert "disabled" in client.get("/users").text
    assert client.post(f"/users/{bea.id}/enable").status_code == 303
    session.refresh(bea)
    assert bea.disabled_at is None


@pytest.mark.parametrize("way", ["role", "disable"])
def test_the_last_admin_stays(client: TestClient, session: Session, bea: User, way: str) -> None:
    """The page says why nothing was changed."""
    admin = accounts.first_admin(session)

    reply = client.post(f"/users/{admin.id}/{way}", data={"role": "viewer"})

    assert reply.status_code == 409
    assert "is the last admin who can log in" in reply.text
    assert accounts.first_admin(session).id == admin.id


def test_who_is_not_there_is_not_changed(client: TestClient) -> None:
    """An unknown user is a plain 404 for every button."""
    for way in ("role", "link", "disable", "enable", "end-logins"):
        assert client.post(f"/users/999/{way}", data={"role": "viewer"}).status_code == 404


def test_a_name_is_text(client: TestClient, session: Session) -> None:
    """Whatever somebody is called."""
    accounts.add_user(session, "<script>alert(1)</script>", role=Role.VIEWER)
    session.commit()

    assert "<script>alert" not in client.get("/users").text


def test_a_link_leads_where_others_reach_the_server(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is invited from the server's own machine is told that nobody else could come by this address."""

    def invitation(name: str) -> str:
        return client.post("/users", data={"name": name, "role": "viewer"}).text

    here = invitation("ada")
    monkeypatch.setenv("TEMPER_URL", "https://temper.example/")
    forget_settings()
    elsewhere = invitation("bea")

    assert "works on this machine alone" in here
    assert "https://temper.example/login/" in elsewhere
    assert "works on this machine alone" not in elsewhere
