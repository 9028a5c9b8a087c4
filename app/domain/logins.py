"""A user's own ways in: the password, and the browsers that are logged in."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from app.domain import accounts, audit
from app.domain.accounts import Caller, CredentialKind
from app.domain.columns import utc_now
from app.domain.errors import FieldError, InvalidError, NotFoundError
from app.domain.messages import message
from app.domain.models import Credential, User
from app.domain.passwords import check_password_rules, hash_of
from app.domain.tokens import check_unnarrowed


@dataclass(frozen=True)
class NewPassword:
    """A password that may take the place of another, as both are kept."""

    before: str
    after: str


def has_password(session: Session, caller: Caller) -> bool:
    """Whether the caller has a password already."""
    return bool(session.get_one(User, caller.user_id).password_hash)


def check_new_password(session: Session, caller: Caller, *, old: str, new: str) -> NewPassword:
    """
    Check and hash another password of the caller's, which takes its time and writes nothing.

    Args:
        old: The password that is in force; not looked at where there is none yet.

    Raises:
        InvalidError: naming `old` or `password`.
    """
    user = session.get_one(User, caller.user_id)
    audit.note("user", caller.user_id, name=user.name)
    if user.password_hash and accounts.check_password(session, user.name, old) is None:
        audit.note(reason="wrong password")
        raise InvalidError([FieldError("old", message("This is not your password."))])
    check_password_rules(new, name=user.name)
    return NewPassword(before=user.password_hash, after=hash_of(new))


def put_password(session: Session, caller: Caller, password: NewPassword) -> None:
    """
    Give the caller a password that was checked; every other login of theirs ends.

    Raises:
        InvalidError: naming `old`: the password has been changed since.
    """
    user = session.get_one(User, caller.user_id)
    if user.password_hash != password.before:
        raise InvalidError([FieldError("old", message("This is not your password."))])
    user.password_hash = password.after
    session.add(user)
    _end_others(session, caller)


def list_logins(session: Session, user_id: int) -> Sequence[Credential]:
    """Return the browsers that a user is logged in with, the last used first."""
    statement = select(Credential).where(
        Credential.user_id == user_id,
        Credential.kind == CredentialKind.SESSION,
        col(Credential.revoked_at).is_(None),
        col(Credential.expires_at) > utc_now(),
    )
    return sorted(session.exec(statement), key=lambda each: each.used_at or each.created_at, reverse=True)


def end_login(session: Session, caller: Caller, login_id: int) -> None:
    """End one of the caller's logins; NotFoundError when it is none of theirs, ForbiddenError for a narrowed token."""
    check_unnarrowed(session, caller)
    if login_id not in {login.id for login in list_logins(session, caller.user_id)}:
        raise NotFoundError(message("There is no login {id} of yours.", id=login_id))
    audit.note("login", login_id)
    accounts.revoke(session, col(Credential.id) == login_id)


def end_other_logins(session: Session, caller: Caller) -> int:
    """End every login of the caller's but the one in use; return how many. ForbiddenError for a narrowed token."""
    check_unnarrowed(session, caller)
    ended = _end_others(session, caller)
    audit.note("user", caller.user_id, ended=ended)
    return ended


def _end_others(session: Session, caller: Caller) -> int:
    return accounts.revoke(
        session,
        col(Credential.user_id) == caller.user_id,
        col(Credential.kind) != CredentialKind.TOKEN,
        col(Credential.id) != caller.credential_id,
    )
