"""API tokens: no wider than their user, and none outlives or outdoes the one that made it."""

from contextlib import nullcontext
from datetime import timedelta

import pytest
from sqlmodel import Session

from app.domain import accounts, tokens
from app.domain.accounts import Caller, CredentialKind
from app.domain.errors import ForbiddenError, InvalidError, NotFoundError
from app.domain.models import Role, User
from app.domain.users import change_role, disable_user, user_id_of

HOUR = timedelta(hours=1)


def runner(session: Session) -> User:
    """Add a user who may run."""
    return accounts.add_user(session, "rita", role=Role.RUNNER)


def caller_of(session: Session, secret: str) -> Caller:
    """Return who calls with a token."""
    session.flush()
    caller = accounts.find_caller(session, CredentialKind.TOKEN, secret)
    assert caller is not None
    return caller


def is_good(session: Session, secret: str) -> bool:
    """Whether a token still lets in."""
    return accounts.find_caller(session, CredentialKind.TOKEN, secret) is not None


@pytest.mark.parametrize(
    ("scope", "may"), [(Role.VIEWER, Role.VIEWER), (Role.RUNNER, Role.RUNNER), (None, Role.RUNNER)]
)
def test_a_token_may_be_narrower_than_its_user(session: Session, scope: Role | None, may: Role) -> None:
    """Its role is its scope's, or its user's where it has none."""
    made = tokens.issue_token(session, runner(session), name="t", scope=scope)

    assert caller_of(session, made.secret).role is may
    assert tokens.role_of(made.credential, made.user) is may


def test_a_token_is_never_wider_than_its_user(session: Session) -> None:
    """Neither when it is made nor when the user's role is lowered later."""
    user = accounts.add_user(session, "ada", role=Role.ADMIN)
    accounts.first_admin(session).name = "zoe"
    accounts.add_user(session, "another", role=Role.ADMIN)
    made = tokens.issue_token(session, user, name="t", scope=Role.ADMIN)

    with pytest.raises(InvalidError) as refused:
        tokens.issue_token(session, runner(session), name="t", scope=Role.ADMIN)
    change_role(session, user_id_of(user), Role.VIEWER)

    assert refused.value.fields[0].field == "scope"
    assert caller_of(session, made.secret).role is Role.VIEWER
    change_role(session, user_id_of(user), Role.ADMIN)
    assert caller_of(session, made.secret).role is Role.ADMIN


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\nb", "a\x00"])
def test_a_token_says_what_it_is_for(session: Session, name: str) -> None:
    """A token without a name that can be shown is refused at its field."""
    with pytest.raises(InvalidError) as refused:
        tokens.issue_token(session, runner(session), name=name)

    assert refused.value.fields[0].field == "name"


def test_a_token_makes_none_that_outdoes_it(session: Session) -> None:
    """One that is made with a token may no more and lasts no longer, whatever is asked for."""
    maker = tokens.issue_token(session, runner(session), name="maker", scope=Role.VIEWER, lifetime=HOUR)
    caller = caller_of(session, maker.secret)

    made = tokens.issue_own_token(session, caller, name="made")
    longer = tokens.issue_own_token(session, caller, name="longer", lifetime=48 * HOUR)

    assert made.credential.scope is Role.VIEWER
    for each in (made, longer):
        assert each.credential.expires_at is not None
        assert maker.credential.expires_at is not None
        assert each.credential.expires_at - maker.credential.expires_at < timedelta(seconds=5)
    with pytest.raises(ForbiddenError):
        tokens.issue_own_token(session, caller, name="wider", scope=Role.RUNNER)


@pytest.mark.parametrize(("scope", "may"), [(Role.VIEWER, False), (Role.RUNNER, True), (None, True)])
def test_what_may_less_than_its_user_ends_itself_alone(session: Session, scope: Role | None, may: bool) -> None:
    """Another token is neither shown to it nor ended by it; one with the whole role does both."""
    user = runner(session)
    other = tokens.issue_token(session, user, name="other")
    held = tokens.issue_token(session, user, name="held", scope=scope)
    caller = caller_of(session, held.secret)

    shown = [token.name for token, _ in tokens.list_tokens_for(session, caller)]
    with nullcontext() if may else pytest.raises(ForbiddenError):
        tokens.revoke_token_for(session, caller, other.credential.id or 0)
    tokens.revoke_token_for(session, caller, held.credential.id or 0)

    assert shown == (["other", "held"] if may else ["held"])
    assert (is_good(session, other.secret), is_good(session, held.secret)) == (not may, False)


def test_revoking_a_token_ends_what_was_made_with_it(session: Session) -> None:
    """Down to the last, and no other one."""
    user = runner(session)
    other = tokens.issue_token(session, user, name="other")
    family = [tokens.issue_token(session, user, name="first")]
    for name in ("second", "third"):
        family.append(tokens.issue_own_token(session, caller_of(session, family[-1].secret), name=name))
    session.flush()

    tokens.revoke_token(session, family[0].credential.id or 0)

    assert [is_good(session, each.secret) for each in (*family, other)] == [False, False, False, True]


def test_somebody_else_s_token_is_not_there(session: Session) -> None:
    """Who may end their own only is told that there is none."""
    made = tokens.issue_token(session, runner(session), name="t")

    with pytest.raises(NotFoundError):
        tokens.revoke_token(session, made.credential.id or 0, user_id=999)

    assert is_good(session, made.secret)


def test_a_token_ends_with_its_time(session: Session) -> None:
    """One past its time is listed as such, and lets nobody in."""
    made = tokens.issue_token(session, runner(session), name="t", lifetime=-HOUR)

    assert not is_good(session, made.secret)
    assert tokens.is_expired(made.credential)
    assert [token.name for token, _ in tokens.list_tokens(session)] == ["t"]


def test_a_token_that_lets_nobody_in_says_why(session: Session) -> None:
    """To whoever holds it: each of four reasons has its own cure."""
    rita = runner(session)
    ada = accounts.add_user(session, "ada", role=Role.RUNNER)
    ended = tokens.issue_token(session, rita, name="t", lifetime=-HOUR)
    revoked, good = tokens.issue_token(session, rita, name="t"), tokens.issue_token(session, ada, name="t")
    session.flush()
    tokens.revoke_token(session, revoked.credential.id or 0)
    disable_user(session, user_id_of(ada))
    session.flush()

    why = [str(tokens.why_refused(session, secret)) for secret in ("no", ended.secret, revoked.secret, good.secret)]

    words = ("no API token of this server", "has ended", "was revoked", "is disabled")
    assert [word in text for word, text in zip(words, why, strict=True)] == [True] * 4
