"""
API tokens: each user's own, which may do no more than their user and may be narrower.

A token that is made with another one may neither do more than that one nor outlive it, and ends
with it: whoever finds a leaked token gains nothing that revoking it does not take back. One that may
less than its user ends itself alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlmodel import Session, col, select

from app.domain import accounts, audit
from app.domain.accounts import LONGEST_NAME, Caller, CredentialKind, includes, lesser
from app.domain.columns import utc_now
from app.domain.errors import FieldError, ForbiddenError, InvalidError, NotFoundError
from app.domain.messages import Message, message
from app.domain.models import Credential, Role, User

MOST_DAYS = 3_650
USUAL_DAYS = 30  # what a form and the command propose: a forgotten token ends by itself


@dataclass(frozen=True)
class NewToken:
    """A token as it was made, with its secret, which is shown this once."""

    credential: Credential
    user: User
    secret: str


def issue_token(
    session: Session, user: User, *, name: str, scope: Role | None = None, lifetime: timedelta | None = None
) -> NewToken:
    """
    Make a token of a user.

    Args:
        scope: What it may at most; what its user may when left out, now and later.
        lifetime: It lasts until it is revoked when left out.

    Raises:
        InvalidError: naming `name` or `scope`.
    """
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        text = message("Say what it is for, in 1 to {most} characters.", most=LONGEST_NAME)
        raise InvalidError([FieldError("name", text)])
    if scope is not None and not includes(user.role, scope):
        text = message("{name} is a {role}: a token of theirs may not be a {scope}.", name=user.name, role=user.role,
                       scope=scope)  # fmt: skip
        raise InvalidError([FieldError("scope", text)])
    made, secret = accounts.store(session, user, CredentialKind.TOKEN, name=name.strip(), lifetime=lifetime)
    made.scope = scope
    session.flush()  # its id is shown, and entered in the audit log
    words = {"name": made.name, "user": user.name, "scope": scope, "expires_at": made.expires_at}
    audit.note("token", made.id, **words)
    return NewToken(made, user, secret)


def issue_own_token(
    session: Session, caller: Caller, *, name: str, scope: Role | None = None, lifetime: timedelta | None = None
) -> NewToken:
    """
    Make a token of the caller's own; one made with a token is bound to that one.

    Raises:
        ForbiddenError: the token that asks may less than what it asks for.
        InvalidError: naming `name` or `scope`.
    """
    user = session.get_one(User, caller.user_id)
    if caller.kind is not CredentialKind.TOKEN:
        return issue_token(session, user, name=name, scope=scope, lifetime=lifetime)
    maker = session.get_one(Credential, caller.credential_id)
    if scope is not None and not caller.may(scope):
        text = message("The scope of the token that asks is {role}: it makes no {scope}.", role=caller.role,
                       scope=scope)  # fmt: skip
        raise ForbiddenError(text)
    if maker.expires_at is not None:
        left = maker.expires_at - utc_now()
        lifetime = left if lifetime is None else min(left, lifetime)
    made = issue_token(session, user, name=name, scope=scope or maker.scope, lifetime=lifetime)
    made.credential.made_by_id = maker.id
    return made


def list_tokens(session: Session, *, user_id: int | None = None) -> Sequence[tuple[Credential, User]]:
    """Return the API tokens that are not revoked, of one user or of all, each with its user, oldest first."""
    statement = select(Credential, User).join(User, col(User.id) == Credential.user_id)
    statement = statement.where(Credential.kind == CredentialKind.TOKEN, col(Credential.revoked_at).is_(None))
    if user_id is not None:
        statement = statement.where(Credential.user_id == user_id)
    return session.exec(statement.order_by(col(Credential.id))).all()


def list_tokens_for(session: Session, caller: Caller) -> Sequence[tuple[Credential, User]]:
    """Return a caller's own tokens, an admin's everybody's; to a token that may less than its user, itself alone."""
    found = list_tokens(session, user_id=None if caller.may(Role.ADMIN) else caller.user_id)
    if not _is_narrowed(session, caller):
        return found
    return [(token, user) for token, user in found if token.id == caller.credential_id]


def check_unnarrowed(session: Session, caller: Caller) -> None:
    """Refuse a token that may less than its user, as other credentials are none of its business; ForbiddenError."""
    if _is_narrowed(session, caller):
        text = message("This token may less than its user: of tokens and logins it may end itself alone.")
        raise ForbiddenError(text)


def _is_narrowed(session: Session, caller: Caller) -> bool:
    if caller.kind is not CredentialKind.TOKEN:
        return False
    user = session.get_one(User, caller.user_id)
    return role_of(session.get_one(Credential, caller.credential_id), user) is not user.role


def role_of(token: Credential, user: User) -> Role:
    """Return what a token may now."""
    return lesser(user.role, token.scope)


def is_expired(token: Credential) -> bool:
    """Whether a token's time is over."""
    return token.expires_at is not None and token.expires_at <= utc_now()


def why_refused(session: Session, secret: str) -> Message:
    """Return why a token lets nobody in; whoever holds it may know that it was one."""
    token = accounts.find_credential(session, CredentialKind.TOKEN, secret)
    if token is None:
        return message("This is no API token of this server. Make one under Account, or by `temper token create NAME`.")
    if session.get_one(User, token.user_id).disabled_at is not None:
        return message("The user of this API token is disabled. Ask an admin.")
    if token.revoked_at is not None:
        return message("This API token was revoked. Make another under Account.")
    return message("This API token has ended. Make another under Account.")


def revoke_token(session: Session, token_id: int, *, user_id: int | None = None) -> None:
    """
    End an API token, and those that were made with it.

    Args:
        user_id: Whose it must be; anybody's when left out.

    Raises:
        NotFoundError: there is none of this id, or it is somebody else's.
    """
    token = session.get(Credential, token_id)
    is_there = token is not None and token.kind == CredentialKind.TOKEN and token.revoked_at is None
    if token is None or not is_there or user_id not in {None, token.user_id}:
        raise NotFoundError(message("There is no token {id}.", id=token_id))
    user = session.get_one(User, token.user_id)
    audit.note("token", token_id, name=token.name, user=user.name)
    accounts.revoke(session, col(Credential.id).in_(_family_of(session, token_id)))


def revoke_token_for(session: Session, caller: Caller, token_id: int) -> None:
    """
    End a token that the caller may end: one of their own, for an admin anybody's.

    Raises:
        ForbiddenError: it is another one than the token that asks, which may less than its user.
        NotFoundError: there is none of this id, or it is somebody else's.
    """
    if token_id != caller.credential_id:
        check_unnarrowed(session, caller)
    revoke_token(session, token_id, user_id=None if caller.may(Role.ADMIN) else caller.user_id)


def _family_of(session: Session, token_id: int) -> set[int]:
    """Return a token and all that were made with it, or with one of those."""
    family = {token_id}
    while made := _made_with(session, family) - family:
        family |= made
    return family


def _made_with(session: Session, token_ids: set[int]) -> set[int]:
    statement = select(Credential.id).where(col(Credential.made_by_id).in_(token_ids))
    return {found for found in session.exec(statement) if found is not None}
