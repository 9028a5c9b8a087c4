"""
`Idempotency-Key`: a request that makes something, sent twice, makes it once.

`@once` wraps a route: the second request with the same key is answered with the first one's
answer, word for word, and `Idempotent-Replayed: true`. A route whose work is the same however often it
is done, and takes long, is `@once_late`: the key is taken in the end, so that nobody waits meanwhile.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar, cast

from fastapi import Depends, Header, Request
from fastapi.responses import Response
from pydantic import BaseModel
from sqlmodel import Session

from app.domain import db
from app.domain.idempotency import KeyedRequest, claim_key, find_answer
from app.domain.request_models import KeptAnswer

REPLAYED = "Idempotent-Replayed"

RequestKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        description="Your own name of this request, such as a UUID: sent again, it is answered as the first time.",
    ),
]
P = ParamSpec("P")
R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True)
class Asked:
    """A request as the key sees it; without a key it is None."""

    keyed: KeyedRequest | None
    status: int
    """Of a success, unless the route says another."""


async def asked_once(request: Request, idempotency_key: RequestKey = None) -> Asked:
    """Read the key, and the request that it names."""
    status = request.scope["route"].status_code or 200
    if idempotency_key is None:
        return Asked(None, status)
    return Asked(keyed(request, idempotency_key, await request.body()), status)


def keyed(request: Request, key: str, body: bytes) -> KeyedRequest:
    """Return a request under its key."""
    line = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return KeyedRequest(request.state.user.user_id, key, line + body)


def once(route: Callable[P, R]) -> Callable[P, R]:
    """Let a route that has `session` and `response` answer the same request once."""
    make = cast("Callable[..., R]", route)

    def answer(asked: Asked, **values: Any) -> R | Response:  # noqa: ANN401 - the route's own
        session = values["session"]
        kept = claim_key(session, asked.keyed) if asked.keyed else None
        if asked.keyed and kept is None and (first := find_answer(session, asked.keyed)):
            return replayed(first)
        reply = make(**values)
        if kept is not None:
            keep(kept, reply, values["response"], status=asked.status)
        return reply

    return _with_key(route, answer)


def once_late(route: Callable[P, R]) -> Callable[P, R]:
    """Do the same for a route that makes one thing however often it is called."""
    make = cast("Callable[..., R]", route)

    def answer(asked: Asked, **values: Any) -> R | Response:  # noqa: ANN401
        if asked.keyed is None:
            return make(**values)
        with db.reading() as reading:
            if first := find_answer(reading, asked.keyed):
                return replayed(first)
        reply = make(**values)
        return keep_late(values["session"], asked, reply, values["response"])

    return _with_key(route, answer)


def keep_late(session: Session, asked: Asked, reply: R, response: Response) -> R | Response:
    """Take the key now, and keep the answer; or return the one of a request that was faster."""
    if asked.keyed is None:
        return reply
    kept = claim_key(session, asked.keyed)
    if kept is None and (first := find_answer(session, asked.keyed)):
        return replayed(first)
    if kept is not None:
        keep(kept, reply, response, status=asked.status)
    return reply


def keep(kept: KeptAnswer, reply: BaseModel, response: Response, *, status: int) -> None:
    """Write an answer down where its key was taken."""
    kept.status, kept.body = response.status_code or status, reply.model_dump_json()
    kept.location = response.headers.get("Location", "")


def replayed(first: KeptAnswer) -> Response:
    """Answer as the first time."""
    headers = {REPLAYED: "true"} | ({"Location": first.location} if first.location else {})
    return Response(first.body, first.status, headers, media_type="application/json")


def _with_key(route: Callable[P, R], answer: Callable[..., Any]) -> Callable[P, R]:
    """Add the header to what FastAPI sees of a route."""
    own = inspect.signature(route)
    key = inspect.Parameter("asked", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[Asked, Depends(asked_once)])

    @wraps(route)
    def wrapped(**values: Any) -> Any:  # noqa: ANN401
        return answer(**values)

    wrapped.__signature__ = own.replace(parameters=[*own.parameters.values(), key])  # type: ignore[attr-defined]
    return cast("Callable[P, R]", wrapped)


# ── Uploads, whose body is no JSON and may be gigabytes ────────────────────


def key_of_upload(request: Request, key: str | None, sha256: str) -> Asked:
    """Return an upload under its key: what was sent is named by its hash."""
    status = request.scope["route"].status_code or 200
    return Asked(None if key is None else keyed(request, key, sha256.encode()), status)


def find_first(asked: Asked) -> Response | None:
    """Return the answer to the same upload that came before."""
    if asked.keyed is None:
        return None
    with db.reading() as reading:
        first = find_answer(reading, asked.keyed)
        return replayed(first) if first else None
