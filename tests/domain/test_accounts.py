"""Users and the secrets that let them in."""

from datetime import timedelta

import pytest
from sqlmodel import Session, select

from app.domain import accounts, db, tokens
from app.domain.accounts import CredentialKind
from app.domain.errors import InvalidError, NotFoundError, TooManyError
from app.domain.login_tries import FORGET_SECONDS, MOST_COUNTS, TRIES, WINDOW_SECONDS, LoginTries
from app.domain.models import Credential, Role

HOUR = timedelta(hours=1)
PAST = timedelta(seconds=-1)

PASSWORD = "correct horse battery"


def test_there_is_one_first_admin(session: Session) -> None:
    """Asking twice for the first admin makes one user."""
    assert accounts.first_admin(session).id == accounts.first_admin(session).id


@pytest.mark.parametrize("name", ["a\x00b", "\x00", "a\u202eb"])
def test_a_name_that_cannot_be_shown_is_nobody_s(session: Session, name: str) -> None:
    """A stranger types it: no database is asked for it."""
    accounts.set_password(session, accounts.first_admin(session), PASSWORD)
    session.flush()

    with pytest.raises(NotFoundError):
        accounts.find_user(session, name)
    assert accounts.check_password(session, name, PASSWORD) is None


def test_a_name_is_given_once(session: Session) -> None:
    """The second is told so, and the unit of work goes on."""
    with db.unit_of_work() as work:
        accounts.add_user(work, "ada", role=Role.VIEWER)
        with pytest.raises(InvalidError, match="name"):
            accounts.add_user(work, "ada", role=Role.ADMIN)
        accounts.add_user(work, "bea", role=Role.VIEWER)

    assert accounts.find_user(session, "ada").role is Role.VIEWER
    assert accounts.find_user(session, "bea").role is Role.VIEWER


def test_a_link_lets_in_once(session: Session) -> None:
    """A one-time link can be looked at any number of times and used once."""
    admin = accounts.first_admin(session)
    code = accounts.make_login_link(session, admin, lifetime=HOUR)
    session.flush()

    assert accounts.is_link_usable(session, code)
    assert accounts.is_link_usable(session, code)
    user = accounts.use_login_link(session, code)
    assert user is not None
    assert user.id == admin.id
    assert accounts.use_login_link(session, code) is None
    assert not accounts.is_link_usable(session, code)


def test_a_link_grows_too_old(session: Session) -> None:
    """A link past its time lets nobody in."""
    code = accounts.make_login_link(session, accounts.first_admin(session), lifetime=PAST)
    session.flush()

    assert accounts.use_login_link(session, code) is None


@pytest.mark.parametrize("kind", [CredentialKind.LINK, CredentialKind.SESSION])
def test_a_secret_is_good_for_its_kind_only(session: Session, kind: CredentialKind) -> None:
    """A token is no session and no link, whatever the cookie or the address says."""
    token = accounts.create_token(session, accounts.first_admin(session), name="script")
    session.flush()

    assert accounts.find_caller(session, kind, token) is None
    assert accounts.use_login_link(session, token) is None


def test_no_secret_is_stored(session: Session) -> None:
    """What the database holds does not let anybody in."""
    token = accounts.create_token(session, accounts.first_admin(session), name="script")
    session.flush()

    stored = session.exec(select(Credential)).one()
    assert token.removeprefix(accounts.TOKEN_PREFIX) not in str(stored.model_dump())
    assert accounts.find_caller(session, CredentialKind.TOKEN, stored.secret_sha256) is None


def test_a_revoked_token_is_gone(session: Session) -> None:
    """A revoked token is neither good nor listed, and cannot be revoked again."""
    token = accounts.create_token(session, accounts.first_admin(session), name="script")
    session.flush()
    ((listed, owner),) = tokens.list_tokens(session)

    tokens.revoke_token(session, listed.id or 0)

    assert owner.role is Role.ADMIN
    assert accounts.find_caller(session, CredentialKind.TOKEN, token) is None
    assert tokens.list_tokens(session) == []
    with pytest.raises(NotFoundError):
        tokens.revoke_token(session, listed.id or 0)


def test_a_login_ends_with_log_out_and_with_time(session: Session) -> None:
    """A session is good until it is ended or grows old, and a renewal gives it new time."""
    admin = accounts.first_admin(session)
    old = accounts.log_in(session, admin, lifetime=PAST)
    new = accounts.log_in(session, admin, lifetime=HOUR)
    session.flush()

    assert accounts.find_caller(session, CredentialKind.SESSION, old) is None
    caller = accounts.find_caller(session, CredentialKind.SESSION, new)
    assert caller is not None
    accounts.log_out(session, caller)
    assert accounts.find_caller(session, CredentialKind.SESSION, new) is None


def test_a_login_is_renewed_seldom(session: Session) -> None:
    """A login that was just made is not written to again; one that is an hour old is."""
    secret = accounts.log_in(session, accounts.first_admin(session), lifetime=HOUR)
    session.flush()
    row = session.exec(select(Credential)).one()

    assert not accounts.is_renewal_due(session, row.id or 0)
    row.created_at -= 2 * accounts.RENEW_AFTER
    session.add(row)
    session.flush()
    assert accounts.is_renewal_due(session, row.id or 0)
    accounts.renew_login(session, row.id or 0, lifetime=HOUR)
    session.refresh(row)
    assert not accounts.is_renewal_due(session, row.id or 0)
    assert accounts.find_caller(session, CredentialKind.SESSION, secret) is not None


def test_a_token_is_noted_at_its_first_use(session: Session) -> None:
    """However young it is; then as seldom as a login."""
    token = accounts.create_token(session, accounts.first_admin(session), name="script")
    session.flush()
    caller = accounts.find_caller(session, CredentialKind.TOKEN, token)
    assert caller is not None

    assert accounts.is_renewal_due(session, caller.credential_id)
    accounts.note_use(session, caller.credential_id)
    session.expire_all()
    assert not accounts.is_renewal_due(session, caller.credential_id)


def test_a_role_includes_those_before_it(session: Session) -> None:
    """A runner may read and run, and not what an admin may."""
    runner = accounts.add_user(session, "rita", role=Role.RUNNER)
    token = accounts.create_token(session, runner, name="script")
    session.flush()

    caller = accounts.find_caller(session, CredentialKind.TOKEN, token)
    assert caller is not None
    assert [caller.may(role) for role in (Role.VIEWER, Role.RUNNER, Role.ADMIN)] == [True, True, False]


def test_a_password_lets_in_and_ends_earlier_logins(session: Session) -> None:
    """Only the right password fits, and setting one ends every login but the tokens."""
    admin = accounts.first_admin(session)
    before = accounts.log_in(session, admin, lifetime=HOUR)
    token = accounts.create_token(session, admin, name="script")
    session.flush()
    assert not accounts.is_password_set(session)

    accounts.set_password(session, admin, PASSWORD)
    session.flush()

    assert accounts.is_password_set(session)
    found = accounts.check_password(session, admin.name, PASSWORD)
    assert found is not None
    assert accounts.check_password(session, admin.name, "correct horse") is None
    assert accounts.check_password(session, "nobody", PASSWORD) is None
    assert accounts.find_caller(session, CredentialKind.SESSION, before) is None
    assert accounts.find_caller(session, CredentialKind.TOKEN, token) is not None


def test_nobody_without_a_password_logs_in_by_one(session: Session) -> None:
    """An empty password is never right."""
    admin = accounts.first_admin(session)

    assert accounts.check_password(session, admin.name, "") is None


@pytest.mark.parametrize("password", ["", "a", "too short", "x" * 1_025])
def test_a_password_has_a_length(session: Session, password: str) -> None:
    """A password that is empty, short or absurdly long is refused at its field."""
    with pytest.raises(InvalidError) as refused:
        accounts.set_password(session, accounts.first_admin(session), password)

    assert refused.value.fields[0].field == "password"


def test_tries_run_out_and_come_back() -> None:
    """After so many tries an address waits until the window is over; others do not."""
    now = [0.0]
    tries = LoginTries(clock=lambda: now[0])

    assert [tries.take("a") for _ in range(TRIES)] == [4, 3, 2, 1, 0]
    with pytest.raises(TooManyError):
        tries.take("a")
    assert tries.take("b") == TRIES - 1
    now[0] = WINDOW_SECONDS
    assert tries.take("a") == TRIES - 1


def test_tries_are_counted_by_name_too() -> None:
    """Who asks from many addresses waits as well; another name, and another's address, do not."""
    tries = LoginTries(clock=lambda: 0.0)
    for number in range(TRIES):
        tries.take(f"10.0.0.{number}", "ada")

    with pytest.raises(TooManyError) as refused:
        tries.take("10.0.0.9", "ADA")

    assert refused.value.retry_seconds == WINDOW_SECONDS
    assert tries.take("10.0.0.9", "bea") == TRIES - 1


def test_each_round_of_tries_waits_longer() -> None:
    """A minute, then two, then four, up to a quarter of an hour; asking meanwhile does not lengthen it."""
    now, waits = [0.0], []
    tries = LoginTries(clock=lambda: now[0])

    for _ in range(6):
        for _ in range(TRIES):
            tries.take("a", "ada")
        for _ in range(3):
            with pytest.raises(TooManyError) as refused:
                tries.take("a", "ada")
        waits.append(refused.value.retry_seconds)
        now[0] += refused.value.retry_seconds

    assert waits == [60, 120, 240, 480, 900, 900]
    now[0] += FORGET_SECONDS + 900
    for _ in range(TRIES):
        tries.take("a", "ada")
    with pytest.raises(TooManyError) as refused:
        tries.take("a", "ada")
    assert refused.value.retry_seconds == 60


def test_memory_of_tries_is_bounded() -> None:
    """However many names are tried, so many are counted, and who is waiting still waits."""
    tries = LoginTries(clock=lambda: 0.0)
    for _ in range(TRIES):
        tries.take("", "ada")

    for number in range(MOST_COUNTS + 10):
        tries.take(f"address {number}", f"name {number}")

    assert len(tries._counts) <= MOST_COUNTS
    with pytest.raises(TooManyError):
        tries.take("elsewhere", "ada")


def test_tries_forget_who_was_right() -> None:
    """The right password clears the count."""
    tries = LoginTries()
    tries.take("a")

    tries.forget("a")

    assert tries.take("a") == TRIES - 1
