"""
Child processes that do the heavy work: started apart, watched, and ended whole.

A child is the head of its own session, so that everything it starts can be ended with it, and
the kernel kills it when this process dies. Its output goes to a file: a pipe that nobody drains
would stop it.
"""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

import psutil

from app.config import settings
from app.domain.logs import read_tail
from app.processes import die_with
from worker.gpus import Device

MARK = "ENGINE_JOB"  # in the environment of a child and of all that it starts
GONE_SECONDS = 5.0  # the kernel needs longer only for a process that is stuck in a driver
MOST_LOG_BYTES = 64 << 20  # of one attempt; more is noise that fills the disk
KEPT_LOG_BYTES = 1 << 20

# What a child may know of its surroundings. Everything else, database and queue passwords
# above all, stays outside.
_PASSED_ON = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH"),
    *("LD_LIBRARY_PATH", "CUDA_HOME", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE"),
    *("HF_HOME", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HTTPS_PROXY"),
)


@dataclass(frozen=True)
class Child:
    """A started engine."""

    process: subprocess.Popen[bytes]
    mark: str

    @property
    def pid(self) -> int:
        """The process id, which is also that of its group."""
        return self.process.pid

    def exit_code(self) -> int | None:
        """Return how it ended; None while it lives. A signal counts as its number below zero."""
        return self.process.poll()

    def signal(self, number: Signals) -> None:
        """Send a signal to the child alone."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def end(self) -> int:
        """End the child and everything it started: asked first, killed after the grace period."""
        deadline = time.monotonic() + settings().stop_grace_seconds
        self._signal_group(SIGTERM)
        while self.exit_code() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        self._signal_group(SIGKILL)
        code = self.process.wait()
        self._end_escaped()
        return code

    def _signal_group(self, number: Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _end_escaped(self) -> None:
        """Kill what had left the group for a session of its own; this process is its parent by now."""
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark:
                    process.kill()
                    process.wait(GONE_SECONDS)


def start_child(arguments: Sequence[str], *, folder: Path, log: Path, device: Device | None) -> Child:
    """
    Start the engine with `arguments` in `folder`, writing all it prints to `log`.

    The child holds the device's lock too: while it lives nobody else gets the device, even when
    this process was killed and the kernel has not ended the child yet.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    parent, mark = os.getpid(), secrets.token_hex(8)
    with log.open("ab") as output:
        # -P: the run's folder must not be a place that modules are imported from
        process = subprocess.Popen(  # noqa: S603 - an argument list of our own making, no shell
            [sys.executable, "-P", "-m", settings().engine, *arguments],
            cwd=folder,
            env=child_environment(device) | {MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(device.lock,) if device is not None and device.lock is not None else (),
            preexec_fn=lambda: die_with(parent),  # noqa: PLW1509 - the pool's processes run no other thread
        )
    return Child(process, mark)


def child_environment(device: Device | None) -> dict[str, str]:
    """Return what a child may know: where programs are, its language, and its device."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    visible = device.id if device is not None and device.kind == "cuda" else ""
    return environment | {
        "CUDA_VISIBLE_DEVICES": visible,
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8:replace",
        "TOKENIZERS_PARALLELISM": "false",  # forks after threads warn, and rows are few
    }


# ── Logs ───────────────────────────────────────────────────────────────────


def shorten_log(log: Path) -> None:
    """Cut a log that has grown out of hand down to its last part; its writer goes on at the new end."""
    if not log.exists() or log.stat().st_size <= MOST_LOG_BYTES:
        return
    with log.open("rb") as file:
        file.seek(-KEPT_LOG_BYTES, os.SEEK_END)
        kept = file.read()
    with log.open("r+b") as file:  # the writer appends, so cutting leaves no hole
        file.truncate(0)
    with log.open("ab") as file:
        file.write(b"[the log was too long: what came before is gone]\n" + kept)


def tail_of(log: Path, *, lines: int = 60) -> str:
    """Return the last lines of a log."""
    return "\n".join(read_tail(log).splitlines()[-lines:])
