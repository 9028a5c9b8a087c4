"""The caller's own account."""

from collections.abc import Sequence
from datetime import datetime

from fastapi import APIRouter, Request

from app.api.errors import documented
from app.api.types import Id, Reply
from app.domain import logins
from app.domain.accounts import Caller, CredentialKind
from app.domain.models import Credential, Role, User
from app.web.agents import agent_words
from app.web.deps import ReadSession, WriteSession

router = APIRouter(prefix="/account", tags=["account"])


class LoginReply(Reply):
    """A browser that is logged in."""

    id: int
    browser: str
    """`Firefox, Linux`, as far as it says so."""
    address: str
    """Where it was when it logged in."""
    how: str
    """`password`, `link` or `oidc`."""
    created_at: datetime
    used_at: datetime
    """When it was last used, to the hour."""
    expires_at: datetime | None


class AccountReply(Reply):
    """Who is calling."""

    name: str
    role: Role
    """The user's role."""
    may: Role
    """What the token or login of this very request may: no more than the role."""
    means: CredentialKind
    has_password: bool
    logins: list[LoginReply]


@router.get("", summary="Say who is calling")
def get_account(request: Request, session: ReadSession) -> AccountReply:
    """Return the caller's name, role and logins."""
    caller: Caller = request.state.user
    user = session.get_one(User, caller.user_id)
    return AccountReply(
        name=user.name,
        role=user.role,
        may=caller.role,
        means=caller.kind,
        has_password=user.password_hash != "",
        logins=_replies(logins.list_logins(session, caller.user_id)),
    )


def _replies(found: Sequence[Credential]) -> list[LoginReply]:
    return [
        LoginReply(
            id=each.id or 0,
            browser=agent_words(each.agent),
            address=each.address,
            how=each.name,
            created_at=each.created_at,
            used_at=each.used_at or each.created_at,
            expires_at=each.expires_at,
        )
        for each in found
    ]


@router.delete("/logins/{login_id}", status_code=204, summary="End a login", responses=documented(404))
def end_login(login_id: Id, request: Request, session: WriteSession) -> None:
    """End one of the caller's logins."""
    logins.end_login(session, request.state.user, login_id)


@router.delete("/logins", status_code=204, summary="End the other logins")
def end_other_logins(request: Request, session: WriteSession) -> None:
    """End every login of the caller's, and every one-time link; tokens go on."""
    logins.end_other_logins(session, request.state.user)
