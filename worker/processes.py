"""
Which process holds a claim, and whether it still lives.

A process id alone is used again; with its start, in ticks since the machine started, it names one
process for good. The host's name and process namespace say where it can be looked for.
"""

import os
import socket
from functools import cache
from pathlib import Path


@cache
def host() -> str:
    """Return what this process and all that it can see of others have in common."""
    return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').stat().st_ino}/{_boot()}"


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def own_name() -> str:
    """Return the name of this process."""
    return f"{host()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(name: str) -> bool | None:
    """Whether the process of this name has ended; None when this host cannot tell."""
    place, _, rest = name.partition(f"{host()}/")
    pid, _, started = rest.partition("/")
    if place or not pid.isdecimal():
        return None
    return _started(int(pid)) != started


def _started(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; empty when it is not there or is dead."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    state, *fields = status.rpartition(")")[2].split()  # the name before it may hold spaces
    return "" if state in "ZX" else fields[18]
