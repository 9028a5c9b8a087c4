"""
Which user somebody is whom an OpenID provider vouches for.

Nobody gets in by the provider's word alone: an admin has added a user of this name, or the
settings give a role to what the provider says of the person. The first login binds the user to
the provider's own id of the person; from then on the name may change and the user stays.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from app.config import settings
from app.domain import accounts, audit
from app.domain.errors import ConflictError, ForbiddenError, InvalidError
from app.domain.messages import message
from app.domain.models import Role, User
from app.domain.oidc import Identity
from app.domain.users import change_role, user_id_of


def user_of(session: Session, identity: Identity) -> User:
    """
    Return the user that a person is here; one that the settings give a role is made.

    Raises:
        ForbiddenError: nobody has added the person, or the user is disabled.
    """
    name, role = name_in(identity.claims), role_in(identity.claims)
    user = _find(session, identity, name) or _make(session, identity, name, role=role)
    audit.note("user", user.id, name=user.name)
    if user.disabled_at is not None:
        raise ForbiddenError(message("{name} may not log in here any more. Ask an admin.", name=user.name))
    if user.is_provided and role is None:
        raise _unknown(user.name)
    user.subject = identity.subject
    session.add(user)
    if role is not None and role is not user.role:
        _follow_role(session, user, role)
    return user


def name_in(claims: Mapping[str, Any]) -> str:
    """Return the name that a person goes by here; empty when the provider does not vouch for one that can be shown."""
    claim = settings().oidc_name_claim
    if claim == "email" and claims.get("email_verified") is not True:
        return ""
    name = claims.get(claim)
    return name.strip() if isinstance(name, str) and name.strip().isprintable() else ""


def role_in(claims: Mapping[str, Any]) -> Role | None:
    """Return the highest role that the settings give to what the provider says; None when it is none."""
    said = claims.get(settings().oidc_role_claim) if settings().oidc_role_claim else None
    values = said if isinstance(said, list) else [said]
    known = {
        Role(settings().oidc_roles[each]) for each in values if isinstance(each, str) and each in settings().oidc_roles
    }
    return next((role for role in reversed(Role) if role in known), None)


def _find(session: Session, identity: Identity, name: str) -> User | None:
    unbound = _unbound(session, name)  # first: what it waits for may bind the user to this very person
    bound = session.exec(select(User).where(User.subject == identity.subject)).first()
    if bound is not None:
        return bound
    if len(unbound) > 1:
        raise _unknown(name)
    return next(iter(unbound), None)


def _unbound(session: Session, name: str) -> Sequence[User]:
    """Return the users whom a name fits and nobody is bound to; locked, as of two who come at once one is bound."""
    if not name:
        return ()
    is_named = col(User.name) == name
    if settings().oidc_name_claim == "email" and name.isascii():  # elsewhere other letters fold into the same ones
        is_named = func.lower(User.name) == name.lower()
    found = session.exec(select(User).where(is_named, col(User.subject).is_(None)).with_for_update()).all()
    return [user for user in found if user.name == name or user.name.isascii()]


def _make(session: Session, identity: Identity, name: str, *, role: Role | None) -> User:
    if role is None or not name:
        raise _unknown(name)
    try:
        user = accounts.add_user(session, name, role=role)
    except InvalidError as error:
        if made := _find(session, identity, name):  # by the same person's other login, meanwhile
            return made
        # Another person at the provider, most likely.
        text = message("For the provider you are {name}, which is another user's name here. Ask an admin.", name=name)
        raise ForbiddenError(text) from error
    user.is_provided = True
    return user


def _follow_role(session: Session, user: User, role: Role) -> None:
    try:
        change_role(session, user_id_of(user), role)
    except ConflictError:  # the last admin stays one, whatever the provider says
        return


def _unknown(name: str) -> ForbiddenError:
    if not name:
        claim = settings().oidc_name_claim
        return ForbiddenError(message("The provider does not vouch for your {claim}, so nobody knows you here. "
                                      "Ask an admin.", claim=claim))  # fmt: skip
    return ForbiddenError(
        message("For the provider you are {name}, whom nobody has added here. Ask an admin.", name=name)
    )
