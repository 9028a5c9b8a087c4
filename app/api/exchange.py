"""
What every request to the API and every answer of it have in common, in one place.

A body must be JSON, but for uploads. What is read has a tag of its content (`ETag`), and who names
that tag is told that nothing has changed (304). An answer that the caller does not accept is 406.
"""

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import FastAPI, Header, Request
from pydantic import BaseModel
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import api_error
from app.domain.errors import AppError, NotAcceptableError, PreconditionFailedError, UnsupportedMediaError
from app.domain.messages import message
from app.web.body_limits import UPLOAD_PATHS
from app.web.tags import is_named, tag_of

PREFIX = "/api/"
TAGGED = ("application/json", "text/")
NO_PART = {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}  # of a file, as plain text
KEPT_AT_304 = ("cache-control", "content-location", "date", "etag", "expires", "vary")

IfMatch = Annotated[
    str, Header(max_length=1_000, description="The `ETag` that you read; 412 where the thing has changed since.")
]


Methods = Callable[[], Sequence[tuple[re.Pattern[str], frozenset[str]]]]


def install(app: FastAPI, *, methods: Methods) -> None:
    """
    Put it before the routes, behind the door.

    Args:
        methods: returns what each path of the API takes.
    """
    app.add_middleware(Exchange, methods=methods)


class Exchange:
    """Check what comes to the API, and tag what goes out."""

    def __init__(self, app: ASGIApp, *, methods: Methods) -> None:
        """Wrap an ASGI application."""
        self.app, self.methods = app, methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; what is not of the API is left as it is."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        try:
            self._check_method(request)
            check_media(request)
        except (HTTPException, UnsupportedMediaError) as error:
            await api_error(request, error)(scope, receive, send)
            return
        is_read = request.method in {"GET", "HEAD"}
        await self.app(scope, receive, _Answer(request, receive, send) if is_read else send)

    def _check_method(self, request: Request) -> None:
        """Refuse a method that the path has not, and say which it has: a router would name those of one route alone."""
        known = (methods for path, methods in self.methods() if path.fullmatch(request.url.path))
        if request.method not in (methods := next(known, frozenset({request.method}))):
            raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": ", ".join(sorted(methods))})


def check_media(request: Request) -> None:
    """Refuse a body that is no JSON, where it is no upload."""
    if request.method not in {"POST", "PUT", "PATCH"} or request.url.path in UPLOAD_PATHS:
        return
    headers = request.headers
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if has_body and not _is_json(_media_type(headers.get("content-type", ""))):
        raise UnsupportedMediaError(message("Send JSON, and say so: Content-Type: application/json."))


def _media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def _is_json(media: str) -> bool:
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))


# ── What goes out ──────────────────────────────────────────────────────────


class _Answer:
    """Passes an answer on: as it comes, or with its tag, or as the 304 or the 406 that it is."""

    def __init__(self, request: Request, receive: Receive, send: Send) -> None:
        self.request, self.receive, self.send = request, receive, send
        self.start: Message = {}
        self.body: list[bytes] | None = None
        self.is_answered = False

    async def __call__(self, message: Message) -> None:
        if self.is_answered:
            return  # the rest of a body that nobody wants
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif self.body is None:
            await self.send(message)
        else:
            self.body.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._end(b"".join(self.body))

    async def _begin(self, start: Message) -> None:
        self.start, headers = start, MutableHeaders(scope=start)
        media, tag = _media_type(headers.get("content-type", "")), headers.get("etag", "")
        if start["status"] in NO_PART:
            await self._instead(HTTPException(start["status"]))
        elif start["status"] != HTTPStatus.OK:
            await self.send(start)
        elif not is_accepted(media, self.request.headers.get("accept", "")):
            await self._instead(NotAcceptableError(message("This comes as {media}. Accept that.", media=media)))
        elif tag and self._is_known(tag):
            await self._unchanged(headers)
        elif not tag and media.startswith(TAGGED) and "content-length" in headers:
            self.body = []
        else:
            await self.send(start)

    async def _end(self, body: bytes) -> None:
        headers = MutableHeaders(scope=self.start)
        headers["etag"] = tag_of(body)
        if self._is_known(headers["etag"]):
            await self._unchanged(headers)
            return
        await self.send(self.start)
        await self.send({"type": "http.response.body", "body": body})

    def _is_known(self, tag: str) -> bool:
        return is_named(tag, self.request.headers.get("if-none-match", ""))

    async def _unchanged(self, headers: Headers) -> None:
        self.is_answered = True
        kept = [(name.encode(), headers[name].encode()) for name in KEPT_AT_304 if name in headers]
        await self.send({"type": "http.response.start", "status": 304, "headers": kept})
        await self.send({"type": "http.response.body", "body": b""})

    async def _instead(self, error: AppError | HTTPException) -> None:
        self.is_answered = True
        await api_error(self.request, error)(self.request.scope, self.receive, self.send)


def is_accepted(media: str, accept: str) -> bool:
    """Whether a header `Accept` takes a media type; one that says nothing takes all."""
    if not accept.strip() or not media:
        return True
    kind = media.partition("/")[0]
    taken = {_media_type(each) for each in accept.split(",") if not _is_refused(each)}
    return bool(taken & {media, f"{kind}/*", "*/*", "*"})


_REFUSED = re.compile(r";\s*q\s*=\s*0(\.0*)?\s*$", re.IGNORECASE)


def _is_refused(choice: str) -> bool:
    return _REFUSED.search(choice) is not None


# ── Tags ───────────────────────────────────────────────────────────────────


def check_match(if_match: str, current: BaseModel) -> None:
    """
    Refuse a change of what is no longer as the caller saw it.

    Args:
        if_match: the caller's tag, or several.
        current: what `GET` answers at this moment, in the unit of work that makes the change.

    Raises:
        PreconditionFailedError: the caller names another tag.
    """
    if not is_named(tag_of(current.model_dump_json().encode()), if_match):
        raise PreconditionFailedError(
            message("This has changed since you read it. Read it again, then decide whether to change it still.")
        )
