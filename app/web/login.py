"""
Logging in, by a one-time link or a password, and out.

Opening a link shows a button, and pressing it uses the link up: previews and prefetches open
links too.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import AfterValidator
from sqlmodel import Session

from app.config import is_loopback, settings
from app.domain import accounts, audit, db
from app.domain.accounts import CredentialKind
from app.domain.audit_models import Means
from app.domain.errors import NotFoundError, TooManyError
from app.domain.login_tries import LoginTries
from app.domain.messages import Message, message
from app.domain.models import User
from app.domain.passwords import LONGEST_PASSWORD
from app.web.addresses import path_on_this_server, split_address
from app.web.callers import address_of
from app.web.cookies import cookie_name, login_lifetime, send_cookie
from app.web.deps import ReadSession, WriteSession
from app.web.render import render

router = APIRouter(include_in_schema=False)

HOME = "/runs"
FIRST_PAGE = "/account?done=welcome"  # of who was let in by a link alone: it works once
LONGEST_NEXT = 2_000  # characters


def carried(wanted: str) -> str:
    """Return where to go on to after a login; empty, which is the start page, for an address too long to carry."""
    return wanted if len(wanted) <= LONGEST_NEXT else ""


Next = Annotated[str, AfterValidator(carried)]
Address = Annotated[str, Form(alias="next"), AfterValidator(carried)]


@dataclass(frozen=True)
class LoginPage:
    """The ways in: a password where one is set, a provider where there is one, else a word on the one-time link."""

    next: str
    has_password: bool
    name: str
    error: Message | None = None

    @property
    def provider(self) -> str:
        """The name of the provider's server; empty where there is none."""
        return split_address(settings().oidc_issuer).hostname or ""


@dataclass(frozen=True)
class LinkPage:
    """A one-time link that was opened, and whether it still lets somebody in."""

    next: str
    code: str
    is_usable: bool
    ends_at: datetime | None = None


@cache
def tries() -> LoginTries:
    """Return this process's count of wrong passwords."""
    return LoginTries()


@router.get("/login", name="login.show")
def show_login(request: Request, session: ReadSession, next: Next = "") -> Response:  # noqa: A002 - the word in the URL
    """Show the way in; who is in already goes on."""
    if request.state.user is not None:
        return go_on(next)
    page = LoginPage(next=next, has_password=accounts.is_password_set(session), name=_usual_name())
    return render(request, "login/login.html", page)


def _usual_name() -> str:
    """Return the first admin's name where nobody but this machine can read it; strangers are told none."""
    return accounts.FIRST_ADMIN if is_loopback(settings().host) else ""


@router.post("/login", name="login.password")
def log_in_by_password(
    request: Request,
    session: ReadSession,  # argon2 takes its time, and meanwhile nobody else could write
    *,
    name: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=LONGEST_PASSWORD)] = "",
    next: Address = "",  # noqa: A002 - the word in the form
) -> Response:
    """Let in who knows the password."""
    _note_name(session, name)
    try:
        left = tries().take(address_of(request), name)
    except TooManyError as error:
        audit.note(reason="too many tries")
        reply = _show_again(request, next, name, error=error.message, status=HTTPStatus.TOO_MANY_REQUESTS)
        reply.headers["Retry-After"] = str(error.retry_seconds)
        return reply
    user = accounts.check_password(session, name, password)
    if user is None:
        audit.note(reason="wrong name or password")
        text = message("That name and password do not fit. Tries left this minute: {left}.", left=left)
        return _show_again(request, next, name, error=text, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    tries().forget(address_of(request), name)
    with db.unit_of_work() as writing:
        return let_in(request, writing, user, next, how=Means.PASSWORD)


def _note_name(session: Session, name: str) -> None:
    """Enter whom a login is for; a name that nobody has is left out, since people type passwords there too."""
    try:
        audit.note("user", accounts.find_user(session, name).id, name=name)
    except NotFoundError:
        audit.note("user", name="(unknown)")


def _show_again(request: Request, next_page: str, name: str, *, error: Message, status: HTTPStatus) -> Response:
    page = LoginPage(next=next_page, has_password=True, name=name, error=error)
    return render(request, "login/login.html", page, status)


@router.get("/login/{code}", name="login.link")
def show_link(request: Request, session: ReadSession, code: str, next: Next = "") -> Response:  # noqa: A002
    """Show the button of a one-time link, or say that the link is used up."""
    link = accounts.find_credential(session, CredentialKind.LINK, code)
    ends_at = link.expires_at if link is not None else None
    page = LinkPage(next=next, code=code, is_usable=accounts.is_link_usable(session, code), ends_at=ends_at)
    return render(request, "login/link.html", page, HTTPStatus.OK if page.is_usable else HTTPStatus.GONE)


@router.post("/login/{code}", name="login.use_link")
def log_in_by_link(request: Request, session: WriteSession, code: str, *, next: Address = "") -> Response:  # noqa: A002
    """Use a one-time link up and let its user in."""
    user = accounts.use_login_link(session, code)
    if user is None:
        return render(request, "login/link.html", LinkPage(next=next, code=code, is_usable=False), HTTPStatus.GONE)
    return let_in(request, session, user, next or ("" if _needs_no_password(user) else FIRST_PAGE), how=Means.LINK)


def _needs_no_password(user: User) -> bool:
    """Whether a user comes in again anyhow: by a password, a provider, or the links of this machine's terminal."""
    return bool(user.password_hash or user.subject) or user.name == accounts.FIRST_ADMIN


@router.post("/logout", name="login.out")
def log_out(request: Request, session: WriteSession) -> Response:
    """End the browser session."""
    accounts.log_out(session, request.state.user)
    reply = RedirectResponse("/login", status_code=HTTPStatus.SEE_OTHER)
    reply.delete_cookie(cookie_name(request), secure=settings().secure_cookies, httponly=True, samesite="lax")
    return reply


def let_in(request: Request, session: Session, user: User, next_page: str, *, how: Means) -> Response:
    """Log a user in with a new secret, end the login that the browser had, and go on."""
    before = request.state.user
    if before is not None and before.kind is CredentialKind.SESSION:
        accounts.log_out(session, before)
    agent = request.headers.get("user-agent", "")
    secret = accounts.log_in(
        session, user, lifetime=login_lifetime(), how=how, address=address_of(request), agent=agent
    )
    audit.note("user", user.id, name=user.name)
    audit.note_user(user, how)
    reply = go_on(next_page)
    send_cookie(request, reply, secret)
    return reply


def go_on(next_page: str) -> RedirectResponse:
    """Go to where somebody wanted to, unless that is elsewhere."""
    path = path_on_this_server(next_page)
    return RedirectResponse(HOME if path == "/" else path, status_code=HTTPStatus.SEE_OTHER)
