"""
One POST to one checked address.

The connection is made to the address that was checked, while the request and TLS go by the name. No redirect is
followed, no proxy is asked, nothing is sent that the caller did not give; and it is over in time, however
slowly the other side drips its answer.
"""

import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpcore2 as httpcore

from app.config import settings
from app.domain.errors import InvalidError
from app.domain.webhooks.addresses import (
    PORTS,
    Networks,
    RefusedAddressError,
    Resolve,
    checked_addresses,
    system_addresses,
    target_of,
)
from app.domain.webhooks.models import DeliveryProblem

MOST_SECONDS = 10.0  # of a try, from its connection to the end of the answer; a receiver answers first and works later
CONNECT_SECONDS = 4.0
MOST_REPLY_BYTES = 16_384  # read at most; what is kept of it is shorter
KEPT_REPLY = 500  # characters
GONE = 410


@dataclass(frozen=True)
class Outcome:
    """What became of one try."""

    problem: DeliveryProblem | None
    """None: it was taken."""
    detail: str = ""
    status_code: int | None = None
    milliseconds: int = 0
    reply: str = ""


def post(url: str, body: bytes, headers: Mapping[str, str], *, resolve: Resolve = system_addresses) -> Outcome:
    """
    Send a body to a URL, and say what became of it; raises nothing that the address can cause.

    Args:
        resolve: finds the addresses of a name; asked once.
    """
    began = time.monotonic()
    try:
        outcome = _post(url, body, headers, resolve)
    except InvalidError:
        outcome = Outcome(DeliveryProblem.BAD_ADDRESS)
    except RefusedAddressError as error:
        outcome = Outcome(DeliveryProblem.BAD_ADDRESS, str(error))
    except httpcore.TimeoutException:
        outcome = Outcome(DeliveryProblem.TOO_SLOW)
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        outcome = Outcome(DeliveryProblem.NO_ANSWER, str(error)[:KEPT_REPLY])
    milliseconds = round(1_000 * (time.monotonic() - began))
    return Outcome(outcome.problem, outcome.detail, outcome.status_code, milliseconds, outcome.reply)


def _post(url: str, body: bytes, headers: Mapping[str, str], resolve: Resolve) -> Outcome:
    target = target_of(url)
    host = f"[{target.host}]" if ":" in target.host else target.host
    host = host if target.port == PORTS[target.scheme] else f"{host}:{target.port}"
    own: dict[bytes | str, bytes | str] = {"Host": host, "Content-Length": str(len(body))}
    backend = CheckedBackend(allowed=settings().webhook_allow_private, resolve=resolve)
    with (
        httpcore.ConnectionPool(ssl_context=_tls(), network_backend=backend) as pool,
        pool.stream(
            "POST",
            httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path),
            headers=own | dict(headers.items()),
            content=body,
            extensions={"timeout": {"connect": CONNECT_SECONDS, "read": MOST_SECONDS, "write": MOST_SECONDS}},
        ) as reply,
    ):
        return _outcome_of(reply.status, _beginning(reply.iter_stream()))


def _beginning(chunks: Iterable[bytes]) -> str:
    """Return the beginning of an answer as text; the rest is not read."""
    read = b""
    for chunk in chunks:
        read += chunk
        if len(read) >= MOST_REPLY_BYTES:
            break
    text = read[:MOST_REPLY_BYTES].decode("utf-8", errors="replace")
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)[:KEPT_REPLY]


def _outcome_of(status: int, reply: str) -> Outcome:
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's successes
        return Outcome(None, status_code=status, reply=reply)
    problem = DeliveryProblem.GONE if status == GONE else DeliveryProblem.NOT_TAKEN
    return Outcome(problem, str(status), status_code=status, reply=reply)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


# ── The connection ─────────────────────────────────────────────────────────


class CheckedBackend(httpcore.NetworkBackend):
    """What connects to addresses that are open, and to no other."""

    def __init__(self, *, allowed: Networks, resolve: Resolve) -> None:
        """Begin the time of one try."""
        self._allowed, self._resolve = allowed, resolve
        self._until = time.monotonic() + MOST_SECONDS
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(  # noqa: PLR0917 - httpcore's signature
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve a name, check every address of it, and connect to the first that answers."""
        problem: Exception | None = None
        for address in checked_addresses(host, port, allowed=self._allowed, resolve=self._resolve)[:2]:
            try:
                stream = self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)
                return _TimedStream(stream, self._until)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        raise problem or httpcore.ConnectError("the name has no address")


class _TimedStream(httpcore.NetworkStream):
    """A connection that is over at a moment: a timeout for each read alone would let an answer drip for hours."""

    def __init__(self, stream: httpcore.NetworkStream, until: float) -> None:
        self._stream, self._until = stream, until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the whole try has one
        return self._stream.read(max_bytes, self._left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, min(self._left(), timeout or MOST_SECONDS))
        return _TimedStream(stream, self._until)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's own
        return self._stream.get_extra_info(info)

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left
