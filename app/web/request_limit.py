"""How many requests of one caller are answered at the same time: beyond that, 429."""

from fastapi import FastAPI, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.config import settings
from app.domain.accounts import Caller  # noqa: TC001 - named where a variable is typed
from app.domain.errors import TooManyError
from app.web import errors
from app.web.limits import requests

STREAM_END = "/events"  # streams have places of their own: they would take those of all other requests


class RequestLimit:
    """Let one caller have so many requests under way, and answer the next one with 429."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an ASGI application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless its caller has too many."""
        caller: Caller | None = scope.get("state", {}).get("user")
        if scope["type"] != "http" or caller is None or scope["path"].endswith(STREAM_END):
            await self.app(scope, receive, send)
            return
        try:
            with requests.taken(caller.user_id, most=settings().requests_per_user):
                await self.app(scope, receive, send)
        except TooManyError as error:  # of a place: whatever a route raises is answered further in
            await errors.app_error(Request(scope), error)(scope, receive, send)


def install(app: FastAPI) -> None:
    """Put the limit before every route."""
    app.add_middleware(RequestLimit)
