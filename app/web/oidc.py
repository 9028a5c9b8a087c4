"""
Logging in by an OpenID provider: out to it, and back.

Begun by a link and not by a form: the content security policy lets forms go to this server only.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from app.config import settings
from app.domain import audit, db
from app.domain.audit_models import Means
from app.domain.errors import AppError, ForbiddenError
from app.domain.messages import Message, message
from app.web.addresses import path_on_this_server
from app.web.login import Next, let_in
from app.web.render import render

router = APIRouter(prefix="/login/oidc", include_in_schema=False)

COOKIE = "temper_oidc"
CALLBACK = "/login/oidc/callback"
MOST_CODE = 4_000  # characters of what comes back in the address


@dataclass(frozen=True)
class ProviderPage:
    """Why a login by the provider did not work, and the other ways in."""

    error: Message


@router.get("", name="login.oidc_begin")
def begin_login(request: Request, next: Next = "") -> Response:  # noqa: A002 - the word in the URL
    """Send the browser to the provider."""
    from app.domain import oidc  # noqa: PLC0415 - loaded where there is a provider

    if not settings().oidc_issuer:
        return RedirectResponse("/login", status_code=HTTPStatus.SEE_OTHER)
    try:
        address, cookie = oidc.begin(redirect_uri=_callback(request), next_page=path_on_this_server(next))
    except AppError as error:
        return _explain(request, error)
    reply = RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)
    reply.set_cookie(_cookie_name(), cookie, max_age=oidc.ATTEMPT_SECONDS, secure=settings().secure_cookies,
                     httponly=True, samesite="lax")  # fmt: skip
    return reply


@router.get("/callback", name="login.oidc")
def finish_login(
    request: Request,
    code: Annotated[str, Query(max_length=MOST_CODE)] = "",
    state: Annotated[str, Query(max_length=MOST_CODE)] = "",
    error: Annotated[str, Query(max_length=MOST_CODE)] = "",
) -> Response:
    """Let in whom the provider vouches for; a login that was not begun here, or is not believed, gets no further."""
    from app.domain import oidc  # noqa: PLC0415 - loaded where there is a provider
    from app.domain.oidc_users import user_of  # noqa: PLC0415

    if not settings().oidc_issuer:
        return RedirectResponse("/login", status_code=HTTPStatus.SEE_OTHER)
    audit.note("user")
    try:
        attempt = oidc.read_attempt(request.cookies.get(_cookie_name(), ""), state=state)
        if error or not code:
            raise ForbiddenError(message("The provider did not let you in, or you turned back there."))
        identity = oidc.finish(attempt, code=code, redirect_uri=_callback(request))
        with db.unit_of_work() as session:
            user = user_of(session, identity)
            reply = let_in(request, session, user, attempt.next, how=Means.OIDC)
    except AppError as refused:
        return _forget(_explain(request, refused))
    return _forget(reply)


def _callback(request: Request) -> str:
    """Return our own address to come back to: the host is one of the allowed ones, or the door had refused it."""
    scheme = "https" if settings().secure_cookies else request.url.scheme
    return f"{scheme}://{request.headers['host']}{CALLBACK}"


def _cookie_name() -> str:
    return f"__Host-{COOKIE}" if settings().secure_cookies else COOKIE


def _explain(request: Request, error: AppError) -> Response:
    audit.note_reason(str(error))
    return render(request, "login/provider.html", ProviderPage(error.message), error.status_code)


def _forget(reply: Response) -> Response:
    """Take the cookie away: a login comes back once."""
    reply.delete_cookie(_cookie_name(), secure=settings().secure_cookies, httponly=True, samesite="lax")
    return reply
