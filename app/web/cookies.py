"""The cookie of a login: its name, how long it lasts, and sending it."""

from datetime import timedelta

from fastapi import Request
from fastapi.responses import Response
from starlette.datastructures import MutableHeaders

from app.config import settings

COOKIE = "temper_session"


def cookie_name(request: Request) -> str:
    """Return the session cookie's name: with the port, since browsers share cookies among ports."""
    port = request.url.port
    name = f"{COOKIE}_{port}" if port else COOKIE
    return f"__Host-{name}" if settings().secure_cookies else name


def login_lifetime() -> timedelta:
    """Return how long a login lasts after its last use."""
    return timedelta(days=settings().session_days)


def send_cookie(request: Request, reply: Response, secret: str) -> None:
    """Let a browser keep a login's secret for as long as the login lasts."""
    reply.set_cookie(
        cookie_name(request),
        secret,
        max_age=int(login_lifetime().total_seconds()),
        httponly=True,
        samesite="lax",
        secure=settings().secure_cookies,
    )


def send_again(request: Request, headers: MutableHeaders) -> None:
    """Let a browser keep the login's secret anew; an answer that sets this cookie itself is left alone."""
    name = cookie_name(request)
    if not any(value.startswith(f"{name}=") for value in headers.getlist("set-cookie")):
        renewed = Response()
        send_cookie(request, renewed, request.cookies[name])
        headers.append("set-cookie", renewed.headers["set-cookie"])
