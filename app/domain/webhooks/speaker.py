"""
`python -m app.domain.webhooks.speaker PARENT`: the child process that apprise runs in.

An order comes as JSON on standard input, `{"address", "text", "allowed"}`, and one object goes to standard
output. An empty text only asks whether apprise can read the address. From before apprise reads anything, the
interpreter's own audit events are watched: no process is started, no file written, and no connection made but
to addresses that are open to webhooks.

Covers: whatever Python code does. Does not cover: a C library that calls the system by itself.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import apprise

from app.domain.webhooks.addresses import Networks, is_open
from app.processes import die_with

NEVER = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
TITLE = "Temper"


class Guard:
    """An audit hook; it cannot be taken off again."""

    def __init__(self, allowed: Networks) -> None:
        """Take the private networks that are open."""
        self.allowed, self.refused = allowed, ""

    def __call__(self, event: str, arguments: Sequence[Any]) -> None:
        """Refuse what must not happen; the interpreter then raises it where it was tried."""
        if event in NEVER:
            raise PermissionError(event)
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
            raise PermissionError(f"no file is written: {arguments[0]}")
        if event in {"socket.connect", "socket.sendto"}:
            self._check(arguments[1])

    def _check(self, address: object) -> None:
        host = str(address[0]) if isinstance(address, tuple) else "a socket of this machine"
        try:
            is_fine = is_open(ip_address(host.partition("%")[0]), allowed=self.allowed)
        except ValueError:  # a name would be looked up again by the system: only what was looked up is connected to
            is_fine = False
        if not is_fine:
            self.refused = host
            raise PermissionError(f"nothing is sent to {host}")


class LastWords(logging.Handler):
    """What apprise said last."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        if record.levelno >= logging.WARNING:
            self.text = record.getMessage()


def speak(order: dict[str, Any], guard: Guard) -> dict[str, Any]:
    """Carry out an order and say what became of it."""
    words = LastWords()
    logging.getLogger("apprise").addHandler(words)
    asset = apprise.AppriseAsset(
        async_mode=False,
        http_redirects=False,
        storage_mode="memory",
        allow_templates=False,
        pgp_autogen=False,
        pem_autogen=False,
        app_id=TITLE,
    )
    speaker = apprise.Apprise(asset=asset)
    is_known = speaker.add(order["address"])
    if not is_known or not order["text"]:
        return {"is_known": is_known, "problem": words.text}
    is_sent = bool(speaker.notify(body=order["text"], title=TITLE, body_format=apprise.NotifyFormat.TEXT))
    return {"is_known": True, "is_sent": is_sent, "refused": guard.refused, "problem": words.text}


def main() -> None:
    """Read an order, watch oneself, and carry it out."""
    die_with(int(sys.argv[1]))
    order = json.load(sys.stdin)
    guard = Guard([ip_network(each) for each in order["allowed"]])
    sys.addaudithook(guard)
    print(json.dumps(speak(order, guard)))  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
