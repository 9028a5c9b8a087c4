"""
How large a request may be: small, but for the written list of paths that stream to the disk. And how slow.

A body that says its size is refused at the door; one that does not is cut off while it is read.
"""

import asyncio
import time
from http import HTTPStatus

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config import settings
from app.domain.errors import TooLargeError
from app.domain.messages import message

MAX_BODY_BYTES = 32 << 20  # the largest recipe there can be, and a file of the form, fit
UPLOAD_PATHS = frozenset({"/api/v1/datasets", "/datasets"})
"""Where a POST may be as large as an upload. Whatever is not here may not."""
PIECE_SECONDS = 30.0  # the next piece of a body comes within so long, or the request is given up
LEAST_BYTES_A_SECOND = 1_024.0  # on the whole, after the first PIECE_SECONDS; a modem's eighth
FORM_BYTES = 1 << 20  # what a form may hold around a file


def most_body_bytes(method: str, path: str) -> int:
    """Return how large the body of a request may be."""
    if method == "POST" and path in UPLOAD_PATHS:
        return settings().largest_upload_bytes + FORM_BYTES
    return MAX_BODY_BYTES


def check_size(request: Request) -> None:
    """Refuse a body that says it is too large."""
    size = request.headers.get("content-length", "")
    most = most_body_bytes(request.method, request.url.path)
    if size and not (size.isdecimal() and int(size) <= most):
        raise TooLargeError(message("This is too large: {most} MiB may be sent at once.", most=most >> 20))


class BodyLimit:
    """Cut a body off that is larger than its path takes."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an ASGI application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, its body limited."""
        most = most_body_bytes(scope.get("method", ""), scope.get("path", ""))
        await RequestBodyLimitMiddleware(self.app, max_body_size=most)(scope, _Impatient(receive), send)


class _Impatient:
    """
    Receives a body and gives up one that stops coming, or trickles.

    Only the time in which Temper waits for the client counts. Once the body is whole, waits for the client's end
    for ever.
    """

    def __init__(self, receive: Receive) -> None:
        self.receive, self.is_whole, self.received, self.waited = receive, False, 0, 0.0

    async def __call__(self) -> Message:
        if self.is_whole:
            return await self.receive()
        began = time.monotonic()
        try:
            message = await asyncio.wait_for(self.receive(), self._patience())
        except TimeoutError as error:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, headers={"Connection": "close"}) from error
        self.waited += time.monotonic() - began
        self.received += len(message.get("body", b""))
        self.is_whole = not message.get("more_body", False)
        return message

    def _patience(self) -> float:
        """Return how many seconds the next piece may take."""
        return min(PIECE_SECONDS, PIECE_SECONDS + self.received / LEAST_BYTES_A_SECOND - self.waited)
