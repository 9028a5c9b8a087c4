"""A user's own account: the password, the browsers that are logged in, and API tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field
from sqlmodel import Session

from app.domain import db, logins, tokens
from app.domain.accounts import Caller, includes
from app.domain.errors import InvalidError, TooManyError
from app.domain.messages import Message
from app.domain.models import Credential, Role, User
from app.domain.passwords import LONGEST_PASSWORD, SHORTEST_PASSWORD
from app.domain.tokens import MOST_DAYS, USUAL_DAYS, NewToken
from app.web.agents import agent_words
from app.web.callers import address_of
from app.web.deps import Id, ReadSession, WriteSession
from app.web.login import tries
from app.web.render import render
from app.web.secrets_shown import origin_of, shown_once

router = APIRouter(prefix="/account", include_in_schema=False)

LIFETIMES = (USUAL_DAYS, 90, 365, 0)  # days; the first is proposed, and 0 lasts until it is revoked
PASSWORD_SET, LOGINS_ENDED = "password", "logins"


class TypedToken(BaseModel):
    """The form of a new token as it was sent."""

    name: Annotated[str, Field(max_length=1_000)] = ""
    scope: Role | Literal[""] = ""
    """Empty: whatever the user may, now and later."""
    days: Annotated[int, Field(ge=0, le=MOST_DAYS)] = LIFETIMES[0]


@dataclass(frozen=True)
class Login:
    """A browser that is logged in."""

    row: Credential
    browser: str
    is_this: bool


@dataclass(frozen=True)
class AccountPage:
    """All that lets a user in."""

    account: User
    logins: Sequence[Login]
    tokens: Sequence[Credential]
    scopes: Sequence[Role]
    """What a token may be given: no more than the user may."""
    done: str = ""
    made: NewToken | None = None
    """A token that was just made, with its secret."""
    typed: TypedToken = field(default_factory=TypedToken)
    errors: dict[str, Message] = field(default_factory=dict)
    server: str = ""
    lifetimes: Sequence[int] = LIFETIMES
    shortest_password: int = SHORTEST_PASSWORD


@router.get("", name="account.show")
def show_account(request: Request, session: ReadSession, done: str = "") -> Response:
    """Show a user's own account."""
    return render(request, "account/show.html", replace(_page(request, session), done=done))


def _page(request: Request, session: Session) -> AccountPage:
    caller: Caller = request.state.user
    user = session.get_one(User, caller.user_id)
    found = logins.list_logins(session, caller.user_id)
    return AccountPage(
        account=user,
        logins=[Login(each, agent_words(each.agent), each.id == caller.credential_id) for each in found],
        tokens=[token for token, _ in tokens.list_tokens(session, user_id=caller.user_id)],
        scopes=[role for role in Role if includes(user.role, role)],
        server=origin_of(request),
    )


@router.post("/password", name="account.password")
def change_password(
    request: Request,
    session: ReadSession,  # argon2 takes its time, and meanwhile nobody else could write
    old: Annotated[str, Form(max_length=LONGEST_PASSWORD)] = "",
    password: Annotated[str, Form(max_length=4 * LONGEST_PASSWORD)] = "",
) -> Response:
    """Give the user another password; or show what is wrong with it."""
    caller: Caller = request.state.user
    try:
        if logins.has_password(session, caller):  # a first one is no guess
            tries().take(address_of(request), caller.name)  # never forgotten here: the right one costs as much
        checked = logins.check_new_password(session, caller, old=old, new=password)
        with db.unit_of_work() as writing:
            logins.put_password(writing, caller, checked)
    except TooManyError as error:
        page = replace(_page(request, session), errors={"old": error.message})
        reply = render(request, "account/show.html", page, HTTPStatus.TOO_MANY_REQUESTS)
        reply.headers["Retry-After"] = str(error.retry_seconds)
        return reply
    except InvalidError as error:
        return _show_again(request, session, error)
    return _go_back(PASSWORD_SET)


@router.post("/logins/{login_id}/end", name="account.end_login")
def end_login(request: Request, session: WriteSession, login_id: Id) -> Response:
    """End one of the user's logins."""
    logins.end_login(session, request.state.user, login_id)
    return _go_back(LOGINS_ENDED)


@router.post("/logins/end-others", name="account.end_other_logins")
def end_other_logins(request: Request, session: WriteSession) -> Response:
    """End every login of the user's but this one."""
    logins.end_other_logins(session, request.state.user)
    return _go_back(LOGINS_ENDED)


@router.post("/tokens", name="account.create_token")
def create_token(request: Request, session: WriteSession, typed: Annotated[TypedToken, Form()]) -> Response:
    """Make a token and show it, this once; or show what is wrong with it."""
    lifetime = timedelta(days=typed.days) if typed.days else None
    try:
        made = tokens.issue_own_token(
            session, request.state.user, name=typed.name, scope=typed.scope or None, lifetime=lifetime
        )
    except InvalidError as error:
        return _show_again(request, session, error, typed)
    return shown_once(render(request, "account/show.html", replace(_page(request, session), made=made)))


@router.post("/tokens/{token_id}/revoke", name="account.revoke_token")
def revoke_token(request: Request, session: WriteSession, token_id: Id) -> Response:
    """End one of the user's tokens."""
    tokens.revoke_token(session, token_id, user_id=request.state.user.user_id)
    return _go_back()


def _show_again(request: Request, session: Session, error: InvalidError, typed: TypedToken | None = None) -> Response:
    errors = {problem.field: problem.message for problem in reversed(error.fields)}
    page = replace(_page(request, session), errors=errors, typed=typed or TypedToken())
    return render(request, "account/show.html", page, HTTPStatus.UNPROCESSABLE_ENTITY)


def _go_back(done: str = "") -> Response:
    return RedirectResponse(f"/account?done={done}" if done else "/account", status_code=HTTPStatus.SEE_OTHER)
