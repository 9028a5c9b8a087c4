"""
Child processes that do the heavy work: started apart, watched, and ended whole.

A child is the head of its own session, so that everything it starts can be ended with it, and
the kernel kills it when this process dies. Its output goes to a file: a pipe that nobody drains
would stop it.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from app.config import settings
from worker.gpus import Device

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

# What a child may know of its surroundings. Everything else, database and queue passwords
# above all, stays outside.
_PASSED_ON = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH"),
    *("LD_LIBRARY_PATH", "CUDA_HOME", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE"),
    *("HF_HOME", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HTTPS_PROXY"),
)


def start_child(arguments: Sequence[str], *, folder: Path, log: Path, device: Device | None) -> subprocess.Popen[bytes]:
    """Start the engine with `arguments` in `folder`, writing all it prints to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        # -P: the run's folder must not be a place that modules are imported from
        return subprocess.Popen(  # noqa: S603 - an argument list of our own making, no shell
            [sys.executable, "-P", "-m", settings().engine, *arguments],
            cwd=folder,
            env=child_environment(device),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - the pool's processes run no other thread
        )


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


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def end_child(child: subprocess.Popen[bytes]) -> None:
    """End a child and everything in its session: asked first, killed after the grace period."""
    deadline = time.monotonic() + settings().stop_grace_seconds
    _signal_group(child.pid, signal.SIGTERM)
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def tail_of(log: Path, *, lines: int = 60, most_bytes: int = 64 << 10) -> str:
    """Return the last lines of a log, never more than `most_bytes`: a log may be one endless line."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - most_bytes))
        text = file.read().decode("utf-8", errors="replace").replace("\x00", "")
    return "\n".join(text.splitlines()[-lines:])
