"""The line in the top bar: who works, on what, and how much of it is in progress."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from app.config import settings
from app.domain import db, presence
from app.domain.askings import count_running_askings
from app.domain.models import RunState
from app.domain.presence import WorkerPresence
from app.domain.runs import count_runs
from app.web.i18n import gettext, ngettext

REMEMBER_SECONDS = 2.0  # a Redis that is down is asked once in so long, not once a page


@dataclass(frozen=True)
class WorkersLine:
    """The line, and whether anything is in progress."""

    text: str
    is_working: bool


class _Memory:
    """The last look at the workers, shared by the threads of this process."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.looked_at = float("-inf")
        self.workers: list[WorkerPresence] = []


_memory = _Memory()


def live_workers() -> list[WorkerPresence]:
    """Return the workers heard of lately, at most two seconds old."""
    with _memory.lock:
        if time.monotonic() - _memory.looked_at > REMEMBER_SECONDS:
            _memory.workers = presence.live_workers()
            _memory.looked_at = time.monotonic()
        return _memory.workers


def known_workers() -> list[WorkerPresence] | None:
    """Return the workers where they are known already; None where Redis would have to be asked."""
    is_old = time.monotonic() - _memory.looked_at > REMEMBER_SECONDS
    return None if is_old else _memory.workers


def shown_facts(workers: Sequence[WorkerPresence]) -> tuple[tuple[str, str, int], ...]:
    """Return what pages show of workers, which an answer that names them differs by."""
    return tuple((worker.name, worker.device, worker.slots) for worker in workers)


def device_of_workers() -> str:
    """Return `cpu` where only CPUs train, a GPU's name where all workers have that one, else nothing."""
    devices = {worker.device for worker in live_workers()}
    if not devices:
        return "" if settings().device == "cuda" else "cpu"
    if devices == {"CPU"}:
        return "cpu"
    return devices.pop() if len(devices) == 1 else ""


def forget() -> None:
    """Ask anew next time."""
    _memory.looked_at = float("-inf")


def workers_line() -> WorkersLine:
    """Say who works: `1 worker, CPU, 1 run in progress`."""
    workers = live_workers()
    if not workers:
        return WorkersLine(gettext("no worker: runs wait"), is_working=False)
    with db.reading() as session:
        running, asked = count_runs(session, RunState.RUNNING), count_running_askings(session)
    devices = " + ".join(sorted({worker.device for worker in workers}))
    count = ngettext("%(num)s worker", "%(num)s workers", len(workers))
    text = gettext("%(workers)s, %(devices)s, %(work)s", workers=count, devices=devices, work=_work(running, asked))
    return WorkersLine(text, is_working=running + asked > 0)


def _work(running: int, asked: int) -> str:
    runs = ngettext("%(num)s run in progress", "%(num)s runs in progress", running)
    askings = ngettext("%(num)s run being asked", "%(num)s runs being asked", asked)
    words = [text for number, text in ((running, runs), (asked, askings)) if number]
    return gettext(", ").join(words) or gettext("nothing in progress")
