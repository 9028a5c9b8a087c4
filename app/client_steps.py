"""
What a call of the API does, step by step, without sending anything.

A call is a generator: it yields requests and pauses, and is sent the answers. `TemperClient` and
`AsyncTemperClient` both drive the same ones, so that nothing is written twice.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from http import HTTPStatus
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

API = "/api/v1"
READING_SECONDS = 1_800.0  # a server that reads a file of gigabytes, and others before it
PATIENCE_SECONDS = 30.0  # a server that restarts, or has too much to do
NDJSON = "application/x-ndjson"
COUNTING = "counting"  # the kind of a refusal whose answer comes, however long that takes

P = ParamSpec("P")
T = TypeVar("T")


class TemperError(Exception):
    """The server refused, or did not answer; `status` is 0 when it did not."""

    def __init__(self, status: int, kind: str, text: str, fields: Sequence[Mapping[str, str]] = ()) -> None:
        """Keep what the server said."""
        super().__init__(text)
        self.status, self.kind, self.fields = status, kind, tuple(fields)


@dataclass(frozen=True)
class Request:
    """What is sent."""

    method: str
    path: str
    """Below the address of the server."""
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None
    """Its content is the body."""
    target: Path | None = None
    """Where the body of the answer is written to."""
    timeout_seconds: float | None = None
    """The client's own without it."""


@dataclass(frozen=True)
class Pause:
    """Time to wait before the next step."""

    seconds: float


class Answer(Protocol):
    """What came back."""

    status_code: int

    @property
    def headers(self) -> Any:  # noqa: ANN401 - those of whoever sends
        """Return its headers, by name."""

    @property
    def text(self) -> str:
        """Return its body as text."""

    @property
    def is_success(self) -> bool:
        """Whether it did what was asked."""

    def json(self) -> Any:  # noqa: ANN401 - whatever the body holds
        """Return the body."""


Steps = Generator[Request | Pause, Any, T]


# ── Calls ──────────────────────────────────────────────────────────────────


def send(request: Request) -> Steps[Answer]:
    """Send a request, and again where the server says when; TemperError where it refuses."""
    began_at = time.monotonic()
    while True:
        reply: Answer = yield request
        if reply.is_success:
            return reply
        problem, after = refused(reply), reply.headers.get("Retry-After", "")
        patience = READING_SECONDS if problem.kind == COUNTING else PATIENCE_SECONDS
        if not after.isdecimal() or time.monotonic() + int(after) > began_at + patience:
            raise problem
        yield Pause(int(after))


def ask(method: str, path: str, key: str | None = None, **request: Any) -> Steps[Any]:  # noqa: ANN401
    """Return the body of an answer, or what it has under a key; `Request` says what may be sent."""
    reply = yield from send(Request(method, API + path, **request))
    if reply.status_code == HTTPStatus.NO_CONTENT:
        return None
    body = reply.json()
    return body if key is None else body[key]


def ask_text(path: str, **params: Any) -> Steps[str]:  # noqa: ANN401
    """Return the text of an answer."""
    reply = yield from send(Request("GET", API + path, params))
    return reply.text


def ask_all(path: str, key: str, **params: Any) -> Steps[list[Any]]:  # noqa: ANN401
    """Return all of a list, a page after the other."""
    found: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = yield from ask("GET", path, params=params | {"cursor": cursor, "limit": 200})
        found += page[key]
        cursor = page["next_cursor"]
    return found


def ask_lines(path: str, **params: Any) -> Steps[str]:  # noqa: ANN401
    """Return a list as lines of JSON."""
    reply = yield from send(Request("GET", API + path, params, headers={"Accept": NDJSON}))
    return reply.text


def until(is_done: Callable[[T], bool], asked: Callable[[], Steps[T]], *, poll_seconds: float) -> Steps[T]:
    """Ask again and again until an answer will do."""
    while not is_done(found := (yield from asked())):
        yield Pause(poll_seconds)
    return found


def refused(reply: Answer) -> TemperError:
    """Return what a server said that refuses."""
    try:
        problem = reply.json()["error"]
        return TemperError(reply.status_code, problem["kind"], problem["message"], problem["fields"])
    except (ValueError, KeyError, TypeError):
        return TemperError(reply.status_code, "unknown", f"The server answered {reply.status_code}.")


# ── Clients ────────────────────────────────────────────────────────────────


class Blocking(ABC):
    """What drives steps to their end at once."""

    @abstractmethod
    def drive(self, steps: Steps[T]) -> T:
        """Return what the steps come to."""


class Awaiting(ABC):
    """What drives steps while others work too."""

    @abstractmethod
    async def drive(self, steps: Steps[T]) -> T:
        """Return what the steps come to."""


class Endpoint(Generic[P, T]):
    """A call written once: a method of a blocking client, and a coroutine of an awaiting one."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        """Wrap a function that returns the steps."""
        self.steps = steps
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, client: None, kind: object = None) -> Self: ...

    @overload
    def __get__(self, client: Blocking, kind: object = None) -> Callable[P, T]: ...

    @overload
    def __get__(self, client: Awaiting, kind: object = None) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, client: Blocking | Awaiting | None, kind: object = None) -> object:
        """Return the call of one client."""
        if client is None:
            return self

        @wraps(self.steps)
        def call(*arguments: P.args, **named: P.kwargs) -> object:
            return client.drive(self.steps(client, *arguments, **named))

        return call
