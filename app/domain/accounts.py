"""
Who may come in: users, and the secrets that let them.

A secret is 256 random bits and is shown once; the database holds its sha256 only. A password is
the one secret that people choose, and is the one that is kept under argon2.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, or_, update
from sqlmodel import Session, col, select

from app.domain import db
from app.domain.columns import utc_now
from app.domain.errors import FieldError, InvalidError, NotFoundError
from app.domain.messages import message
from app.domain.models import Credential, Role, User
from app.domain.passwords import check_password_rules, fits, hash_of

SECRET_BYTES = 32  # cannot be guessed, so a plain hash protects it
TOKEN_PREFIX = "temper_"  # noqa: S105 - what secret scanners look for in a leaked file
RENEW_AFTER = timedelta(hours=1)  # a login is renewed this seldom, so that reading a page writes nothing
FIRST_ADMIN = "admin"
ADDING = 7_352_003  # of `db.take_turns`: who adds a user
LONGEST_NAME = 100  # characters, of a user and of a token
LONGEST_AGENT = 300  # characters of what a browser calls itself


class CredentialKind(StrEnum):
    """What a secret is for."""

    SESSION = "session"
    LINK = "link"
    TOKEN = "token"  # noqa: S105 - a name


_RANKS = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True)
class Caller:
    """Who makes a request, and by which credential; `role` is that of the credential, which may be the narrower."""

    user_id: int
    name: str
    role: Role
    kind: CredentialKind
    credential_id: int

    def may(self, role: Role) -> bool:
        """Whether the caller has a role, or one that includes it."""
        return includes(self.role, role)


def includes(role: Role, other: Role) -> bool:
    """Whether a role allows what another does."""
    return _RANKS[role] >= _RANKS[other]


def lesser(role: Role, scope: Role | None) -> Role:
    """Return what a role may where a scope narrows it."""
    return role if scope is None or includes(scope, role) else scope


# ── Users ──────────────────────────────────────────────────────────────────


def first_admin(session: Session) -> User:
    """Return the oldest admin; the first call on an empty database makes one, without a password."""
    admins = select(User).where(User.role == Role.ADMIN, col(User.disabled_at).is_(None))
    found = session.exec(admins.order_by(col(User.id))).first()
    return found or add_user(session, FIRST_ADMIN, role=Role.ADMIN)


def add_user(session: Session, name: str, *, role: Role) -> User:
    """
    Add a user who can log in by a one-time link until a password is set.

    Raises:
        InvalidError: the name is taken, empty, too long or not written in visible characters.
    """
    if not name.strip() or name != name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        text = message("Take a name of 1 to {most} characters, without spaces around it.", most=LONGEST_NAME)
        raise InvalidError([FieldError("name", text)])
    db.take_turns(session, ADDING)  # no key of the database keeps out who differs in capitals
    for taken in _alike(session, name):
        raise InvalidError([FieldError("name", message("There is a user named “{name}” already.", name=taken))])
    user = User(name=name, role=role)
    session.add(user)
    session.flush()  # its id is named
    return user


def find_user(session: Session, name: str) -> User:
    """Return a user by name, in which capitals do not count; NotFoundError when there is none."""
    user = _named(session, name)
    if user is None:
        raise NotFoundError(message("There is no user named “{name}”.", name=name))
    return user


def _named(session: Session, name: str) -> User | None:
    alike = _alike(session, name)
    user_id = alike.get(name) or (next(iter(alike.values())) if len(alike) == 1 else None)
    return session.get(User, user_id) if user_id else None


def _alike(session: Session, name: str) -> dict[str, int]:
    """Return the users whose names differ from a name in capitals at most: two may, of older versions."""
    known = session.exec(select(User.name, User.id).order_by(col(User.id)))
    lower = name.lower()  # by Python: SQLite folds ASCII alone, and Postgres takes no NUL to compare with
    return {each: user_id for each, user_id in known if user_id and each.lower() == lower}


# ── One-time links and logins ──────────────────────────────────────────────


def make_login_link(session: Session, user: User, *, lifetime: timedelta) -> str:
    """Return the secret of a link that lets a user in once."""
    return store(session, user, CredentialKind.LINK, lifetime=lifetime)[1]


def is_link_usable(session: Session, secret: str) -> bool:
    """Whether a one-time link would still let somebody in; looking does not use it up."""
    statement = select(Credential.id).join(User, col(User.id) == Credential.user_id)
    statement = statement.where(*_usable(CredentialKind.LINK, secret), col(Credential.used_at).is_(None))
    return session.exec(statement.where(col(User.disabled_at).is_(None))).first() is not None


def use_login_link(session: Session, secret: str) -> User | None:
    """Use a one-time link up and return its user; None when it is unknown, used or too old, or its user disabled."""
    used = session.exec(
        update(Credential)
        .where(*_usable(CredentialKind.LINK, secret), col(Credential.used_at).is_(None))
        .values(used_at=utc_now())
        .returning(col(Credential.user_id))
    ).first()
    user = session.get(User, used[0]) if used is not None else None
    return user if user is not None and user.disabled_at is None else None


def log_in(
    session: Session, user: User, *, lifetime: timedelta, how: str = "", address: str = "", agent: str = ""
) -> str:
    """
    Return the secret of a new browser session, for its cookie.

    Args:
        how: `password`, `link` or `oidc`.
        agent: What the browser calls itself.
    """
    made, secret = store(session, user, CredentialKind.SESSION, lifetime=lifetime, name=how)
    made.address, made.agent = address, "".join(filter(str.isprintable, agent))[:LONGEST_AGENT]
    return secret


def log_out(session: Session, caller: Caller) -> None:
    """End the browser session that the caller came with."""
    revoke(session, col(Credential.id) == caller.credential_id)


def renew_login(session: Session, credential_id: int, *, lifetime: timedelta) -> None:
    """Let a browser session last `lifetime` from now."""
    now = utc_now()
    session.exec(
        update(Credential).where(col(Credential.id) == credential_id).values(used_at=now, expires_at=now + lifetime)
    )


# ── API tokens ─────────────────────────────────────────────────────────────


def create_token(session: Session, user: User, *, name: str, lifetime: timedelta | None = None) -> str:
    """Return a new API token that may what its user may; one without a lifetime lasts until it is revoked."""
    return store(session, user, CredentialKind.TOKEN, name=name, lifetime=lifetime)[1]


# ── Who is calling ─────────────────────────────────────────────────────────


def find_caller(session: Session, kind: CredentialKind, secret: str) -> Caller | None:
    """Return who holds a secret; None when it is unknown, revoked or too old, or its user disabled."""
    statement = select(Credential, User).join(User, col(User.id) == Credential.user_id).where(*_usable(kind, secret))
    found = session.exec(statement.where(col(User.disabled_at).is_(None))).first()
    if found is None:
        return None
    credential, user = found
    role = lesser(user.role, credential.scope)  # at each request: the user's role may have been lowered since
    return Caller(user.id or 0, user.name, role, kind, credential.id or 0)


def find_credential(session: Session, kind: CredentialKind, secret: str) -> Credential | None:
    """Return the credential of a secret, one that has ended too; None when there never was one."""
    here = (col(Credential.kind) == kind, col(Credential.secret_sha256) == _sha256(secret))
    return session.exec(select(Credential).where(*here)).first()


def is_still_good(session: Session, credential_id: int) -> bool:
    """Whether a credential still lets its user in: what lasts longer than a request asks again and again."""
    statement = select(Credential.id).join(User, col(User.id) == Credential.user_id)
    here = (col(Credential.id) == credential_id, col(User.disabled_at).is_(None))
    return session.exec(statement.where(*here, *in_force())).first() is not None


def is_renewal_due(session: Session, credential_id: int) -> bool:
    """Whether a credential was last noted as used long enough ago to be worth a write."""
    credential = session.get(Credential, credential_id)
    if credential is None:
        return False
    if credential.kind == CredentialKind.TOKEN and credential.used_at is None:
        return True  # made is not used: whoever waits for a script's first call looks for it
    return utc_now() - (credential.used_at or credential.created_at) > RENEW_AFTER


def note_use(session: Session, credential_id: int) -> None:
    """Write down that a token was used now."""
    session.exec(update(Credential).where(col(Credential.id) == credential_id).values(used_at=utc_now()))


# ── Passwords ──────────────────────────────────────────────────────────────


def set_password(session: Session, user: User, password: str, *, keeps: int | None = None) -> None:
    """
    Give a user a password, and end every login made before.

    Args:
        keeps: The login that it is set from, which goes on.

    Raises:
        InvalidError: the password is too short, too long or among the first that are tried.
    """
    check_password_rules(password, name=user.name)
    user.password_hash = hash_of(password)
    session.add(user)
    ended = (col(Credential.user_id) == user.id, col(Credential.kind) != CredentialKind.TOKEN)
    revoke(session, *ended, *([col(Credential.id) != keeps] if keeps is not None else []))


def is_password_set(session: Session) -> bool:
    """Whether anybody can log in by a password."""
    found = select(User.id).where(User.password_hash != "", col(User.disabled_at).is_(None))
    return session.exec(found).first() is not None


def check_password(session: Session, name: str, password: str) -> User | None:
    """Return the user of a name and password; None, after as long a time, when they do not fit."""
    user = _named(session, name)
    is_right = fits(password, user.password_hash if user is not None and user.disabled_at is None else "")
    return user if is_right else None


# ── Rows ───────────────────────────────────────────────────────────────────


def store(
    session: Session, user: User, kind: CredentialKind, *, lifetime: timedelta | None, name: str = ""
) -> tuple[Credential, str]:
    """Store a new credential; return it and its secret, which cannot be read again."""
    prefix = TOKEN_PREFIX if kind is CredentialKind.TOKEN else ""
    secret = prefix + secrets.token_urlsafe(SECRET_BYTES)
    made = Credential(
        user_id=user.id or 0,
        kind=kind,
        name=name,
        secret_sha256=_sha256(secret),
        expires_at=utc_now() + lifetime if lifetime is not None else None,
    )
    session.add(made)
    return made, secret


def revoke(session: Session, *which: ColumnElement[bool]) -> int:
    """End credentials that are not ended yet; return how many."""
    unended = (*which, col(Credential.revoked_at).is_(None))
    return session.exec(update(Credential).where(*unended).values(revoked_at=utc_now())).rowcount


def _usable(kind: CredentialKind, secret: str) -> tuple[ColumnElement[bool], ...]:
    return (col(Credential.kind) == kind, col(Credential.secret_sha256) == _sha256(secret), *in_force())


def in_force() -> tuple[ColumnElement[bool], ...]:
    """Return what a credential must fulfil to be good: neither revoked nor too old."""
    is_young = or_(col(Credential.expires_at).is_(None), col(Credential.expires_at) > utc_now())
    return (col(Credential.revoked_at).is_(None), is_young)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()
