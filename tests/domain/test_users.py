"""Users and their own ways in: what an admin changes counts at once, and one admin always stays."""

from datetime import timedelta

import pytest
from sqlmodel import Session

from app.domain import accounts, logins, users
from app.domain.accounts import Caller, CredentialKind
from app.domain.errors import ConflictError, InvalidError, NotFoundError
from app.domain.models import Credential, Role, User
from app.domain.users import user_id_of
from tests.databases import two_at_once

HOUR = timedelta(hours=1)
PASSWORD = "correct horse battery"


@pytest.fixture
def ada(session: Session) -> User:
    """Add a second admin beside the first."""
    accounts.first_admin(session)
    return accounts.add_user(session, "ada", role=Role.ADMIN)


def ways_in(session: Session, user: User) -> tuple[str, str, str]:
    """Give a user a login, a token and a link."""
    made = (
        accounts.log_in(session, user, lifetime=HOUR),
        accounts.create_token(session, user, name="t"),
        accounts.make_login_link(session, user, lifetime=HOUR),
    )
    session.flush()
    return made


def caller_of(session: Session, user: User) -> Caller:
    """Return a user who has just logged in."""
    secret = accounts.log_in(session, user, lifetime=HOUR)
    session.flush()
    caller = accounts.find_caller(session, CredentialKind.SESSION, secret)
    assert caller is not None
    return caller


def test_disabling_ends_every_way_in_at_once(session: Session, ada: User) -> None:
    """Login, token, link and password, the same moment; enabling brings none of them back but the password."""
    accounts.set_password(session, ada, PASSWORD)
    login, token, link = ways_in(session, ada)

    users.disable_user(session, user_id_of(ada))
    session.flush()

    def comes_in() -> list[bool]:
        return [
            accounts.find_caller(session, CredentialKind.SESSION, login) is not None,
            accounts.find_caller(session, CredentialKind.TOKEN, token) is not None,
            accounts.is_link_usable(session, link),
            accounts.use_login_link(session, link) is not None,
            accounts.check_password(session, "ada", PASSWORD) is not None,
        ]

    assert comes_in() == [False] * 5
    users.enable_user(session, user_id_of(ada))
    session.flush()
    assert comes_in() == [False, False, False, False, True]


def test_a_link_that_is_made_for_a_disabled_user_lets_nobody_in(session: Session, ada: User) -> None:
    """The account is looked at when the link is used, not when it was made."""
    users.disable_user(session, user_id_of(ada))
    code = accounts.make_login_link(session, ada, lifetime=HOUR)
    session.flush()

    assert not accounts.is_link_usable(session, code)
    assert accounts.use_login_link(session, code) is None


def test_the_last_admin_stays(session: Session, ada: User) -> None:
    """Who is the last that can log in as an admin is neither lowered nor disabled."""
    first = user_id_of(accounts.first_admin(session))
    users.disable_user(session, first)

    with pytest.raises(ConflictError):
        users.change_role(session, user_id_of(ada), Role.RUNNER)
    with pytest.raises(ConflictError):
        users.disable_user(session, user_id_of(ada))

    assert accounts.first_admin(session).name == "ada"
    assert users.change_role(session, first, Role.VIEWER).role is Role.VIEWER


def test_ending_logins_leaves_the_tokens(session: Session, ada: User) -> None:
    """Browsers and links are out; scripts go on."""
    login, token, link = ways_in(session, ada)

    assert users.end_logins_of(session, user_id_of(ada)) == 2

    assert accounts.find_caller(session, CredentialKind.SESSION, login) is None
    assert not accounts.is_link_usable(session, link)
    assert accounts.find_caller(session, CredentialKind.TOKEN, token) is not None


def test_the_list_says_what_lets_each_in(session: Session, ada: User) -> None:
    """By name, with what is good now: neither what ended nor what is somebody else's."""
    ways_in(session, ada)
    accounts.log_in(session, ada, lifetime=-HOUR)
    accounts.add_user(session, "Bea", role=Role.VIEWER)
    session.flush()

    found = users.list_users(session)

    assert [(each.user.name, each.logins, each.tokens) for each in found] == [
        ("ada", 1, 1), ("admin", 0, 0), ("Bea", 0, 0)]  # fmt: skip
    assert users.facts_of(session, user_id_of(ada)).seen_at == found[0].seen_at is not None
    with pytest.raises(NotFoundError):
        users.get_user(session, 999)


@pytest.mark.parametrize("name", ["", " ", " ada", "ada ", "x" * 101, "a\nb", "a\x00b"])
def test_a_user_has_a_name_that_can_be_shown(session: Session, name: str) -> None:
    """Whatever else is refused at its field."""
    with pytest.raises(InvalidError) as refused:
        accounts.add_user(session, name, role=Role.VIEWER)

    assert refused.value.fields[0].field == "name"


def test_a_password_is_changed_with_the_old_one(session: Session, ada: User) -> None:
    """The first needs none; the next needs the one before, and ends every other login."""
    caller, other = caller_of(session, ada), caller_of(session, ada)

    logins.put_password(session, caller, logins.check_new_password(session, caller, old="", new=PASSWORD))
    with pytest.raises(InvalidError) as refused:
        logins.check_new_password(session, caller, old="not it at all", new="another horse battery")
    session.flush()

    assert refused.value.fields[0].field == "old"
    assert accounts.check_password(session, "ada", PASSWORD) is not None
    assert accounts.is_still_good(session, caller.credential_id)
    assert not accounts.is_still_good(session, other.credential_id)


def test_one_ends_one_s_own_logins_only(session: Session, ada: User) -> None:
    """One of them, or all others; somebody else's is not there."""
    here, there = caller_of(session, ada), caller_of(session, ada)
    stranger = caller_of(session, accounts.first_admin(session))

    with pytest.raises(NotFoundError):
        logins.end_login(session, here, stranger.credential_id)
    logins.end_login(session, here, there.credential_id)
    caller_of(session, ada)

    assert logins.end_other_logins(session, here) == 1
    assert [each.id for each in logins.list_logins(session, here.user_id)] == [here.credential_id]
    assert accounts.is_still_good(session, stranger.credential_id)


def test_when_a_user_was_seen_outlasts_what_let_them_in(session: Session, ada: User) -> None:
    """A login that has ended since was one; a link that nobody has opened, and a token that nobody uses, are not."""
    accounts.make_login_link(session, ada, lifetime=HOUR)
    accounts.create_token(session, ada, name="t")
    session.flush()
    assert users.facts_of(session, user_id_of(ada)).seen_at is None

    caller = caller_of(session, ada)
    users.disable_user(session, user_id_of(ada))
    session.flush()

    came = session.get_one(Credential, caller.credential_id).created_at
    assert users.facts_of(session, user_id_of(ada)).seen_at == came
    assert {facts.user.name: facts.seen_at for facts in users.list_users(session)} == {"admin": None, "ada": came}


@pytest.mark.parametrize(("name", "other"), [("Ada", "aDA"), ("Ödön", "öDÖN")])
def test_capitals_do_not_count_in_a_name(session: Session, name: str, other: str) -> None:
    """Whoever types them differently is the same user, and nobody else can take such a name."""
    user = accounts.add_user(session, name, role=Role.VIEWER)
    accounts.set_password(session, user, PASSWORD)
    session.flush()

    assert accounts.find_user(session, other).id == user.id
    assert accounts.check_password(session, other, PASSWORD) is not None
    with pytest.raises(InvalidError, match="name"):
        accounts.add_user(session, other, role=Role.ADMIN)


def test_two_whose_names_differ_in_capitals_stay_two(session: Session) -> None:
    """Older versions let them be: each is found by the name as it is written, and by no other."""
    session.add_all([User(name="ada", role=Role.ADMIN), User(name="Ada", role=Role.VIEWER)])
    session.flush()

    assert accounts.find_user(session, "ada").role is Role.ADMIN
    assert accounts.find_user(session, "Ada").role is Role.VIEWER
    with pytest.raises(NotFoundError):
        accounts.find_user(session, "ADA")


@pytest.mark.parametrize("name", ["ada", "Ada"])
def test_a_name_is_given_once_to_two_who_ask_at_once(session: Session, name: str) -> None:
    """Who comes while the first one's transaction is open is told that it is taken."""
    _, refused = two_at_once(
        lambda work: accounts.add_user(work, "ada", role=Role.VIEWER).name,
        lambda work: accounts.add_user(work, name, role=Role.ADMIN).name,
    )

    assert isinstance(refused, InvalidError)
    assert accounts.find_user(session, "ADA").role is Role.VIEWER
