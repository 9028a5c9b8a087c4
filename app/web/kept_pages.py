"""
Pages that are kept for as long as nothing they show has changed.

A page is a function of its address, its reader's role, the language, the rows it reads, and the time. It
is made once and sent again while the database is as it was; after a commit it is sent again only if its
statements return what they returned (`app.domain.reads`). So a trainer that writes every second does not
make everybody's pages anew.

How late a page may be: not at all after a change that came through this server, whoever asked for it, nor
where a live page asks for its part anew. A whole page may miss what workers wrote in the last
`SLACK_SECONDS`; its stream begins where the page ends, and brings the rest at once. What a page says of the
time, such as `3 min ago`, is at most `LATE_SECONDS` late. Several web processes: a change made through
another one counts as a worker's.

One thread makes a page; others that want it meanwhile get the one before, where that is not too late for
them, else they wait. Kept compressed, the ones least asked for forgotten first. A browser that has a page
already is told so in a few bytes (304).
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from threading import BoundedSemaphore, Lock

from fastapi import Request
from fastapi.responses import Response
from sqlmodel import Session

from app.domain import db
from app.domain.presence import WorkerPresence
from app.domain.reads import DataVersion, Reads, noting, own_commits
from app.web.i18n import language
from app.web.page_pieces import Pieces, anybody, split
from app.web.render import is_fragment
from app.web.tags import is_named
from app.web.workers import known_workers, live_workers, shown_facts

SLACK_SECONDS = 2.0
LATE_SECONDS = 10.0  # within its first minute an age is written by the second
LONGEST_SECONDS = 600.0
MOST_BYTES = 64 << 20
MOST_PAGES = 1_000  # the statements that a page was made of take room, too
MOST_MAKERS = 1  # pages are made by Python alone: more at once only make each other late, and all else too
SENT_ALONG = ("content-type", "vary")

_makers = BoundedSemaphore(MOST_MAKERS)


@dataclass
class KeptPage:
    """One page as it was made."""

    pieces: Pieces
    headers: dict[str, str]
    reads: Reads
    made_at: float
    version: DataVersion
    """Of the database that it is known to be true of."""
    commits: int
    """Of this process, when that was looked at."""
    looked_at: float
    may_differ: bool = False
    """A reader with something of their own has another page."""

    def is_young(self) -> bool:
        """Whether what it says of the time still holds, and the files that it was made of."""
        good_for = min(max(self.reads.good_for, LATE_SECONDS), LONGEST_SECONDS)
        return time.monotonic() - self.made_at < good_for and self.reads.files_hold()

    def is_recent(self, seconds: float) -> bool:
        """Whether it was true so short a time ago, and nothing has changed through this process since."""
        return self.commits == own_commits() and time.monotonic() - self.looked_at < seconds

    def answer(self, request: Request) -> Response:
        """Send it, or only say that the browser's own copy is still true."""
        name = _name_of(request)
        headers = self.headers | {"ETag": self.pieces.etag(name)}
        if is_named(headers["ETag"], request.headers.get("if-none-match", "")):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(self.pieces.as_it_is(name), headers=headers)
        return Response(self.pieces.as_gzip(name), headers=headers | {"Content-Encoding": "gzip"})


@dataclass
class KeptPages:
    """The pages of this process."""

    lock: Lock = field(default_factory=Lock)
    pages: OrderedDict[Hashable, KeptPage] = field(default_factory=OrderedDict)
    size: int = 0
    makers: dict[Hashable, tuple[Lock, int]] = field(default_factory=dict)
    """A lock for each page that is being made, and how many hold it or wait for it."""
    without_own: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Users who have nothing of their own to be shown, the commits of this process when that was asked, and when."""

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
            self.size += page.pieces.size
            while self.size > MOST_BYTES or len(self.pages) > MOST_PAGES:
                self._drop(next(iter(self.pages)))

    def _drop(self, key: Hashable) -> None:
        if (page := self.pages.pop(key, None)) is not None:
            self.size -= page.pieces.size

    def is_being_made(self, key: Hashable) -> bool:
        """Whether a thread makes a page at this moment."""
        with self.lock:
            return key in self.makers

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


def kept(
    request: Request, make: Callable[[Session], Response], *, has_own: Callable[[Session], bool] | None = None
) -> Response:
    """
    Answer with a page: the one that is kept while it is true, else one made now.

    Args:
        make: reads what the page shows in the session it is given, and nothing of the request but its
            address, its reader, its language, and whether a part of the page is asked for.
        has_own: says whether the page shows what is this reader's own, beside their name; left out where
            it never does.
    """
    pages = kept_pages()
    is_personal = has_own is not None and _has_own(request, has_own)
    key = _key(request, live_workers(), is_personal=is_personal)
    page = pages.find(key)
    if page is not None and _may_be_sent(request, page, is_being_made=pages.is_being_made(key)):
        return page.answer(request)
    with pages.making(key):
        page = pages.find(key)  # while this thread waited, another may have made it
        if page is None or not page.is_young() or not _is_true(page):
            made = _make(request, make, has_own=has_own, is_personal=is_personal)
            if isinstance(made, Response):
                return made
            page = made
            page.may_differ = has_own is not None
        if key == _key(request, live_workers(), is_personal=is_personal):  # else it may name workers of before
            pages.put(key, page)
        return page.answer(request)


def _has_own(request: Request, has_own: Callable[[Session], bool]) -> bool:
    commits, user_id = own_commits(), request.state.user.user_id
    with db.reading() as session:
        found = has_own(session)
    if not found:
        kept_pages().without_own[user_id] = commits, time.monotonic()
    return found


def _is_without_own(user_id: int) -> bool:
    commits, asked_at = kept_pages().without_own.get(user_id, (None, 0.0))
    return commits == own_commits() and time.monotonic() - asked_at < SLACK_SECONDS


def at_once(request: Request) -> Response | None:
    """Answer with a page that is kept and true enough, where nothing has to be asked for; else None."""
    workers = known_workers()
    if request.method != "GET" or is_fragment(request) or workers is None or request.state.user is None:
        return None
    pages = kept_pages()
    key = _key(request, workers, is_personal=False)
    page = pages.find(key)
    if page is None or not _is_recent(page, is_being_made=pages.is_being_made(key)):
        return None
    if page.may_differ and not _is_without_own(request.state.user.user_id):
        return None
    return page.answer(request)


def _may_be_sent(request: Request, page: KeptPage, *, is_being_made: bool) -> bool:
    """Whether a page is true enough for a request as it is, without looking at what it was made of."""
    if not is_fragment(request) and _is_recent(page, is_being_made=is_being_made):
        return True
    return page.is_young() and page.version == db.data_version()


def _is_recent(page: KeptPage, *, is_being_made: bool) -> bool:
    slack = 2 * SLACK_SECONDS if is_being_made else SLACK_SECONDS
    return page.is_recent(slack) and (page.is_young() or is_being_made)


def _is_true(page: KeptPage) -> bool:
    commits, now, version = own_commits(), time.monotonic(), db.data_version()
    if page.version != version:
        with db.reading_one_state() as session:
            if not page.reads.hold(session, version):
                return False
    page.version, page.commits, page.looked_at = version, commits, now
    return True


def _make(
    request: Request,
    make: Callable[[Session], Response],
    *,
    has_own: Callable[[Session], bool] | None,
    is_personal: bool,
) -> KeptPage | Response:
    with _makers:
        commits, now, version = own_commits(), time.monotonic(), db.data_version()
        with db.reading_one_state() as session:
            # Asked again in the very state that the page shows: its reader may have rated something meanwhile.
            is_for_all = is_personal or has_own is None or not has_own(session)
            with _shown_to_all(request, is_personal=is_personal), noting() as reads:
                reply = make(session)
                reads.seal(session)
    headers = {name: reply.headers[name] for name in SENT_ALONG if name in reply.headers}
    headers["vary"] = ", ".join([*filter(None, [headers.get("vary")]), "Accept-Encoding"])
    page = KeptPage(split(bytes(reply.body)), headers, reads, now, version, commits, now)
    is_kept = is_for_all and reply.status_code == HTTPStatus.OK and reads.is_plain
    return page if is_kept else Response(page.pieces.as_it_is(_name_of(request)), reply.status_code, headers)


@contextmanager
def _shown_to_all(request: Request, *, is_personal: bool) -> Iterator[None]:
    """Let templates see a reader whose name is filled in later."""
    if not is_personal:
        request.state.shown_to = anybody(request.state.user)
    try:
        yield
    finally:
        request.state.shown_to = None  # an error's page is its reader's own


def _name_of(request: Request) -> str:
    return str(request.state.user.name)


def _key(request: Request, workers: Sequence[WorkerPresence], *, is_personal: bool) -> Hashable:
    caller = request.state.user
    reader = (caller.role, caller.user_id if is_personal else None, caller.name if is_personal else None)
    fragment = request.headers.get("hx-request-type"), request.headers.get("hx-request")
    line = shown_facts(workers)
    return request.url.path, request.url.query, *fragment, reader, language(), line
