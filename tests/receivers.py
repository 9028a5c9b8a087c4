"""Receivers of webhooks on this machine: what they were sent, and answers as a test wants them."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import forget_settings


@dataclass
class Receiver:
    """A small web server: answers with a status, and remembers what came."""

    status: int = 200
    text: str = "thanks"
    headers: Mapping[str, str] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def receiving(receiver: Receiver, *, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Serve until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            answer = receiver.text.encode()
            self.send_response(receiver.status)
            for name, value in {**receiver.headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def allow_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let webhooks reach this machine, as an admin of it may."""
    monkeypatch.setenv("TEMPER_WEBHOOK_ALLOW_PRIVATE", '["127.0.0.0/8"]')
    forget_settings()
