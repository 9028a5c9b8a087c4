"""How an attempt ended, from what its trainer said last and how it exited."""

import signal
from contextlib import suppress
from pathlib import Path

from app.domain.attempts import Ending
from app.domain.models import ReasonKind, RunState
from app.domain.trainer_events import TrainerEnded
from worker.children import tail_of

_SIGNS = (
    ("No space left on device", ReasonKind.DISK_FULL),
    ("unexpected pos", ReasonKind.DISK_FULL),  # torch's zip writer, cut short
    ("CUDA out of memory", ReasonKind.OUT_OF_GPU_MEMORY),
    ("MemoryError", ReasonKind.OUT_OF_MEMORY),
    ("ModuleNotFoundError", ReasonKind.MISSING_PACKAGE),
)
"""Words in a log, for a child that could not write its own reason down."""


def judge_end(exit_code: int, end: TrainerEnded | None, *, log: Path, ran_out_of_memory: bool = False) -> Ending:
    """
    Say how a trainer ended by itself: by its own last event first, by its exit code where it wrote none.

    Args:
        ran_out_of_memory: the kernel killed a process for want of memory meanwhile.
    """
    said = tail_of(log)
    if end is not None and end.outcome == "finished" and exit_code == 0:
        return Ending(RunState.FINISHED, exit_code=0)
    if end is not None and end.outcome == "stopped":
        return Ending(RunState.QUEUED, exit_code=exit_code)
    if end is not None and end.outcome == "failed":
        kind = ReasonKind(end.reason) if end.reason in set(ReasonKind) else ReasonKind.CRASHED
        return Ending(RunState.FAILED, kind, end.detail, said, exit_code)
    kind = reason_of(exit_code, said, ran_out_of_memory=ran_out_of_memory)
    detail = str(-exit_code) if kind is ReasonKind.KILLED else ""
    return Ending(RunState.FAILED, kind, detail, said, exit_code)


def reason_of(exit_code: int, said: str, *, ran_out_of_memory: bool = False) -> ReasonKind:
    """Name why a child failed, from its exit code and its last lines."""
    if exit_code == -signal.SIGKILL and ran_out_of_memory:
        return ReasonKind.OUT_OF_MEMORY
    if exit_code < 0:
        return ReasonKind.KILLED
    signs = (kind for words, kind in _SIGNS if words in said)
    return next(signs, ReasonKind.CRASHED if exit_code else ReasonKind.NO_OUTPUT)


def oom_kills() -> int:
    """Count the processes that the kernel killed for want of memory, in this control group or on this host."""
    for path in (_own_group() / "memory.events", Path("/proc/vmstat")):
        with suppress(OSError):
            counts = dict(line.split(maxsplit=1) for line in path.read_text("ascii").splitlines())
            return int(counts.get("oom_kill", 0))
    return 0


def _own_group() -> Path:
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines():
            if line.startswith("0::"):
                return Path("/sys/fs/cgroup") / line.removeprefix("0::").lstrip("/")
    return Path("/sys/fs/cgroup")
