"""API tokens: each user's own; an admin sees and ends everybody's."""

from datetime import datetime, timedelta
from typing import Annotated, Self

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.errors import documented
from app.api.types import Id, Reply
from app.domain import tokens
from app.domain.models import Credential, Role, User
from app.domain.tokens import MOST_DAYS
from app.web.deps import ReadSession, WriteSession
from app.web.secrets_shown import shown_once

router = APIRouter(prefix="/tokens", tags=["tokens"])


class TokenReply(Reply):
    """An API token; the secret itself is shown when it is made, and never again."""

    id: int
    name: str
    """What it is for."""
    user: str
    role: Role
    """What it may now: the lesser of its scope and its user's role."""
    scope: Role | None
    """What it may at most; null where it follows its user's role."""
    created_at: datetime
    used_at: datetime | None
    """When it was last used, to the hour."""
    expires_at: datetime | None
    """Null where it lasts until it is revoked."""
    is_expired: bool

    @classmethod
    def of(cls, token: Credential, user: User) -> Self:
        """Make the reply of a token."""
        return cls(
            id=token.id or 0,
            name=token.name,
            user=user.name,
            role=tokens.role_of(token, user),
            scope=token.scope,
            created_at=token.created_at,
            used_at=token.used_at,
            expires_at=token.expires_at,
            is_expired=tokens.is_expired(token),
        )


class NewTokenReply(TokenReply):
    """A token that was just made."""

    token: str
    """The secret. Keep it: it is shown this once."""


class TokenList(Reply):
    """Tokens that are not revoked, the oldest first."""

    tokens: list[TokenReply]


class NewToken(BaseModel):
    """A token to make."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    name: Annotated[str, Field(min_length=1, max_length=100, examples=["nightly evaluation"])]
    """What it is for, so that you know it again."""
    scope: Role | None = None
    """What it may at most, and never more than you; null follows your role."""
    days: Annotated[int | None, Field(ge=1, le=MOST_DAYS)] = None
    """It ends after so many days; null lasts until it is revoked."""


@router.get("", summary="List tokens")
def list_tokens(request: Request, session: ReadSession) -> TokenList:
    """Return the caller's tokens; to an admin, everybody's."""
    found = tokens.list_tokens_for(session, request.state.user)
    return TokenList(tokens=[TokenReply.of(token, user) for token, user in found])


@router.post("", status_code=201, summary="Make a token")
def create_token(new: NewToken, request: Request, session: WriteSession, response: Response) -> NewTokenReply:
    """Make a token of the caller's own. It may neither do more nor last longer than the token that asks."""
    lifetime = timedelta(days=new.days) if new.days else None
    made = tokens.issue_own_token(session, request.state.user, name=new.name, scope=new.scope, lifetime=lifetime)
    shown_once(response)
    return NewTokenReply(**TokenReply.of(made.credential, made.user).model_dump(), token=made.secret)


@router.delete("/{token_id}", status_code=204, summary="Revoke a token", responses=documented(404))
def revoke_token(token_id: Id, request: Request, session: WriteSession) -> None:
    """End a token, and those that were made with it."""
    tokens.revoke_token_for(session, request.state.user, token_id)
