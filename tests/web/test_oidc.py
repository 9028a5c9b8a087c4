"""Logging in by an OpenID provider: the whole way there and back, and everything that is not believed."""

import json
import time
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import RSAKey
from pydantic import ValidationError
from sqlmodel import Session, select

from app.config import Settings
from app.domain import accounts, oidc
from app.domain.audit_models import AuditEntry
from app.domain.models import Credential, Role, User
from app.domain.users import disable_user, user_id_of
from tests.conftest import COOKIE, forget_settings
from tests.oidc_provider import CLIENT_ID, CLIENT_SECRET, FakeProvider, serving


@pytest.fixture(scope="module")
def served() -> Iterator[FakeProvider]:
    """Serve one provider for all tests of this file: its key takes a while to make."""
    with serving() as provider:
        yield provider


@pytest.fixture
def provider(served: FakeProvider, anonymous: TestClient, monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    """Give the test a provider that the settings name, and that says nothing but the truth."""
    fresh = FakeProvider(url=served.url, key=served.key)
    vars(served).update(vars(fresh))
    monkeypatch.setenv("TEMPER_OIDC_ISSUER", served.url)
    monkeypatch.setenv("TEMPER_OIDC_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("TEMPER_OIDC_CLIENT_SECRET", CLIENT_SECRET)
    forget_settings()
    oidc.provider.cache_clear()
    return served


def begin(client: TestClient, next_page: str = "") -> str:
    """Go to the provider; return the address that a browser is sent to."""
    reply = client.get("/login/oidc", params={"next": next_page} if next_page else {})
    assert reply.status_code == 303, reply.text
    return reply.headers["location"]


def log_in(client: TestClient, provider: FakeProvider, next_page: str = "") -> Any:
    """Go to the provider, say yes there, and come back."""
    return client.get(provider.log_in(begin(client, next_page)))


def add_ada(session: Session, role: Role = Role.RUNNER) -> User:
    """Add a user whom the provider knows."""
    user = accounts.add_user(session, "ada@example.org", role=role)
    session.commit()
    return user


def is_in(client: TestClient) -> bool:
    """Whether somebody is logged in."""
    return client.get("/api/v1/runs").status_code == 200


def test_who_was_added_comes_in(anonymous: TestClient, provider: FakeProvider, session: Session) -> None:
    """The whole way: out with a challenge, back with a code, in with a new session, on to where one wanted to go."""
    add_ada(session)
    login_page = anonymous.get("/login?next=/models").text

    reply = log_in(anonymous, provider, "/models")

    assert "Log in with 127.0.0.1" in login_page
    assert "/login/oidc?next=/models" in login_page
    assert (reply.status_code, reply.headers["location"]) == (303, "/models")
    assert anonymous.get("/api/v1/account").json()["logins"][0]["how"] == "oidc"
    entry = session.exec(select(AuditEntry)).one()
    assert (entry.action, entry.user_name, entry.means, entry.outcome) == (
        "login.oidc", "ada@example.org", "oidc", "done")  # fmt: skip


def test_the_provider_is_asked_as_it_must_be(anonymous: TestClient, provider: FakeProvider) -> None:
    """A code, a challenge by SHA-256, fresh state and nonce, and our own address to come back to."""
    first, second = (parse_qs(urlsplit(begin(anonymous)).query) for _ in range(2))

    assert first["response_type"] == ["code"]
    assert first["code_challenge_method"] == ["S256"]
    assert first["redirect_uri"] == ["http://127.0.0.1/login/oidc/callback"]
    assert first["scope"] == ["openid profile email"]
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name]
        assert len(first[name][0]) >= 32


def test_behind_tls_one_comes_back_by_tls(
    anonymous: TestClient, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address and the cookie are those of a site that is reached by TLS."""
    monkeypatch.setenv("TEMPER_SECURE_COOKIES", "true")
    forget_settings()

    reply = anonymous.get("/login/oidc")

    assert "redirect_uri=https%3A%2F%2F127.0.0.1%2Flogin" in reply.headers["location"]
    cookie = SimpleCookie(reply.headers["set-cookie"])["__Host-temper_oidc"]
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "lax")


def test_the_first_login_binds_the_person(anonymous: TestClient, provider: FakeProvider, session: Session) -> None:
    """From then on the provider's id counts: a new address of theirs is the same user, their old one nobody."""
    add_ada(session)
    log_in(anonymous, provider)
    provider.claims["email"] = "ada.lovelace@example.org"
    assert log_in(anonymous, provider).status_code == 303

    provider.claims |= {"email": "ada@example.org", "sub": "8"}
    refused = log_in(anonymous, provider)

    assert refused.status_code == 403
    session.expire_all()
    assert session.exec(select(User).where(User.name == "ada@example.org")).one().subject == f"{provider.url} 7"


UNBELIEVABLE: tuple[tuple[dict[str, Any], int], ...] = (
    ({"email": "eve@example.org"}, 403),
    ({"email_verified": False}, 403),
    ({"email_verified": None}, 403),
    ({"email": None}, 403),
    ({"email": ["ada@example.org"]}, 403),
    ({"nonce": "another"}, 502),
    ({"nonce": None}, 502),
    ({"aud": "somebody else"}, 502),
    ({"aud": None}, 502),
    ({"aud": ["somebody else", CLIENT_ID], "azp": "somebody else"}, 502),
    ({"iss": "https://evil.example"}, 502),
    ({"iss": None}, 502),
    ({"exp": int(time.time()) - 3_600}, 502),
    ({"exp": None}, 502),
    ({"iat": int(time.time()) + 3_600}, 502),
    ({"sub": None}, 502),
    ({"sub": ""}, 502),
    ({"sub": 7}, 502),
    ({"sub": "7\x00"}, 502),
    ({"sub": "7" * 256}, 502),
    ({"sub": "7\u202e"}, 502),
)


def test_what_the_token_says_is_checked(anonymous: TestClient, provider: FakeProvider, session: Session) -> None:
    """Another nonce, audience, issuer or time, or a person whom nobody knows, and no login begins."""
    add_ada(session)

    for claims, status in UNBELIEVABLE:
        provider.claims = {"email_verified": True} | claims
        reply = log_in(anonymous, provider)
        assert (reply.status_code, "You are not logged in" in reply.text) == (status, True), claims
        assert not is_in(anonymous)

    assert session.exec(select(Credential)).all() == []
    outcomes = [entry.outcome for entry in session.exec(select(AuditEntry))]
    assert len(outcomes) == len(UNBELIEVABLE)
    assert set(outcomes) == {"refused", "failed"}


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_is_signed_by_the_provider_s_own_key(
    anonymous: TestClient, provider: FakeProvider, session: Session, algorithm: str
) -> None:
    """Unsigned, or signed with what others know too: not believed, though the metadata allows it."""
    add_ada(session)
    provider.algorithm = algorithm
    provider.metadata["id_token_signing_alg_values_supported"] = [algorithm, "RS256"]

    assert log_in(anonymous, provider).status_code == 502
    assert not is_in(anonymous)


def test_a_key_that_is_not_the_provider_s_signs_nothing(
    anonymous: TestClient, provider: FakeProvider, session: Session
) -> None:
    """The same name of a key is not enough; a new key of the provider's is fetched."""
    add_ada(session)
    log_in(anonymous, provider)
    own = provider.key

    provider.key = RSAKey.generate_key(2048, {"kid": "one"})
    forged = log_in(anonymous, provider)
    provider.key = RSAKey.import_key({**own.as_dict(private=True), "kid": "two"})
    renewed = log_in(anonymous, provider)

    assert (forged.status_code, renewed.status_code) == (502, 303)
    provider.key = own


@pytest.mark.parametrize(
    "spoil",
    [
        lambda back: back.replace("state=", "state=x"),
        lambda back: back.partition("&state=")[0],
        lambda back: back + "&state=" + "y" * 32,
    ],
    ids=["another", "none", "twice"],
)
def test_a_login_that_was_not_begun_here_goes_no_further(
    anonymous: TestClient, provider: FakeProvider, session: Session, spoil: Callable[[str], str]
) -> None:
    """Another state than the cookie's, or none, is refused before the provider is asked."""
    add_ada(session)
    back = provider.log_in(begin(anonymous))

    reply = anonymous.get(spoil(back))

    assert reply.status_code == 400
    assert not is_in(anonymous)
    assert provider.asked  # the code was not given back


def test_a_login_comes_back_once_and_to_its_own_browser(
    anonymous: TestClient, provider: FakeProvider, session: Session
) -> None:
    """Neither a second time nor in a browser without the cookie, nor with one that is not ours or too old."""
    add_ada(session)
    back = provider.log_in(begin(anonymous))
    cookie = anonymous.cookies["temper_oidc"]

    anonymous.cookies.clear()
    assert anonymous.get(back).status_code == 400
    header, payload, signature = cookie.split(".")
    for forged in (f"{header}.{payload}.", f"{header}.{payload[:-2]}AA.{signature}", "x.y.z", "", cookie[:-4] + "AAAA"):
        assert anonymous.get(back, headers={"Cookie": f"temper_oidc={forged}"}).status_code == 400
    assert anonymous.get(back, headers={"Cookie": f"temper_oidc={cookie}"}).status_code == 303
    assert anonymous.get(back, headers={"Cookie": f"temper_oidc={cookie}"}).status_code == 502


def test_an_attempt_grows_too_old(
    anonymous: TestClient, provider: FakeProvider, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes back after more than ten minutes begins anew."""
    add_ada(session)
    monkeypatch.setattr(oidc, "ATTEMPT_SECONDS", -60)
    address = begin(anonymous)
    cookie = provider.log_in(address)

    assert anonymous.get(cookie).status_code == 400


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"])
def test_one_goes_on_to_this_server_only(
    anonymous: TestClient, provider: FakeProvider, session: Session, wanted: str
) -> None:
    """Whatever was wanted, one ends up here."""
    add_ada(session)

    assert log_in(anonymous, provider, wanted).headers["location"] == "/runs"


def test_an_address_that_is_too_long_to_carry_keeps_nobody_out(
    anonymous: TestClient, provider: FakeProvider, session: Session
) -> None:
    """One goes on to the start page."""
    add_ada(session)

    assert log_in(anonymous, provider, "/compare?runs=" + "1," * 2_000).headers["location"] == "/runs"


@pytest.mark.parametrize("broken", ["metadata", "token"])
def test_a_provider_that_fails_is_told_in_a_page(
    anonymous: TestClient, provider: FakeProvider, session: Session, broken: str
) -> None:
    """Other ways in stay open, nothing of the inside is shown, and no redirect of the provider's is followed."""
    add_ada(session)
    provider.broken = {broken}

    reply = anonymous.get("/login/oidc")
    if broken == "token":
        reply = anonymous.get(provider.log_in(reply.headers["location"]))

    assert reply.status_code == 502
    assert "The provider does not answer" in reply.text
    assert 'href="/login"' in reply.text
    assert provider.url not in reply.text


@pytest.mark.parametrize(
    "metadata",
    [{"issuer": "https://evil.example"}, {"token_endpoint": "http://evil.example/token"}, {"jwks_uri": None}],
    ids=str,
)
def test_a_provider_that_says_it_is_another_is_not_asked(
    anonymous: TestClient, provider: FakeProvider, metadata: dict[str, Any]
) -> None:
    """Its metadata name itself, and endpoints that are reached by TLS or are on this machine."""
    provider.metadata |= metadata

    assert anonymous.get("/login/oidc").status_code == 502


def test_turning_back_at_the_provider_is_no_login(anonymous: TestClient, provider: FakeProvider) -> None:
    """What the provider says of it is not repeated: the address is anybody's to write."""
    state = parse_qs(urlsplit(begin(anonymous)).query)["state"][0]

    reply = anonymous.get(f"/login/oidc/callback?error=access_denied&error_description=CALL+US&state={state}")

    assert reply.status_code == 403
    assert "CALL US" not in reply.text


def test_a_disabled_user_does_not_come_in(anonymous: TestClient, provider: FakeProvider, session: Session) -> None:
    """Whatever the provider says."""
    user = add_ada(session)
    log_in(anonymous, provider)
    accounts.first_admin(session)
    disable_user(session, user_id_of(user))
    session.commit()

    assert log_in(anonymous, provider).status_code == 403
    assert not is_in(anonymous)


# ── Roles by a claim ───────────────────────────────────────────────────────


@pytest.fixture
def by_groups(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    """Let groups say roles."""
    monkeypatch.setenv("TEMPER_OIDC_ROLE_CLAIM", "groups")
    monkeypatch.setenv("TEMPER_OIDC_ROLES", json.dumps({"lab": "runner", "heads": "admin", "guests": "viewer"}))
    forget_settings()
    return provider


def role_of_ada(session: Session) -> Role | None:
    """Return the role that the provider's person has now; None where there is no such user."""
    session.expire_all()
    user = session.exec(select(User).where(User.name == "ada@example.org")).first()
    return user.role if user is not None else None


def test_a_claim_makes_a_user_and_keeps_its_role(
    anonymous: TestClient, by_groups: FakeProvider, session: Session
) -> None:
    """The highest role counts at every login; who has none any more is out, and is let in by no older claim."""
    by_groups.claims["groups"] = ["guests", "lab", "others"]
    assert log_in(anonymous, by_groups).status_code == 303
    assert role_of_ada(session) is Role.RUNNER

    by_groups.claims["groups"] = "guests"
    assert log_in(anonymous, by_groups).status_code == 303
    assert role_of_ada(session) is Role.VIEWER

    by_groups.claims["groups"] = ["others"]
    assert log_in(anonymous, by_groups).status_code == 403


def test_what_is_no_known_value_makes_nobody(anonymous: TestClient, by_groups: FakeProvider, session: Session) -> None:
    """Nobody gets in by a claim that the settings do not name, value by value."""
    for groups in (None, [], ["others"], "LAB", {"lab": True}, [["lab"]], 7):
        by_groups.claims["groups"] = groups
        assert log_in(anonymous, by_groups).status_code == 403, groups

    assert role_of_ada(session) is None


def test_who_was_added_needs_no_claim(anonymous: TestClient, by_groups: FakeProvider, session: Session) -> None:
    """An admin's word is enough, and the role stays as it was given."""
    add_ada(session, Role.VIEWER)

    assert log_in(anonymous, by_groups).status_code == 303
    assert role_of_ada(session) is Role.VIEWER


def test_the_last_admin_stays_one(anonymous: TestClient, by_groups: FakeProvider, session: Session) -> None:
    """A claim does not lock everybody out."""
    add_ada(session, Role.ADMIN)
    by_groups.claims["groups"] = ["guests"]

    assert log_in(anonymous, by_groups).status_code == 303
    assert role_of_ada(session) is Role.ADMIN


def test_what_only_the_user_info_says_is_asked_for(
    anonymous: TestClient, by_groups: FakeProvider, session: Session
) -> None:
    """Groups that are not in the token are read there, of the same person only; what is signed wins."""
    by_groups.user_info = {"sub": "8", "groups": ["lab"], "email": "eve@example.org"}
    of_another = log_in(anonymous, by_groups)
    by_groups.user_info["sub"] = "7"
    oidc.provider.cache_clear()

    assert of_another.status_code == 502
    assert log_in(anonymous, by_groups).status_code == 303
    assert role_of_ada(session) is Role.RUNNER


# ── Settings ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "changes",
    [
        {"oidc_client_id": ""},
        {"oidc_client_secret": None},
        {"oidc_client_secret": ""},
        {"oidc_issuer": "http://id.example.org"},
        {"oidc_issuer": "id.example.org"},
        {"oidc_scopes": "profile"},
        {"oidc_roles": {"lab": "emperor"}},
    ],
    ids=str,
)
def test_half_a_provider_is_refused_at_the_start(home: object, changes: dict[str, Any]) -> None:
    """What cannot work, or not safely, is named before anything is served."""
    whole = {"oidc_issuer": "https://id.example.org", "oidc_client_id": "x", "oidc_client_secret": "y"}
    assert Settings(**whole).oidc_issuer  # type: ignore[arg-type]

    with pytest.raises(ValidationError, match=r"OIDC|oidc_roles"):
        Settings(**(whole | changes))


def test_without_a_provider_there_is_no_such_way(anonymous: TestClient) -> None:
    """The addresses lead to the login page."""
    for path in ("/login/oidc", "/login/oidc/callback?code=x&state=y"):
        reply = anonymous.get(path)
        assert (reply.status_code, reply.headers["location"]) == (303, "/login")
    assert "/login/oidc" not in anonymous.get("/login").text


def test_a_login_by_the_provider_ends_the_one_before(
    anonymous: TestClient, provider: FakeProvider, session: Session
) -> None:
    """The browser has one login, with a new secret."""
    add_ada(session)
    log_in(anonymous, provider)
    before = anonymous.cookies[COOKIE]

    log_in(anonymous, provider)

    assert anonymous.cookies[COOKIE] != before
    anonymous.cookies.clear()
    anonymous.cookies.set(COOKIE, before)
    assert not is_in(anonymous)
