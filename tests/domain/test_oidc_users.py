"""Whom an OpenID provider's word makes somebody here: never somebody else's user, however names look alike."""

import json
from collections.abc import Mapping

import pytest
from sqlmodel import Session, select

from app.domain import accounts
from app.domain.errors import ForbiddenError
from app.domain.models import Role, User
from app.domain.oidc import Identity
from app.domain.oidc_users import user_of
from tests.conftest import forget_settings
from tests.databases import two_at_once

KELVIN = "\u212a"  # a sign that Unicode folds into k


@pytest.fixture(autouse=True)
def by_groups(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a provider whose groups say roles."""
    monkeypatch.setenv("TEMPER_OIDC_ISSUER", "https://id.example.org")
    monkeypatch.setenv("TEMPER_OIDC_CLIENT_ID", "temper")
    monkeypatch.setenv("TEMPER_OIDC_CLIENT_SECRET", "secret")
    monkeypatch.setenv("TEMPER_OIDC_ROLE_CLAIM", "groups")
    monkeypatch.setenv("TEMPER_OIDC_ROLES", json.dumps({"lab": "runner"}))
    forget_settings()


def person(email: str, *, subject: str = "7", group: str = "") -> Identity:
    """Return somebody whose address the provider vouches for."""
    claims: Mapping[str, object] = {"email": email, "email_verified": True, "groups": group}
    return Identity(f"https://id.example.org {subject}", claims)


def subjects(session: Session) -> dict[str, str | None]:
    """Return whom each user is bound to, by name."""
    session.expire_all()
    return {user.name: user.subject for user in session.exec(select(User))}


def test_an_address_in_other_capitals_is_the_same(session: Session) -> None:
    """Mail knows no capitals."""
    added = accounts.add_user(session, "Mike@Example.org", role=Role.VIEWER)

    assert user_of(session, person("mike@example.ORG")).id == added.id


@pytest.mark.parametrize(
    ("added", "vouched"), [("mike@x.org", f"mi{KELVIN}e@x.org"), (f"mi{KELVIN}e@x.org", "mike@x.org")]
)
def test_a_sign_that_folds_into_a_letter_is_another(session: Session, added: str, vouched: str) -> None:
    """Neither is taken for the other, whichever was here first."""
    accounts.add_user(session, added, role=Role.ADMIN)

    with pytest.raises(ForbiddenError):
        user_of(session, person(vouched))

    assert subjects(session) == {added: None}


def test_beyond_ascii_a_name_is_what_it_is(session: Session) -> None:
    """Letter by letter it is the user's."""
    added = accounts.add_user(session, "jörg@x.org", role=Role.VIEWER)

    assert user_of(session, person("jörg@x.org")).id == added.id


def test_two_whom_a_name_fits_are_nobody(session: Session) -> None:
    """Nobody guesses which of them is meant, and no third one is made."""
    names = {"Ada@x.org", "ada@x.org"}
    session.add_all([User(name=name, role=Role.VIEWER) for name in names])  # as older versions let an admin do
    session.flush()

    for email in ("ada@x.org", "ADA@x.org"):
        with pytest.raises(ForbiddenError):
            user_of(session, person(email, group="lab"))

    assert subjects(session) == dict.fromkeys(names)


def test_who_has_another_one_s_name_but_for_capitals_is_nobody(session: Session) -> None:
    """Two at the provider may be; here they would be taken for each other."""
    added = accounts.add_user(session, "Åsa@x.org", role=Role.VIEWER)

    with pytest.raises(ForbiddenError, match="another user's name here"):
        user_of(session, person("åsa@x.org", group="lab"))

    assert added.subject is None


@pytest.mark.parametrize("email", ["a\x00b@x.org", "a\u202eb@x.org", "a\ud800@x.org"])
def test_a_name_that_cannot_be_shown_is_nobody_s(session: Session, email: str) -> None:
    """Whatever the person's groups."""
    with pytest.raises(ForbiddenError):
        user_of(session, person(email, group="lab"))

    assert subjects(session) == {}


# ── Two at once ────────────────────────────────────────────────────────────


def met(identity: Identity, other: Identity) -> list[int | str | None]:
    """Log two in, the second while the first one's transaction is open; return whom each is, or why not."""
    first, second = two_at_once(lambda work: user_of(work, identity).id, lambda work: user_of(work, other).id)
    return [first, type(second).__name__ if isinstance(second, Exception) else second]


def test_a_first_login_that_comes_twice_at_once_makes_one_user(session: Session) -> None:
    """A click on two tabs: both are let in."""
    first, second = met(person("ada@x.org", group="lab"), person("ada@x.org", group="lab"))

    assert first == second
    assert len(subjects(session)) == 1


def test_who_was_added_comes_in_twice_at_once(session: Session) -> None:
    """The second finds the user bound to the same person."""
    added = accounts.add_user(session, "ada@x.org", role=Role.VIEWER)

    assert met(person("ada@x.org"), person("ada@x.org")) == [added.id, added.id]


@pytest.mark.parametrize("group", ["", "lab"])
def test_of_two_persons_at_once_one_gets_a_name(session: Session, group: str) -> None:
    """The first one stays who it is."""
    added = accounts.add_user(session, "ada@x.org", role=Role.RUNNER)

    found = met(person("ada@x.org", group=group), person("ada@x.org", subject="8", group=group))

    assert found == [added.id, "ForbiddenError"]
    assert subjects(session) == {"ada@x.org": "https://id.example.org 7"}
