"""
Who may come in: users, and the secrets that let them.

A secret is 256 random bits and is shown once; the database holds its sha256 only. A password is
the one secret that people choose, and is the one that is kept under argon2.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, or_, update
from sqlmodel import Session, col, select

from app.domain.columns import utc_now
from app.domain.errors import FieldError, InvalidError, NotFoundError
from app.domain.messages import message
from app.domain.models import Credential, Role, User

if TYPE_CHECKING:
    from pwdlib import PasswordHash

SECRET_BYTES = 32  # cannot be guessed, so a plain hash protects it
TOKEN_PREFIX = "temper_"  # noqa: S105 - what secret scanners look for in a leaked file
RENEW_AFTER = timedelta(hours=1)  # a login is renewed this seldom, so that reading a page writes nothing
FIRST_ADMIN = "admin"
SHORTEST_PASSWORD = 10  # characters; NIST SP 800-63B asks for 8 and advises more
LONGEST_PASSWORD = 1_024  # characters; a longer one only makes the server work
HASHES_AT_ONCE = 2  # argon2 takes 64 MiB for each


class CredentialKind(StrEnum):
    """What a secret is for."""

    SESSION = "session"
    LINK = "link"
    TOKEN = "token"  # noqa: S105 - a name


_RANKS = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True)
class Caller:
    """Who makes a request, and by which credential."""

    user_id: int
    name: str
    role: Role
    kind: CredentialKind
    credential_id: int

    def may(self, role: Role) -> bool:
        """Whether the caller has a role, or one that includes it."""
        return _RANKS[self.role] >= _RANKS[role]


# ── Users ──────────────────────────────────────────────────────────────────


def first_admin(session: Session) -> User:
    """Return the oldest admin; the first call on an empty database makes one, without a password."""
    found = session.exec(select(User).where(User.role == Role.ADMIN).order_by(col(User.id))).first()
    return found or add_user(session, FIRST_ADMIN, role=Role.ADMIN)


def add_user(session: Session, name: str, *, role: Role) -> User:
    """Add a user who can log in by a one-time link until a password is set; InvalidError when the name is taken."""
    if session.exec(select(User.id).where(User.name == name)).first() is not None:
        raise InvalidError([FieldError("name", message("There is a user named “{name}” already.", name=name))])
    user = User(name=name, role=role)
    session.add(user)
    session.flush()  # credentials need the user's id
    return user


def find_user(session: Session, name: str) -> User:
    """Return a user by name; NotFoundError when there is none."""
    user = session.exec(select(User).where(User.name == name)).first()
    if user is None:
        raise NotFoundError(message("There is no user named “{name}”.", name=name))
    return user


# ── One-time links and logins ──────────────────────────────────────────────


def make_login_link(session: Session, user: User, *, lifetime: timedelta) -> str:
    """Return the secret of a link that lets a user in once."""
    return _store(session, user, CredentialKind.LINK, lifetime=lifetime)


def is_link_usable(session: Session, secret: str) -> bool:
    """Whether a one-time link would still let somebody in; looking does not use it up."""
    statement = select(Credential.id).where(*_usable(CredentialKind.LINK, secret), col(Credential.used_at).is_(None))
    return session.exec(statement).first() is not None


def use_login_link(session: Session, secret: str) -> User | None:
    """Use a one-time link up and return its user; None when it is unknown, used or too old."""
    used = session.exec(
        update(Credential)
        .where(*_usable(CredentialKind.LINK, secret), col(Credential.used_at).is_(None))
        .values(used_at=utc_now())
        .returning(col(Credential.user_id))
    ).first()
    return session.get(User, used[0]) if used is not None else None


def log_in(session: Session, user: User, *, lifetime: timedelta) -> str:
    """Return the secret of a new browser session, for its cookie."""
    return _store(session, user, CredentialKind.SESSION, lifetime=lifetime)


def log_out(session: Session, caller: Caller) -> None:
    """End the browser session that the caller came with."""
    _revoke(session, caller.credential_id)


def renew_login(session: Session, credential_id: int, *, lifetime: timedelta) -> None:
    """Let a browser session last `lifetime` from now."""
    now = utc_now()
    session.exec(
        update(Credential).where(col(Credential.id) == credential_id).values(used_at=now, expires_at=now + lifetime)
    )


# ── API tokens ─────────────────────────────────────────────────────────────


def create_token(session: Session, user: User, *, name: str, lifetime: timedelta | None = None) -> str:
    """Return a new API token of a user; one without a lifetime lasts until it is revoked."""
    return _store(session, user, CredentialKind.TOKEN, name=name, lifetime=lifetime, prefix=TOKEN_PREFIX)


def list_tokens(session: Session) -> Sequence[tuple[Credential, User]]:
    """Return the API tokens that are not revoked, each with its user, oldest first."""
    statement = select(Credential, User).join(User, col(User.id) == Credential.user_id)
    is_live = (Credential.kind == CredentialKind.TOKEN, col(Credential.revoked_at).is_(None))
    return session.exec(statement.where(*is_live).order_by(col(Credential.id))).all()


def revoke_token(session: Session, token_id: int) -> None:
    """End an API token; NotFoundError when there is none of this id."""
    token = session.get(Credential, token_id)
    if token is None or token.kind != CredentialKind.TOKEN or token.revoked_at is not None:
        raise NotFoundError(message("There is no token {id}.", id=token_id))
    _revoke(session, token_id)


# ── Who is calling ─────────────────────────────────────────────────────────


def find_caller(session: Session, kind: CredentialKind, secret: str) -> Caller | None:
    """Return who holds a secret; None when it is unknown, revoked or too old."""
    statement = select(Credential, User).join(User, col(User.id) == Credential.user_id).where(*_usable(kind, secret))
    found = session.exec(statement).first()
    if found is None:
        return None
    credential, user = found
    return Caller(user.id or 0, user.name, user.role, kind, credential.id or 0)


def is_renewal_due(session: Session, credential_id: int) -> bool:
    """Whether a credential was last noted as used long enough ago to be worth a write."""
    credential = session.get(Credential, credential_id)
    if credential is None:
        return False
    return utc_now() - (credential.used_at or credential.created_at) > RENEW_AFTER


def note_use(session: Session, credential_id: int) -> None:
    """Write down that a token was used now."""
    session.exec(update(Credential).where(col(Credential.id) == credential_id).values(used_at=utc_now()))


# ── Passwords ──────────────────────────────────────────────────────────────

_hashing = BoundedSemaphore(HASHES_AT_ONCE)


def set_password(session: Session, user: User, password: str) -> None:
    """
    Give a user a password, and end every login made before.

    Raises:
        InvalidError: the password is too short or too long.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        text = message("Take {least} to {most} characters.", least=SHORTEST_PASSWORD, most=LONGEST_PASSWORD)
        raise InvalidError([FieldError("password", text)])
    with _hashing:
        user.password_hash = _hasher().hash(password)
    session.add(user)
    session.exec(
        update(Credential)
        .where(
            col(Credential.user_id) == user.id,
            col(Credential.kind) != CredentialKind.TOKEN,
            col(Credential.revoked_at).is_(None),
        )
        .values(revoked_at=utc_now())
    )


def is_password_set(session: Session) -> bool:
    """Whether anybody can log in by a password."""
    return session.exec(select(User.id).where(User.password_hash != "")).first() is not None


def check_password(session: Session, name: str, password: str) -> User | None:
    """Return the user of a name and password; None, after as long a time, when they do not fit."""
    user = session.exec(select(User).where(User.name == name)).first()
    known = user.password_hash if user is not None and user.password_hash else _unused_hash()
    with _hashing:
        fits = _hasher().verify(password[:LONGEST_PASSWORD], known)
    return user if fits and user is not None and user.password_hash else None


@cache
def _hasher() -> "PasswordHash":
    from pwdlib import PasswordHash  # noqa: PLC0415 - argon2 is loaded when a password is first asked for

    return PasswordHash.recommended()


@cache
def _unused_hash() -> str:
    """Return the hash of a password nobody knows: checking it takes as long as checking a real one."""
    return _hasher().hash(secrets.token_urlsafe(SECRET_BYTES))


# ── Rows ───────────────────────────────────────────────────────────────────


def _store(
    session: Session,
    user: User,
    kind: CredentialKind,
    *,
    lifetime: timedelta | None,
    name: str = "",
    prefix: str = "",
) -> str:
    secret = prefix + secrets.token_urlsafe(SECRET_BYTES)
    session.add(
        Credential(
            user_id=user.id or 0,
            kind=kind,
            name=name,
            secret_sha256=_sha256(secret),
            expires_at=utc_now() + lifetime if lifetime is not None else None,
        )
    )
    return secret


def _usable(kind: CredentialKind, secret: str) -> tuple[ColumnElement[bool], ...]:
    return (
        col(Credential.kind) == kind,
        col(Credential.secret_sha256) == _sha256(secret),
        col(Credential.revoked_at).is_(None),
        or_(col(Credential.expires_at).is_(None), col(Credential.expires_at) > utc_now()),
    )


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def _revoke(session: Session, credential_id: int) -> None:
    session.exec(update(Credential).where(col(Credential.id) == credential_id).values(revoked_at=utc_now()))
