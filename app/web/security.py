"""
The door: who may come in, and from where.

One ASGI middleware looks at every request before any route does. What is not on the written
list below needs a caller; what changes something needs a role and a request of this very site.
It passes answers on as they come, so that streams are not held up.
"""

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from sqlalchemy.exc import OperationalError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import api_error, is_api
from app.config import settings
from app.domain import audit
from app.domain.accounts import Caller
from app.domain.audit import Trail
from app.domain.errors import AppError, ForbiddenError, UnauthorizedError, UnavailableError
from app.domain.messages import message
from app.domain.models import Role
from app.web import audit_trail, errors, kept_files, kept_pages
from app.web.addresses import split_address
from app.web.body_limits import BodyLimit, check_size
from app.web.callers import SAFE_METHODS, STATIC_PREFIX, find_caller, is_known, why_unknown
from app.web.cookies import cookie_name, send_again
from app.web.hardening import harden
from app.web.kept_replies import KeptReplies
from app.web.login import carried
from app.web.slots import Slots

# Everything that answers without a login. Whatever is not here does not.
PUBLIC_PATHS = frozenset({"/login", "/language", "/healthz", "/readyz", "/favicon.ico"})
PUBLIC_PREFIXES = ("/login/", STATIC_PREFIX)

ROLES = (  # of requests that change something: the first path that fits counts
    ("/logout", Role.VIEWER),
    ("/answers", Role.VIEWER),  # stars, notes and votes are a reader's own, and change no run
    ("/compare/blind", Role.VIEWER),
    ("/api/v1/answers", Role.VIEWER),
    ("/api/v1/votes", Role.VIEWER),
    ("/account", Role.VIEWER),  # a user's own password, logins and tokens
    ("/api/v1/account", Role.VIEWER),
    ("/api/v1/tokens", Role.VIEWER),
    ("/users", Role.ADMIN),
    ("/api/v1/users", Role.ADMIN),
    ("/models", Role.ADMIN),
    ("/api/v1/models", Role.ADMIN),
    ("/api/v1/imports", Role.ADMIN),  # looks at folders of this machine
    ("/verdicts", Role.ADMIN),  # they change what everybody is told of every run
    ("/api/v1/verdicts", Role.ADMIN),
    ("/webhooks", Role.ADMIN),
    ("/api/v1/webhooks", Role.ADMIN),
    ("/", Role.RUNNER),
)
READ_ROLES = {  # of requests that only look, where a reader may not: all others take a viewer
    "/models/proposal": Role.ADMIN,  # looks at folders of this machine
    "/models/review": Role.ADMIN,
    "/api/v1/models/review": Role.ADMIN,
    "/api/v1/model-proposal": Role.ADMIN,
    "/runs/new": Role.RUNNER,  # whatever is filled in there is asked for by POST
    "/sweeps/new": Role.RUNNER,
}
READ_ROLES_BELOW = (  # the same, of whole parts of the site
    ("/users", Role.ADMIN),
    ("/api/v1/users", Role.ADMIN),
    ("/audit", Role.ADMIN),
    ("/api/v1/audit", Role.ADMIN),
    ("/webhooks", Role.ADMIN),
    ("/api/v1/webhooks", Role.ADMIN),
)


def install(app: FastAPI) -> None:
    """Put the door before every route."""
    app.add_middleware(BodyLimit)
    app.add_middleware(Slots)
    app.add_middleware(KeptReplies)
    app.add_middleware(Door)


class _Hardened:
    """What sends an answer on as it comes, its request entered in the audit log and its head hardened."""

    def __init__(self, send: Send, request: Request, trail: Trail) -> None:
        self.send, self.request, self.trail = send, request, trail
        self.has_begun, self.is_down = False, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        await self.send(message)
        if self.is_down and message["type"] == "http.response.body" and not message.get("more_body", False):
            await self._enter(HTTPStatus.SERVICE_UNAVAILABLE)

    async def _begin(self, message: Message) -> None:
        self.has_begun = True
        # What does not answer may be the database: whoever has waited for it once does not wait for the entry too.
        self.is_down = message["status"] == HTTPStatus.SERVICE_UNAVAILABLE
        if not self.is_down:
            await self._enter(message["status"])
        headers = MutableHeaders(scope=message)
        harden(headers)
        if getattr(self.request.state, "is_login_renewed", False):
            send_again(self.request, headers)

    async def _enter(self, status: int) -> None:
        if self.request.method not in SAFE_METHODS or self.trail.is_noted:
            await run_in_threadpool(audit_trail.enter, self.request, self.trail, status)


class Door:
    """Refuse what may not come in; say who is calling in `request.state.user` for what may."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an ASGI application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or answer it here."""
        if scope["type"] != "http":
            await self._pass_lifespan(scope, receive, send)
            return
        request = Request(scope, receive)
        with audit.following() as trail:
            hardened = _Hardened(send, request, trail)
            refusal = _wrong_host(request)
            if refusal is None:  # most have nothing to look up, and threads are few
                refusal = _refusal(request) if is_known(request) else await run_in_threadpool(_refusal, request)
            answer = refusal or kept_pages.at_once(request) or kept_files.at_once(request)
            if answer is None:
                await self._pass(request, receive, hardened)
            else:
                await answer(scope, receive, hardened)

    async def _pass(self, request: Request, receive: Receive, send: _Hardened) -> None:
        try:
            await self.app(request.scope, receive, send)
        except Exception as error:
            # Starlette would answer outside of this middleware, without the headers.
            if not send.has_begun:
                explain = request.app.exception_handlers[Exception]
                await explain(request, error)(request.scope, receive, send)
            raise

    async def _pass_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        else:  # Temper speaks no web sockets
            await send({"type": "websocket.close", "code": 1008})


def _refusal(request: Request) -> Response | None:
    """Return the answer to a request that may not come in, None for one that may."""
    try:
        request.state.user = find_caller(request)  # first: a refusal is entered in the audit log with its caller
        check_origin(request)
        check_size(request)
        if is_public(request.url.path):
            return None
        check_role(request, request.state.user)
    except UnauthorizedError as error:
        return _ask_to_log_in(request, error)
    except AppError as error:
        return _explain(request, error)
    except OperationalError:
        return _explain(request, UnavailableError(errors.NO_DATABASE))
    return None


# ── Where a request comes from ─────────────────────────────────────────────


def _wrong_host(request: Request) -> Response | None:
    """Refuse a name that is not this server's: a page elsewhere can make a browser's DNS point here."""
    if _host_name(request.headers.get("host", "")) in settings().allowed_hosts:
        return None
    text = "This name is not in TEMPER_ALLOWED_HOSTS."
    audit.note_reason(text)
    return PlainTextResponse(text, status_code=HTTPStatus.BAD_REQUEST)


def _host_name(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()


def check_origin(request: Request) -> None:
    """
    Refuse a change that another site asks for with this reader's cookie.

    A browser says where a request comes from in `Sec-Fetch-Site`, older ones in `Origin`. Scripts
    say neither; they have no cookie either, so only a request with a cookie must say it.

    Raises:
        ForbiddenError: another site asks, or nobody says who does.
    """
    if request.method in SAFE_METHODS:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        is_ours = site == "same-origin"
    elif origin is not None:
        is_ours = split_address(origin).netloc.lower() == request.headers.get("host", "").lower()
    else:
        is_ours = cookie_name(request) not in request.cookies
    if not is_ours:
        raise ForbiddenError(message("This request comes from another site. Open Temper itself and try there."))


# ── Who is calling ─────────────────────────────────────────────────────────


def is_public(path: str) -> bool:
    """Whether a path answers without a login."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIXES)


def check_role(request: Request, caller: Caller | None) -> None:
    """
    Refuse what the caller may not do.

    Raises:
        UnauthorizedError: nobody known is calling.
        ForbiddenError: the caller's role does not include this.
    """
    if caller is None:
        raise UnauthorizedError(why_unknown(request))
    role = needed_role(request.method, request.url.path)
    if not caller.may(role):
        raise ForbiddenError(message("Your role, {role}, does not allow this; it takes {needed}.",
                                     role=caller.role, needed=role))  # fmt: skip


def needed_role(method: str, path: str) -> Role:
    """Return the least role that a request needs."""
    if method in SAFE_METHODS:
        return READ_ROLES.get(path) or _role_below(READ_ROLES_BELOW, path) or Role.VIEWER
    return _role_below(ROLES, path) or Role.ADMIN


def _role_below(roles: Sequence[tuple[str, Role]], path: str) -> Role | None:
    return next((role for start, role in roles if path == start or path.startswith(f"{start.rstrip('/')}/")), None)


# ── Answers at the door ────────────────────────────────────────────────────


def _ask_to_log_in(request: Request, error: UnauthorizedError) -> Response:
    audit.note_reason(str(error) if is_api(request) else "nobody known is calling")
    if is_api(request):
        reply = api_error(request, error)
        reply.headers["WWW-Authenticate"] = "Bearer"
        return reply
    headers = request.headers
    if headers.get("hx-request") == "true":
        page = split_address(headers.get("hx-current-url", ""))
        here = f"{page.path}?{page.query}" if page.query else page.path
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": _login_path(here)})
    if "text/event-stream" in headers.get("accept", ""):  # would read the login page as a broken stream
        return Response(status_code=HTTPStatus.UNAUTHORIZED)
    if request.method not in {"GET", "HEAD"}:
        return RedirectResponse("/login", status_code=HTTPStatus.SEE_OTHER)
    wanted = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    return RedirectResponse(_login_path(wanted), status_code=HTTPStatus.SEE_OTHER)


def _login_path(wanted: str) -> str:
    return "/login" if carried(wanted) in {"", "/"} else f"/login?next={quote(wanted, safe='/')}"


def _explain(request: Request, error: AppError) -> Response:
    audit.note_reason(str(error))
    if is_api(request):
        return api_error(request, error)
    return errors.answer(request, error.status_code, error.message)
