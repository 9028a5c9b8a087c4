"""Users, tokens, the account and the audit log by API."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.domain import accounts
from app.domain.models import Role


def bearer(secret: str) -> dict[str, str]:
    """Return the header of another token."""
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def vera(api: TestClient, session: Session) -> dict[str, str]:
    """Add a viewer; return the header of her token."""
    secret = accounts.create_token(session, accounts.add_user(session, "vera", role=Role.VIEWER), name="hers")
    session.commit()
    return bearer(secret)


def test_a_user_s_life(api: TestClient) -> None:
    """Added with a link, given another role, disabled, enabled, and logged out everywhere."""
    added = api.post("/api/v1/users", json={"name": "ada", "role": "viewer"})
    where = added.headers["location"]

    role = api.put(f"{where}/role", json={"role": "runner"}).json()
    disabled = api.post(f"{where}/disable").json()
    enabled = api.post(f"{where}/enable").json()
    link = api.post(f"{where}/link")
    ended = api.delete(f"{where}/logins")

    assert (added.status_code, added.headers["cache-control"]) == (201, "no-store")
    assert added.json()["link"].startswith("http://127.0.0.1/login/")
    assert (role["role"], disabled["is_disabled"], enabled["is_disabled"]) == ("runner", True, False)
    assert (link.status_code, ended.status_code) == (201, 204)
    assert link.json()["link"] != added.json()["link"]
    assert [user["name"] for user in api.get("/api/v1/users").json()["users"]] == ["ada", "admin"]
    assert api.get(where).json()["has_password"] is False


def test_the_last_admin_stays(api: TestClient, session: Session) -> None:
    """A conflict, and nothing is changed."""
    where = f"/api/v1/users/{accounts.first_admin(session).id}"

    assert api.put(f"{where}/role", json={"role": "viewer"}).status_code == 409
    assert api.post(f"{where}/disable").status_code == 409
    assert api.get(where).json()["role"] == "admin"


def test_each_has_their_own_tokens(api: TestClient, vera: dict[str, str]) -> None:
    """Who is no admin sees and ends their own only; an admin everybody's."""
    made = api.post("/api/v1/tokens", headers=vera, json={"name": "second", "days": 3}).json()

    own = api.get("/api/v1/tokens", headers=vera).json()["tokens"]
    everybody_s = api.get("/api/v1/tokens").json()["tokens"]
    others = next(token["id"] for token in everybody_s if token["user"] == "admin")

    assert [token["name"] for token in own] == ["hers", "second"]
    assert len(everybody_s) == 3
    assert "token" not in own[0]
    assert api.get("/api/v1/account", headers=bearer(made["token"])).json()["name"] == "vera"
    assert api.delete(f"/api/v1/tokens/{others}", headers=vera).status_code == 404
    assert api.delete(f"/api/v1/tokens/{made['id']}", headers=vera).status_code == 204
    assert api.get("/api/v1/account", headers=bearer(made["token"])).status_code == 401


def test_a_narrow_token_makes_no_wider_one(api: TestClient) -> None:
    """Whoever finds it gains nothing by it."""
    narrow = api.post("/api/v1/tokens", json={"name": "narrow", "scope": "viewer"}).json()

    wider = api.post("/api/v1/tokens", headers=bearer(narrow["token"]), json={"name": "w", "scope": "admin"})
    same = api.post("/api/v1/tokens", headers=bearer(narrow["token"]), json={"name": "s"}).json()

    assert (narrow["role"], narrow["scope"]) == ("viewer", "viewer")
    assert (wider.status_code, "scope" in wider.json()["error"]["message"]) == (403, True)
    assert same["role"] == "viewer"
    assert api.get("/api/v1/users", headers=bearer(narrow["token"])).status_code == 403
    assert api.delete(f"/api/v1/tokens/{narrow['id']}").status_code == 204
    assert api.get("/api/v1/account", headers=bearer(same["token"])).status_code == 401


def test_a_narrow_token_ends_itself_alone(api: TestClient, client: TestClient) -> None:
    """Of an admin's other tokens and logins it sees and ends none; a token with the whole role does."""
    narrow = api.post("/api/v1/tokens", json={"name": "narrow", "scope": "viewer"}).json()
    held = bearer(narrow["token"])
    everybody_s = api.get("/api/v1/tokens").json()["tokens"]
    login = api.get("/api/v1/account").json()["logins"][0]["id"]
    other = next(each["id"] for each in everybody_s if each["id"] != narrow["id"])
    where = (f"tokens/{other}", "tokens/999", f"account/logins/{login}", "account/logins")
    asked = [f"/api/v1/{path}" for path in where]

    refused = [api.delete(path, headers=held) for path in asked]
    listed = api.get("/api/v1/tokens", headers=held).json()["tokens"]

    assert [each.status_code for each in refused] == [403] * 4
    assert "may end itself alone" in refused[0].json()["error"]["message"]
    assert [each["id"] for each in listed] == [narrow["id"]]
    assert client.get("/account").status_code == 200
    assert len(api.get("/api/v1/tokens").json()["tokens"]) == len(everybody_s) == 2
    assert api.delete(f"/api/v1/tokens/{narrow['id']}", headers=held).status_code == 204
    assert [api.delete(path).status_code for path in asked] == [204, 401, 401, 401]


@pytest.mark.parametrize(
    "asked",
    [("GET", "/users"), ("POST", "/users"), ("PUT", "/users/1/role"), ("POST", "/users/1/link"), ("GET", "/audit")],
)
def test_the_rest_takes_an_admin(api: TestClient, vera: dict[str, str], asked: tuple[str, str]) -> None:
    """A viewer manages nobody, and does not read the log."""
    method, path = asked

    assert api.request(method, f"/api/v1{path}", headers=vera, json={"role": "admin", "name": "x"}).status_code == 403


def test_the_log_is_read_page_by_page(api: TestClient) -> None:
    """Each page says where the next begins, and each filter narrows it."""
    for name in ("a", "b", "c"):
        api.post("/api/v1/tokens", json={"name": name})

    first = api.get("/api/v1/audit?action=token&limit=2").json()
    second = api.get(f"/api/v1/audit?action=token&limit=2&before={first['next_before']}").json()

    names = [entry["details"]["name"] for page in (first, second) for entry in page["entries"]]
    assert names == ["c", "b", "a"]
    assert second["next_before"] is None
    assert first["entries"][0]["action"] == "token.create"
    assert "temper_" not in str(first)
    assert api.get("/api/v1/audit?q=nothing+of+the+kind").json()["entries"] == []


@pytest.mark.parametrize("since", ["2020-01-01", "2020-01-01T00:00:00", "2020-01-01T00:00:00%2B08:00",
                                   "0001-01-01T00:00:00%2B14:00"])  # fmt: skip
def test_a_time_has_a_zone_or_is_in_utc(api: TestClient, since: str) -> None:
    """However it is written, at the edge of the calendar too."""
    api.post("/api/v1/tokens", json={"name": "a"})

    assert len(api.get(f"/api/v1/audit?since={since}").json()["entries"]) == 1
    assert api.get("/api/v1/audit?until=2020-01-01T00:00:00Z").json()["entries"] == []


def test_the_account_says_who_is_calling(client: TestClient, session: Session) -> None:
    """By a browser's login its own row is there; ending it takes a token."""
    account: dict[str, Any] = client.get("/api/v1/account").json()
    token = accounts.create_token(session, accounts.first_admin(session), name="t")
    session.commit()

    assert (account["name"], account["means"], len(account["logins"])) == ("admin", "session", 1)
    where = f"/api/v1/account/logins/{account['logins'][0]['id']}"
    assert client.delete(where).status_code == 401
    assert client.delete(where, headers=bearer(token)).status_code == 204
    assert client.delete("/api/v1/account/logins", headers=bearer(token)).status_code == 204
    assert client.get("/api/v1/account").status_code == 401
