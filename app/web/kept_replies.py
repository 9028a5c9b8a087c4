"""
Small answers that are kept for as long as they would be the same: runs of the API, curves, the workers' line.

Unlike a page (`kept_pages`) such an answer is never late. Each time, the database is asked whether anything was
committed since; if so, the statements that the answer was made of are repeated, and it is sent again only where they
return what they returned. Only what is made of rows alone is on the list, and nothing that is a reader's own.

One request at a time makes an answer; others that want it meanwhile wait. Kept compressed, too; the ones least asked
for are forgotten first.
"""

import gzip
import re
from asyncio import Lock
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from math import inf
from weakref import WeakValueDictionary

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain import db
from app.domain.reads import DataVersion, Reads, noting
from app.web.i18n import language
from app.web.workers import known_workers

LINE, LOGIN = "/workers", "/login"
LISTED = re.compile(rf"{LINE}|{LOGIN}|/runs/\d+/metrics\.json|/api/v1/runs(/\d+(/(checkpoints|metrics))?)?")
LONGEST_BYTES = 1 << 18
MOST_BYTES = 16 << 20
MOST_REPLIES = 1_000  # the statements that an answer was made of take room, too
LEAST_COMPRESSED = 1_000  # bytes
ASKED_BY = ("accept", "hx-request-type", "hx-request")


@dataclass
class KeptReply:
    """One answer as it was made."""

    headers: Headers
    body: bytes
    reads: Reads
    version: DataVersion
    """Of the database that it is known to be true of."""

    @cached_property
    def gzip(self) -> bytes:
        """The body, compressed."""
        return gzip.compress(self.body, compresslevel=5, mtime=0)

    async def is_true(self, version: DataVersion) -> bool:
        """Whether it would be the same in the database's state of this moment."""
        if self.version != version:
            if not await run_in_threadpool(_hold, self.reads, version):
                return False
            self.version = version
        return True

    async def answer(self, request: Request, send: Send) -> None:
        """Send it, or only say that what the caller has is still true."""
        headers, body, status = self.headers.mutablecopy(), self.body, HTTPStatus.OK
        headers.add_vary_header("Accept-Encoding")
        if (tag := headers.get("etag")) and _is_named(tag, request.headers.get("if-none-match", "")):
            body, status = b"", HTTPStatus.NOT_MODIFIED
            del headers["content-length"], headers["content-type"]
        elif len(body) >= LEAST_COMPRESSED and "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["content-encoding"] = self.gzip, "gzip"
            headers["content-length"] = str(len(body))
        await send({"type": "http.response.start", "status": status, "headers": headers.raw})
        await send({"type": "http.response.body", "body": body})


def _is_named(tag: str, header: str) -> bool:
    return bool({each.strip().removeprefix("W/") for each in header.split(",")} & {tag.removeprefix("W/"), "*"})


@dataclass
class KeptReplies:
    """Send what is kept while it is true, and keep what is made."""

    app: ASGIApp
    replies: OrderedDict[Hashable, KeptReply] = field(default_factory=OrderedDict)
    makers: WeakValueDictionary[Hashable, Lock] = field(default_factory=WeakValueDictionary)
    size: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; one for what is not on the list is passed on."""
        request = Request(scope) if scope["type"] == "http" else None
        if request is None or not is_listed(request):
            await self.app(scope, receive, send)
            return
        key = _key(request)
        async with self.makers.setdefault(key, Lock()):
            reply = self.replies.get(key)
            version = await _version()
            if reply is None or not await reply.is_true(version):
                reply = await self._make(request, receive, send, key=key, version=version)
        if reply is not None:
            await reply.answer(request, send)

    async def _make(
        self, request: Request, receive: Receive, send: Send, *, key: Hashable, version: DataVersion
    ) -> KeptReply | None:
        """Let the app answer, and keep that if it can be; None where it is sent already."""
        held = _Held(send)
        with noting() as reads:
            await self.app(request.scope, receive, held)
        if held.start is None:
            self._drop(key)
            return None
        reply = KeptReply(Headers(raw=held.start["headers"]), held.body, reads, version)
        if reads.is_plain and reads.good_for == inf and not reads.files:
            await run_in_threadpool(_seal, reads)
            if await _version() == version:  # else it may be of two states, or its seal of another one
                self._keep(key, reply)
        return reply

    def _keep(self, key: Hashable, reply: KeptReply) -> None:
        self._drop(key)
        self.replies[key] = reply
        self.size += len(reply.body)
        while self.size > MOST_BYTES or len(self.replies) > MOST_REPLIES:
            self._drop(next(iter(self.replies)))

    def _drop(self, key: Hashable) -> None:
        if (reply := self.replies.pop(key, None)) is not None:
            self.size -= len(reply.body)


class _Held:
    """Holds back a short and whole answer that is fine; passes on any other as it comes."""

    def __init__(self, send: Send) -> None:
        self.send, self.body = send, b""
        self.start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _may_be_held(message):
            self.start = message
        elif self.start is not None:
            self.body += message.get("body", b"")
        else:
            await self.send(message)


def _may_be_held(start: Message) -> bool:
    headers = MutableHeaders(scope=start)
    length = headers.get("content-length", "")
    is_short = length.isdigit() and int(length) <= LONGEST_BYTES
    return start["status"] == HTTPStatus.OK and is_short and "set-cookie" not in headers


def is_listed(request: Request) -> bool:
    """Whether the answer to a request is one that is kept."""
    path, accept = request.url.path, request.headers.get("accept", "")
    if request.method != "GET" or "ndjson" in accept or LISTED.fullmatch(path) is None:
        return False
    if path == LINE:
        return known_workers() is not None
    return path != LOGIN or request.state.user is None  # who is in already is sent on


def _key(request: Request) -> Hashable:
    asked = tuple(request.headers.get(name) for name in ASKED_BY)
    workers = known_workers() or () if request.url.path == LINE else ()
    line = tuple((worker.name, worker.device, worker.slots) for worker in workers)
    return request.url.path, request.url.query, asked, language(), line


async def _version() -> DataVersion:
    """Ask where nothing waits for it: of SQLite at once, of a server in a thread."""
    return db.data_version() if db.is_local() else await run_in_threadpool(db.data_version)


def _seal(reads: Reads) -> None:
    with db.reading_one_state() as session:
        reads.seal(session)


def _hold(reads: Reads, version: DataVersion) -> bool:
    with db.reading_one_state() as session:
        return reads.hold(session, version)
