"""Users: who may come in, and what each may do. All of it takes an admin."""

from datetime import datetime, timedelta
from typing import Annotated, Self

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.errors import documented
from app.api.types import Id, Reply
from app.config import settings
from app.domain import accounts, audit, users
from app.domain.columns import utc_now
from app.domain.models import Role, User
from app.domain.users import UserFacts
from app.web.deps import ReadSession, WriteSession
from app.web.secrets_shown import public_address, shown_once

router = APIRouter(prefix="/users", tags=["users"])


class UserReply(Reply):
    """A person who may log in, or might once."""

    id: int
    name: str
    role: Role
    is_disabled: bool
    """Nothing lets a disabled user in."""
    has_password: bool
    has_provider: bool
    """The OpenID provider has vouched for the person once: they log in by it."""
    logins: int
    """Browsers that are logged in."""
    tokens: int
    seen_at: datetime | None
    """When a login or a token was last used, to the hour."""
    created_at: datetime

    @classmethod
    def of(cls, facts: UserFacts) -> Self:
        """Make the reply of a user."""
        user = facts.user
        return cls(
            id=users.user_id_of(user),
            name=user.name,
            role=user.role,
            is_disabled=user.disabled_at is not None,
            has_password=user.password_hash != "",
            has_provider=user.subject is not None,
            logins=facts.logins,
            tokens=facts.tokens,
            seen_at=facts.seen_at,
            created_at=user.created_at,
        )


class UserList(Reply):
    """All users, by name."""

    users: list[UserReply]


class NewUser(BaseModel):
    """A user to add."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    name: Annotated[str, Field(min_length=1, max_length=100, examples=["ada@example.org"])]
    """What the person logs in by; where an OpenID provider is set up, what that calls them."""
    role: Role = Role.RUNNER


class NewRole(BaseModel):
    """The role that a user gets."""

    model_config = ConfigDict(extra="forbid")
    role: Role


class LinkReply(Reply):
    """A one-time link. It is shown this once."""

    user: UserReply
    link: str
    """Opening it and pressing its button lets in whoever has it, once."""
    expires_at: datetime


@router.get("", summary="List users")
def list_users(session: ReadSession) -> UserList:
    """Return all users, those who are disabled too."""
    return UserList(users=[UserReply.of(facts) for facts in users.list_users(session)])


@router.post("", status_code=201, summary="Add a user")
def add_user(new: NewUser, request: Request, session: WriteSession, response: Response) -> LinkReply:
    """Add a user; the answer holds the link that lets them in, this once."""
    audit.note("user", name=new.name, role=new.role)
    user = accounts.add_user(session, new.name.strip(), role=new.role)
    audit.note("user", user.id)
    response.headers["Location"] = f"/api/v1/users/{user.id}"
    return _link(request, session, user, response)


@router.get("/{user_id}", summary="Look at a user", responses=documented(404))
def get_user(user_id: Id, session: ReadSession) -> UserReply:
    """Return a user."""
    return UserReply.of(users.facts_of(session, user_id))


@router.put("/{user_id}/role", summary="Change a user's role", responses=documented(404, 409))
def change_user_role(user_id: Id, new: NewRole, session: WriteSession) -> UserReply:
    """Give a user another role; their logins and tokens follow at once. The last admin stays one."""
    users.change_role(session, user_id, new.role)
    return UserReply.of(users.facts_of(session, user_id))


@router.post("/{user_id}/disable", summary="Disable a user", responses=documented(404, 409))
def disable_user(user_id: Id, session: WriteSession) -> UserReply:
    """Let a user in no more, and end every login, link and token at once. Not the last admin."""
    users.disable_user(session, user_id)
    return UserReply.of(users.facts_of(session, user_id))


@router.post("/{user_id}/enable", summary="Enable a user", responses=documented(404))
def enable_user(user_id: Id, session: WriteSession) -> UserReply:
    """Let a user in again; what was ended stays ended."""
    users.enable_user(session, user_id)
    return UserReply.of(users.facts_of(session, user_id))


@router.post("/{user_id}/link", status_code=201, summary="Make a one-time link", responses=documented(404))
def link_user(user_id: Id, request: Request, session: WriteSession, response: Response) -> LinkReply:
    """Make a new link that lets a user in once."""
    user = users.get_user(session, user_id)
    audit.note("user", user_id, name=user.name)
    return _link(request, session, user, response)


@router.delete("/{user_id}/logins", status_code=204, summary="End a user's logins", responses=documented(404))
def end_user_logins(user_id: Id, session: WriteSession) -> None:
    """End every login and link of a user, whose tokens go on."""
    users.end_logins_of(session, user_id)


def _link(request: Request, session: WriteSession, user: User, response: Response) -> LinkReply:
    lifetime = timedelta(hours=settings().invitation_hours)
    code = accounts.make_login_link(session, user, lifetime=lifetime)
    session.flush()  # the user is read with what was just written
    shown_once(response)
    facts = users.facts_of(session, users.user_id_of(user))
    link = f"{public_address(request)}/login/{code}"
    return LinkReply(user=UserReply.of(facts), link=link, expires_at=utc_now() + lifetime)
