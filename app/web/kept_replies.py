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
import time
from asyncio import Lock
from collections import OrderedDict
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache, cached_property
from http import HTTPStatus
from math import inf
from typing import NamedTuple, Self
from weakref import WeakValueDictionary

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config import settings
from app.domain import db
from app.domain.errors import TooManyError
from app.domain.reads import DataVersion, Reads, noting
from app.web.i18n import language
from app.web.limits import requests
from app.web.tags import is_named
from app.web.workers import known_workers, shown_facts

LINE, LOGIN = "/workers", "/login"
LISTED = re.compile(rf"{LINE}|{LOGIN}|/runs/\d+/metrics\.json|/api/v1/runs(/\d+(/(checkpoints|metrics))?)?")
LONGEST_BYTES = 1 << 20
MOST_BYTES = 32 << 20
MOST_REPLIES = 1_000  # the statements that an answer was made of take room, too
LONGEST_KEY = 1_000  # characters of what a request may differ in
LINE_SECONDS = 10.0  # who works is not in the database, so nothing there says that it has changed
LEAST_COMPRESSED = 1_000  # bytes
LOOKING_THREADS = 4  # of their own: whoever asks for very much must not take the threads of all others


class _Key(NamedTuple):
    """What answers may differ by."""

    path: str
    query: str
    accept: str
    language: str
    is_of_htmx: bool
    is_part: bool
    line: tuple[tuple[str, str, int], ...] | None
    """Who works, where the answer says so."""


@dataclass
class KeptReply:
    """One answer as it was made."""

    headers: Headers
    body: bytes
    reads: Reads
    version: DataVersion | None
    """Of the database that it is known to be true of; None where that did not say."""
    made_at: float = field(default_factory=time.monotonic)

    @cached_property
    def gzip(self) -> bytes:
        """The body, compressed."""
        return gzip.compress(self.body, compresslevel=5, mtime=0)

    async def is_true(self, version: DataVersion, *, asked_by: int | None) -> bool:
        """
        Whether it would be the same in the database's state of this moment.

        Args:
            asked_by: the user for whom it is looked up: one has so many requests at a time, and this is work like any.
        """
        if self.version != version:
            try:
                with requests.taken(asked_by, most=settings().requests_per_user) if asked_by else nullcontext():
                    is_same = await to_thread.run_sync(_hold, self.reads, version, limiter=_looking())
            except TooManyError:
                return False
            except _failures():
                return False
            if not is_same:
                return False
            self.version = version
        return True

    async def answer(self, request: Request, send: Send) -> None:
        """Send it, or only say that what the caller has is still true."""
        headers, body, status = self.headers.mutablecopy(), self.body, HTTPStatus.OK
        headers.add_vary_header("Accept-Encoding")
        if (tag := headers.get("etag")) and is_named(tag, request.headers.get("if-none-match", "")):
            body, status = b"", HTTPStatus.NOT_MODIFIED
            del headers["content-length"], headers["content-type"]
        elif len(body) >= LEAST_COMPRESSED and "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["content-encoding"] = self.gzip, "gzip"
            headers["content-length"] = str(len(body))
        await send({"type": "http.response.start", "status": status, "headers": headers.raw})
        await send({"type": "http.response.body", "body": body})


@dataclass
class KeptReplies:
    """Send what is kept while it is true, and keep what is made."""

    app: ASGIApp
    replies: OrderedDict[_Key, KeptReply] = field(default_factory=OrderedDict)
    makers: WeakValueDictionary[_Key, Lock] = field(default_factory=WeakValueDictionary)
    size: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; one for what is not on the list is passed on."""
        request = Request(scope) if scope["type"] == "http" else None
        key = _key(request) if request is not None else None
        if request is None or key is None:
            await self.app(scope, receive, send)
            return
        caller = request.state.user
        async with _Turn(self.makers.setdefault(key, Lock())) as turn:
            reply, version = self._find(key), await _version()
            user_id = caller.user_id if caller else None
            if reply is None or version is None or not await reply.is_true(version, asked_by=user_id):
                held = _Held(send, turn)
                reply = await self._make(request, receive, held, key=key, version=version)
        if reply is not None:
            await reply.answer(request, send)

    def _find(self, key: _Key) -> KeptReply | None:
        reply = self.replies.get(key)
        if reply is not None and key.line is not None and time.monotonic() - reply.made_at > LINE_SECONDS:
            return None
        return reply

    async def _make(
        self, request: Request, receive: Receive, held: "_Held", *, key: _Key, version: DataVersion | None
    ) -> KeptReply | None:
        """Let the app answer, and keep that if it can be; None where it is sent already."""
        whole = [(name, value) for name, value in request.scope["headers"] if name != b"if-none-match"]
        with noting() as reads:
            await self.app({**request.scope, "headers": whole}, receive, held)
        if held.start is None:
            self._drop(key)
            return None
        reply = KeptReply(Headers(raw=held.start["headers"]), held.body, reads, version)
        is_of_rows = reads.is_plain and reads.good_for == inf and not reads.files
        if version is not None and is_of_rows and _key(request) == key and await _is_sealed(reads, version):
            self._keep(key, reply)
        return reply

    def _keep(self, key: _Key, reply: KeptReply) -> None:
        self._drop(key)
        self.replies[key] = reply
        self.size += _size(reply)
        while self.size > MOST_BYTES or len(self.replies) > MOST_REPLIES:
            self._drop(next(iter(self.replies)))

    def _drop(self, key: _Key) -> None:
        if (reply := self.replies.pop(key, None)) is not None:
            self.size -= _size(reply)


def _size(reply: KeptReply) -> int:
    return 2 * len(reply.body) + LONGEST_KEY  # as it is and, at most as long, compressed


class _Turn:
    """A lock that is given back once, at the end or before."""

    def __init__(self, lock: Lock) -> None:
        self.lock, self.is_mine = lock, False

    async def __aenter__(self) -> Self:
        await self.lock.acquire()
        self.is_mine = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        if self.is_mine:
            self.is_mine = False
            self.lock.release()


class _Held:
    """
    Holds back a short and whole answer that is fine; passes on any other as it comes.

    Before anything is passed on the turn is given back: a client that does not read must keep nobody waiting.
    """

    def __init__(self, send: Send, turn: _Turn) -> None:
        self.send, self.turn, self.body = send, turn, b""
        self.start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _may_be_held(message):
            self.start = message
        elif self.start is not None:
            self.body += message.get("body", b"")
        else:
            self.turn.give_back()
            await self.send(message)


def _may_be_held(start: Message) -> bool:
    headers = MutableHeaders(scope=start)
    length = headers.get("content-length", "")
    is_short = length.isdigit() and int(length) <= LONGEST_BYTES
    return start["status"] == HTTPStatus.OK and is_short and "set-cookie" not in headers


def _key(request: Request) -> _Key | None:
    """Return what answers may differ by; None for a request whose answer is not kept."""
    path, query, accept = request.url.path, request.url.query, request.headers.get("accept", "")
    if request.method != "GET" or "ndjson" in accept or LISTED.fullmatch(path) is None:
        return None
    if len(query) + len(accept) > LONGEST_KEY:
        return None
    if path == LOGIN and (query or request.state.user is not None):  # who is in already is sent on
        return None
    workers = known_workers() if path == LINE else []
    if workers is None:
        return None
    line = shown_facts(workers) if path == LINE else None
    htmx = request.headers.get("hx-request") == "true", request.headers.get("hx-request-type") == "partial"
    return _Key(path, query, accept, language(), *htmx, line)


@cache
def _looking() -> CapacityLimiter:
    return CapacityLimiter(LOOKING_THREADS)


async def _version() -> DataVersion | None:
    """Ask where nothing waits for it: of SQLite at once, of a server in a thread; None where that does not answer."""
    try:
        return db.data_version() if db.is_local() else await run_in_threadpool(db.data_version)
    except _failures():  # the app asks too, and has the words for it
        return None


async def _is_sealed(reads: Reads, version: DataVersion) -> bool:
    """Seal what an answer was made of; False where it may be of two states, or its seal of another one."""
    try:
        await to_thread.run_sync(_seal, reads, limiter=_looking())
    except _failures():
        return False
    return await _version() == version


def _failures() -> tuple[type[Exception], ...]:
    """Return what says that the database fails: some of it comes from the driver as it is."""
    return SQLAlchemyError, db.engine().dialect.loaded_dbapi.Error


def _seal(reads: Reads) -> None:
    with db.reading_one_state() as session:
        reads.seal(session)


def _hold(reads: Reads, version: DataVersion) -> bool:
    with db.reading_one_state() as session:
        return reads.hold(session, version)
