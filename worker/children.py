"""
Child processes that do the heavy work: started apart, watched, and ended whole.

A child is the head of its own session, so that everything it starts can be ended with it, and
the kernel kills it when this process dies. Its output goes to a file: a pipe that nobody drains
would stop it.
"""

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

import psutil

from app.config import settings
from app.confinement import Reach, command_for, says
from app.domain.beneath import append_beneath, make_beneath, read_beneath
from app.domain.logs import read_tail
from app.domain.registry import hub_cache
from app.processes import die_with
from worker.gpus import Device

MARK = "ENGINE_JOB"  # in the environment of a child and of all that it starts
GONE_SECONDS = 5.0  # the kernel needs longer only for a process that is stuck in a driver
MOST_LOG_BYTES = 64 << 20  # of one attempt; more is noise that fills the disk
KEPT_LOG_BYTES = 1 << 20

PRIVATE = "cache.part"
"""A child's own home and scratch, in the first folder that it writes to; no backup takes what ends so."""

# What a child may know of its surroundings. Everything else, passwords and tokens above all, stays
# outside: of the database, of the queue, of a hub, of a proxy.
_PASSED_ON = (
    *("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "PYTHONPATH"),
    *("LD_LIBRARY_PATH", "CUDA_HOME", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE"),
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


@dataclass(frozen=True)
class Place:
    """Where a child works, where it prints, and what it is given."""

    folder: Path
    log: Path
    reach: Reach

    @property
    def private(self) -> Path:
        """Its home and scratch."""
        return Path(self.reach.writes[0]) / PRIVATE


def start_child(arguments: Sequence[str], *, place: Place, device: Device | None) -> Child:
    """
    Start the engine with `arguments`, held to its reach.

    The child holds the device's lock too: while it lives nobody else gets the device, even when
    this process was killed and the kernel has not ended the child yet.

    Raises:
        OSError: no process can be started, a link stands where its log should be, or it cannot be confined though
            the settings require it.
    """
    root, demand = place.folder, settings().confine
    reach = replace(place.reach, uses_gpu=device is not None and device.kind == "cuda")
    command = command_for(settings().engine, arguments, reach=reach, demand=demand)
    make_beneath(root, place.log.parent)
    make_beneath(root, place.private / "tmp")
    parent, mark = os.getpid(), secrets.token_hex(8)
    with append_beneath(root, place.log) as output:
        output.write(f"{says(demand)}\n".encode())
        output.flush()
        process = subprocess.Popen(  # noqa: S603 - an argument list of our own making, no shell
            command,
            cwd=place.folder,
            env=child_environment(device, private=place.private) | {MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(device.lock,) if device is not None and device.lock is not None else (),
            preexec_fn=lambda: die_with(parent),  # noqa: PLW1509 - the pool's processes run no other thread
        )
    return Child(process, mark)


def child_environment(device: Device | None, *, private: Path) -> dict[str, str]:
    """
    Return what a child may know: where programs are, its language, and its device.

    Args:
        private: its home, where libraries keep what they like to keep.
    """
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    visible = device.id if device is not None and device.kind == "cuda" else ""
    return environment | {
        "HOME": str(private),
        "TMPDIR": str(private / "tmp"),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_CACHE": str(hub_cache()),
        "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",  # whatever a library asks for: nothing of a checkpoint is run
        "CUDA_VISIBLE_DEVICES": visible,
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8:replace",
        "TOKENIZERS_PARALLELISM": "false",  # forks after threads warn, and rows are few
    }


def forget_private(folder: Path) -> None:
    """Delete what a child that wrote to a folder had of its own; it has ended."""
    shutil.rmtree(folder / PRIVATE, ignore_errors=True)


# ── Logs ───────────────────────────────────────────────────────────────────


def shorten_log(log: Path) -> None:
    """Cut a log that has grown out of hand down to its last part; its writer goes on at the new end."""
    if not log.exists() or log.stat().st_size <= MOST_LOG_BYTES:
        return
    root = _root_of(log)
    with read_beneath(root, log) as file:
        file.seek(-KEPT_LOG_BYTES, os.SEEK_END)
        kept = file.read()
    with append_beneath(root, log) as file:
        file.truncate(0)  # the writer appends, so cutting leaves no hole
        file.write(b"[the log was too long: what came before is gone]\n" + kept)


def tail_of(log: Path, *, lines: int = 60) -> str:
    """Return the last lines of a log."""
    return "\n".join(read_tail(log, root=_root_of(log)).splitlines()[-lines:])


def _root_of(log: Path) -> Path:
    """Return the folder beneath which no link is followed on the way to a log."""
    runs = settings().runs_folder
    return runs if log.is_relative_to(runs) else log.parent
