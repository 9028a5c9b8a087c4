"""
Users as an admin sees them: roles, who is let in, and every way in of somebody else.

There is always an admin who can log in: the last one can be neither lowered nor disabled.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, case, func
from sqlmodel import Session, col, select

from app.domain import accounts, audit
from app.domain.accounts import CredentialKind, in_force, includes
from app.domain.audit import before_and_after
from app.domain.columns import utc_now
from app.domain.errors import ConflictError, NotFoundError
from app.domain.messages import message
from app.domain.models import Credential, Role, User


@dataclass(frozen=True)
class UserFacts:
    """A user, and what there is to let them in."""

    user: User
    logins: int
    tokens: int
    seen_at: datetime | None
    """When a login or a token of theirs was last used, to the hour."""


def list_users(session: Session) -> list[UserFacts]:
    """Return all users by name, those who are disabled too."""
    users = session.exec(select(User).order_by(func.lower(User.name), col(User.id))).all()
    credentials: dict[int, list[Credential]] = defaultdict(list)
    for credential in session.exec(select(Credential).where(*in_force())):
        credentials[credential.user_id].append(credential)
    seen = _seen(session)
    return [_facts(user, credentials[user_id_of(user)], seen) for user in users]


def get_user(session: Session, user_id: int) -> User:
    """Return a user; NotFoundError when there is none."""
    user = session.get(User, user_id)
    if user is None:
        raise NotFoundError(message("There is no user {id}.", id=user_id))
    return user


def facts_of(session: Session, user_id: int) -> UserFacts:
    """Return one user with what there is to let them in."""
    user = get_user(session, user_id)
    credentials = session.exec(select(Credential).where(Credential.user_id == user_id, *in_force())).all()
    return _facts(user, credentials, _seen(session, col(Credential.user_id) == user_id))


def user_id_of(user: User) -> int:
    """Return the id of a stored user."""
    if user.id is None:
        raise ValueError("the user is not stored")
    return user.id


def _facts(user: User, credentials: Sequence[Credential], seen: Mapping[int, datetime]) -> UserFacts:
    kinds = Counter(each.kind for each in credentials)
    return UserFacts(user, kinds[CredentialKind.SESSION], kinds[CredentialKind.TOKEN], seen.get(user_id_of(user)))


def _seen(session: Session, *which: ColumnElement[bool]) -> dict[int, datetime]:
    """Return when users last used a login or a token, one that has ended since too."""
    came = case((col(Credential.kind) == CredentialKind.SESSION, col(Credential.created_at)))
    last = func.max(func.coalesce(col(Credential.used_at), came))
    is_way_in = col(Credential.kind) != CredentialKind.LINK
    statement = select(Credential.user_id, last).where(is_way_in, *which).group_by(col(Credential.user_id))
    return dict(session.exec(statement.having(last.is_not(None))).all())


# ── Changing ───────────────────────────────────────────────────────────────


def change_role(session: Session, user_id: int, role: Role) -> User:
    """
    Give a user another role; what they are logged in with and their tokens follow at once.

    Raises:
        ConflictError: the last admin would be none.
    """
    user = get_user(session, user_id)
    audit.note("user", user_id, name=user.name, role=before_and_after(user.role, role))
    if not includes(role, Role.ADMIN):
        _keep_an_admin(session, user)
    user.role = role
    session.add(user)
    return user


def disable_user(session: Session, user_id: int) -> User:
    """
    Let a user in no more, and end every login, link and token at once.

    Raises:
        ConflictError: it is the last admin.
    """
    user = get_user(session, user_id)
    audit.note("user", user_id, name=user.name)
    _keep_an_admin(session, user)
    user.disabled_at = user.disabled_at or utc_now()
    session.add(user)
    accounts.revoke(session, col(Credential.user_id) == user_id)
    return user


def enable_user(session: Session, user_id: int) -> User:
    """Let a user in again; what was ended stays ended."""
    user = get_user(session, user_id)
    audit.note("user", user_id, name=user.name)
    user.disabled_at = None
    session.add(user)
    return user


def end_logins_of(session: Session, user_id: int) -> int:
    """End every login and link of a user, whose tokens go on; return how many were ended."""
    user = get_user(session, user_id)
    ended = accounts.revoke(session, col(Credential.user_id) == user_id, col(Credential.kind) != CredentialKind.TOKEN)
    audit.note("user", user_id, name=user.name, ended=ended)
    return ended


def _keep_an_admin(session: Session, user: User) -> None:
    # Locked: two admins who lower each other at once must not both succeed.
    admins = select(User.id).where(User.role == Role.ADMIN, col(User.disabled_at).is_(None)).with_for_update()
    if set(session.exec(admins).all()) == {user.id}:
        text = message("{name} is the last admin who can log in. Make somebody else an admin first.", name=user.name)
        raise ConflictError(text)
