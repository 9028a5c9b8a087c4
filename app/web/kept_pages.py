"""
Pages that are kept for as long as nothing they show has changed.

A page is a function of its address, its reader, the language, the rows it reads, and the time. It is
made once and sent again while the database is as it was; after a commit it is sent again only if its
statements return what they returned (`app.domain.reads`). So no change is ever missed, whoever made it,
and a trainer that writes every second does not make everybody's pages anew. What a page says of the
time, such as `3 min ago`, is at most `LATE_SECONDS` late.

One thread makes a page while others that want the same one wait for it. Kept compressed, the ones
least asked for forgotten first. A browser that has a page already is told so in a few bytes (304).
"""

import gzip
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from threading import Lock

from fastapi import Request
from fastapi.responses import Response
from sqlmodel import Session

from app.domain import db
from app.domain.reads import DataVersion, Reads, noting
from app.web.i18n import language
from app.web.workers import live_workers

LATE_SECONDS = 10.0  # within its first minute an age is written by the second
LONGEST_SECONDS = 600.0
MOST_BYTES = 32 << 20  # compressed
MOST_PAGES = 1_000  # the statements that a page was made of take room, too
COMPRESSION = 5  # of zlib: half the time of 9 for 3 % more bytes
SENT_ALONG = ("content-type", "vary")


@dataclass
class KeptPage:
    """One page as it was made."""

    body: bytes
    """Compressed."""
    headers: dict[str, str]
    etag: str
    reads: Reads
    version: DataVersion
    """Of the database that it is known to be true of."""
    made_at: float

    def is_young(self) -> bool:
        """Whether what it says of the time still holds, and the files that it was made of."""
        good_for = min(max(self.reads.good_for, LATE_SECONDS), LONGEST_SECONDS)
        return time.monotonic() - self.made_at < good_for and self.reads.files_hold()

    def answer(self, request: Request) -> Response:
        """Send it, or only say that the browser's own copy is still true."""
        headers = self.headers | {"ETag": self.etag}
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(gzip.decompress(self.body), headers=headers)
        return Response(self.body, headers=headers | {"Content-Encoding": "gzip"})


@dataclass
class KeptPages:
    """The pages of this process."""

    lock: Lock = field(default_factory=Lock)
    pages: OrderedDict[Hashable, KeptPage] = field(default_factory=OrderedDict)
    size: int = 0
    makers: dict[Hashable, tuple[Lock, int]] = field(default_factory=dict)
    """A lock for each page that is being made, and how many hold it or wait for it."""

    def find(self, key: Hashable) -> KeptPage | None:
        """Return a page, and count it as asked for."""
        with self.lock:
            if key in self.pages:
                self.pages.move_to_end(key)
            return self.pages.get(key)

    def put(self, key: Hashable, page: KeptPage) -> None:
        """Keep a page; forget those that were least asked for where there is no room."""
        with self.lock:
            self._drop(key)
            self.pages[key] = page
            self.size += len(page.body)
            while self.size > MOST_BYTES or len(self.pages) > MOST_PAGES:
                self._drop(next(iter(self.pages)))

    def _drop(self, key: Hashable) -> None:
        if (page := self.pages.pop(key, None)) is not None:
            self.size -= len(page.body)

    @contextmanager
    def making(self, key: Hashable) -> Iterator[None]:
        """Let one thread at a time make a page."""
        with self.lock:
            maker, users = self.makers.get(key, (Lock(), 0))
            self.makers[key] = maker, users + 1
        try:
            with maker:
                yield
        finally:
            with self.lock:
                maker, users = self.makers.pop(key)
                if users > 1:
                    self.makers[key] = maker, users - 1


@cache
def kept_pages() -> KeptPages:
    """Return the pages of this process."""
    return KeptPages()


def kept(request: Request, make: Callable[[Session], Response]) -> Response:
    """
    Answer with a page: the one that is kept while it is true, else one made now.

    Args:
        make: reads what the page shows in the session it is given, and nothing of the request but its
            address, its reader, its language, and whether a part of the page is asked for.
    """
    pages, key = kept_pages(), _key(request)
    version = db.data_version()
    page = pages.find(key)
    if page is not None and page.version == version and page.is_young():
        return page.answer(request)
    with pages.making(key):
        version = db.data_version()  # while this thread waited, another may have made the page
        page = pages.find(key)
        if page is None or not page.is_young() or not _is_true(page, version):
            return _make(request, key, make)
        return page.answer(request)


def _is_true(page: KeptPage, version: DataVersion) -> bool:
    if page.version != version:
        with db.reading_one_state() as session:
            if not page.reads.hold(session):
                return False
        page.version = version
    return True


def _make(request: Request, key: Hashable, make: Callable[[Session], Response]) -> Response:
    version, now = db.data_version(), time.monotonic()
    with db.reading_one_state() as session:
        with noting() as reads:
            reply = make(session)
        if reply.status_code != HTTPStatus.OK or not reads.is_plain:
            return reply
        reads.seal(session)
    body = bytes(reply.body)
    headers = {name: reply.headers[name] for name in SENT_ALONG if name in reply.headers}
    headers["vary"] = ", ".join([*filter(None, [headers.get("vary")]), "Accept-Encoding"])
    etag = f'W/"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    page = KeptPage(gzip.compress(body, COMPRESSION), headers, etag, reads, version, now)
    kept_pages().put(key, page)
    return page.answer(request)


def _key(request: Request) -> Hashable:
    caller = request.state.user
    reader = (caller.user_id, caller.name, caller.role) if caller is not None else None
    fragment = request.headers.get("hx-request-type"), request.headers.get("hx-request")
    workers = tuple((worker.name, worker.device, worker.slots) for worker in live_workers())
    return request.url.path, request.url.query, *fragment, reader, language(), workers
