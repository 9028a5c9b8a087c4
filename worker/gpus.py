"""
Which devices this host has, and which of them are free.

A device is taken by locking a file of its name: the kernel lets go of the lock when its holder
ends, however it ends. Found without torch: the worker's own process must stay free of CUDA.
"""

import fcntl
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from app.config import settings

log = logging.getLogger(__name__)

NVIDIA_SMI_WAIT_SECONDS = 10  # a driver in trouble can hang for minutes


@dataclass(frozen=True)
class Device:
    """Something a run can train on."""

    kind: Literal["cpu", "cuda"]
    id: str
    """A GPU's UUID, or the number of a CPU slot."""
    name: str
    lock: int | None = None
    """The open file whose lock holds the device; whoever inherits it holds the device too."""

    @property
    def hardware(self) -> str:
        """The kind of it: what is measured on one counts for all others of the kind."""
        return f"{self.name}, {len(os.sched_getaffinity(0))} cores" if self.kind == "cpu" else self.name


@cache
def devices() -> tuple[Device, ...]:
    """Return this host's devices: its GPUs, or as many CPU slots as the settings say."""
    wanted = settings().device
    found = () if wanted == "cpu" else tuple(_nvidia_gpus())
    if found or wanted == "cuda":
        return found
    return tuple(Device("cpu", f"cpu-{slot}", "CPU") for slot in range(settings().worker_slots))


def _nvidia_gpus() -> Iterator[Device]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return
    query = [tool, "--query-gpu=uuid,name", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=NVIDIA_SMI_WAIT_SECONDS, check=True)  # noqa: S603
    except (subprocess.SubprocessError, OSError) as error:
        log.warning("nvidia-smi does not answer, no GPU is used: %s", error)
        return
    for line in listed.stdout.splitlines():
        uuid, _, name = line.partition(",")
        yield Device("cuda", uuid.strip(), name.strip())


@contextmanager
def lend_device() -> Iterator[Device | None]:
    """Lend a free device for as long as the context lasts; None when all are taken."""
    settings().locks_folder.mkdir(parents=True, exist_ok=True)
    for device in devices():
        lock = os.open(settings().locks_folder / device.id, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            yield replace(device, lock=lock)
        finally:
            os.close(lock)
        return
    yield None
