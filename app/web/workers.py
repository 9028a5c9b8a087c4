"""
Who works: the heartbeats that workers leave in Redis.

They are for the eye only. Who may work on what is settled in the database; a Redis that does
not answer costs this line and nothing else.
"""

import json
import time
from dataclasses import dataclass
from functools import cache
from threading import Lock

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from redis import Redis
from redis.exceptions import RedisError

from app.config import settings
from app.web.i18n import gettext, ngettext

KEY = "temper:workers"
FRESH_SECONDS = 15.0  # a worker beats every few seconds; three missed beats and it is gone
WAIT_SECONDS = 0.25  # a page never waits longer for this line
REMEMBER_SECONDS = 2.0  # a Redis that is down is asked once in so long, not once a page

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Heartbeat:
    """One worker as it last spoke."""

    name: str
    device: str
    runs: int


@dataclass(frozen=True)
class WorkersLine:
    """The line in the top bar."""

    text: str
    is_working: bool


class _Memory:
    """The last look at Redis, shared by the threads of this process."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.looked_at = float("-inf")
        self.seen: tuple[Heartbeat, ...] = ()


_memory = _Memory()


def heartbeats() -> tuple[Heartbeat, ...]:
    """Return the workers that are alive; none when Redis does not answer."""
    with _memory.lock:
        if time.monotonic() - _memory.looked_at > REMEMBER_SECONDS:
            _memory.seen = tuple(_read())
            _memory.looked_at = time.monotonic()
        return _memory.seen


def forget() -> None:
    """Look at Redis anew next time."""
    _memory.looked_at = float("-inf")


def _read() -> list[Heartbeat]:
    try:
        beats = _redis().hgetall(KEY)
    except (RedisError, OSError):
        return []
    alive = []
    for name, text in beats.items():  # type: ignore[union-attr] - the synchronous client returns a dict
        try:
            beat = json.loads(text)
            if time.time() - float(beat["seen"]) <= FRESH_SECONDS:
                alive.append(Heartbeat(name, str(beat["device"]), _count(beat.get("runs", 0))))
        except (ValueError, TypeError, KeyError):
            continue
    return alive


def _count(runs: object) -> int:
    return len(runs) if isinstance(runs, list) else int(str(runs))


@cache
def _redis() -> Redis:
    wait = WAIT_SECONDS
    return Redis.from_url(settings().redis, socket_timeout=wait, socket_connect_timeout=wait, decode_responses=True)


def workers_line() -> WorkersLine:
    """Say who works: `1 worker, CPU, 1 run in progress`."""
    alive = heartbeats()
    if not alive:
        return WorkersLine(gettext("no worker: runs wait"), is_working=False)
    devices = " + ".join(sorted({beat.device.upper() for beat in alive}))
    runs = sum(beat.runs for beat in alive)
    parts = [ngettext("%(num)s worker", "%(num)s workers", len(alive)), devices]
    parts.append(
        ngettext("%(num)s run in progress", "%(num)s runs in progress", runs) if runs else gettext("nothing in progress")
    )
    return WorkersLine(gettext(", ").join(parts), is_working=runs > 0)


@dataclass(frozen=True)
class WorkersPart:
    """Context of the line alone."""


@router.get("/workers", name="workers.line")
def show_line(request: Request) -> HTMLResponse:
    """Answer with the line alone; the top bar asks every few seconds."""
    from app.web.render import render  # noqa: PLC0415 - render shows this line on every page

    return render(request, "_workers.html", WorkersPart())
