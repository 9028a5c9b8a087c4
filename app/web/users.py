"""Users, for admins: who there is, what each may, every token; and the one-time links that let them in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlmodel import Session

from app.config import is_loopback, settings
from app.domain import accounts, audit, tokens, users
from app.domain.errors import ConflictError, InvalidError
from app.domain.messages import Message
from app.domain.models import Credential, Role, User
from app.domain.users import UserFacts
from app.web.addresses import split_address
from app.web.deps import Id, ReadSession, WriteSession
from app.web.render import render
from app.web.secrets_shown import public_address, shown_once

router = APIRouter(prefix="/users", include_in_schema=False)


@dataclass(frozen=True)
class NewUser:
    """The form as it stands."""

    name: str = ""
    role: Role = Role.RUNNER
    error: Message | None = None


@dataclass(frozen=True)
class UsersPage:
    """Every user and every token, the form, and a link that was just made."""

    users: Sequence[UserFacts]
    tokens: Sequence[tuple[Credential, User]]
    me: int
    roles: Sequence[Role]
    form: NewUser
    link: str = ""
    link_for: str = ""
    trouble: Message | None = None
    """Why something was not done."""

    @property
    def link_hours(self) -> int:
        """How long the link is good."""
        return settings().invitation_hours

    @property
    def is_link_for_here(self) -> bool:
        """Whether the link leads to the machine of whoever opens it."""
        return is_loopback(split_address(self.link).hostname or "")

    @property
    def provider(self) -> str:
        """Where there is a provider, its address."""
        return settings().oidc_issuer


@router.get("", name="users.index")
def show_users(request: Request, session: ReadSession) -> Response:
    """Show the users."""
    return render(request, "users/index.html", _page(request, session))


def _page(request: Request, session: Session) -> UsersPage:
    me = request.state.user.user_id
    return UsersPage(users.list_users(session), tokens.list_tokens(session), me, tuple(Role), NewUser())


@router.post("", name="users.add")
def add_user(
    request: Request,
    session: WriteSession,
    name: Annotated[str, Form(max_length=1_000)] = "",
    role: Annotated[Role, Form()] = Role.RUNNER,
) -> Response:
    """Add a user and show the link that lets them in; or show the form again."""
    audit.note("user", name=name, role=role)
    try:
        user = accounts.add_user(session, name.strip(), role=role)
    except InvalidError as error:
        form = NewUser(name, role, error.fields[0].message)
        page = replace(_page(request, session), form=form)
        return render(request, "users/index.html", page, HTTPStatus.UNPROCESSABLE_ENTITY)
    audit.note("user", user.id)
    return _show_link(request, session, user)


@router.post("/{user_id}/link", name="users.link")
def make_link(request: Request, session: WriteSession, user_id: Id) -> Response:
    """Show a new link that lets a user in once."""
    user = users.get_user(session, user_id)
    audit.note("user", user_id, name=user.name)
    return _show_link(request, session, user)


def _show_link(request: Request, session: Session, user: User) -> Response:
    code = accounts.make_login_link(session, user, lifetime=timedelta(hours=settings().invitation_hours))
    session.flush()  # the page is read from what was just written
    page = replace(_page(request, session), link=f"{public_address(request)}/login/{code}", link_for=user.name)
    return shown_once(render(request, "users/index.html", page))


@router.post("/{user_id}/role", name="users.role")
def change_role(request: Request, session: WriteSession, user_id: Id, role: Annotated[Role, Form()]) -> Response:
    """Give a user another role; or say why that cannot be."""
    try:
        users.change_role(session, user_id, role)
    except ConflictError as error:
        return _refuse(request, session, error)
    return _go_back()


@router.post("/{user_id}/disable", name="users.disable")
def disable_user(request: Request, session: WriteSession, user_id: Id) -> Response:
    """Let a user in no more; or say why that cannot be."""
    try:
        users.disable_user(session, user_id)
    except ConflictError as error:
        return _refuse(request, session, error)
    return _go_back()


@router.post("/{user_id}/enable", name="users.enable")
def enable_user(session: WriteSession, user_id: Id) -> Response:
    """Let a user in again."""
    users.enable_user(session, user_id)
    return _go_back()


@router.post("/{user_id}/end-logins", name="users.end_logins")
def end_logins(session: WriteSession, user_id: Id) -> Response:
    """End every login of a user."""
    users.end_logins_of(session, user_id)
    return _go_back()


@router.post("/tokens/{token_id}/revoke", name="users.revoke_token")
def revoke_token(session: WriteSession, token_id: Id) -> Response:
    """End anybody's token."""
    tokens.revoke_token(session, token_id)
    return _go_back()


def _refuse(request: Request, session: Session, error: ConflictError) -> Response:
    audit.note_reason(str(error))
    page = replace(_page(request, session), trouble=error.message)
    return render(request, "users/index.html", page, HTTPStatus.CONFLICT)


def _go_back() -> Response:
    return RedirectResponse("/users", status_code=HTTPStatus.SEE_OTHER)
