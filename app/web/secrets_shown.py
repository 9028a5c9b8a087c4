"""Secrets that a page or an answer shows once: no cache keeps them, and where a link of them leads."""

from fastapi import Request
from fastapi.responses import Response

from app.config import settings


def shown_once(reply: Response) -> Response:
    """Keep an answer that holds a secret out of every cache, the browser's own too."""
    reply.headers["Cache-Control"] = "no-store"
    return reply


def public_address(request: Request) -> str:
    """Return where others reach this server: the address of the settings, or the one that its caller came by."""
    return settings().url.rstrip("/") or origin_of(request)


def origin_of(request: Request) -> str:
    """Return this server's address as its caller knows it: the host is an allowed one, or the door had refused it."""
    scheme = "https" if settings().secure_cookies else request.url.scheme
    return f"{scheme}://{request.headers['host']}"
