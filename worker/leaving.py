"""
The word that a worker ends, from Celery's main process to those that work.

A byte of memory that all of them share: written by the handler of a signal, read by whoever
supervises a child, who then sees to it that the work can be gone on with elsewhere.
"""

import mmap
from dataclasses import dataclass
from types import FrameType

_flag = mmap.mmap(-1, 1)  # made before the pool is forked, so that all have the same one


def leave() -> None:
    """Ask all work of this worker to be given back."""
    _flag[0] = 1


def is_leaving() -> bool:
    """Whether this worker ends."""
    return bool(_flag[0])


def leave_or_end(_number: int, _frame: FrameType | None) -> None:
    """Give this process's work back, and end it if it has none; a handler of SIGTERM, which some send to everybody."""
    leave()
    if not _work.is_going_on:
        raise SystemExit(0)


@dataclass
class _Work:
    """Whether this process is in the middle of a task."""

    is_going_on: bool = False


_work = _Work()


def begin_work(**_: object) -> None:
    """Note that a task begins; receives Celery's signal."""
    _work.is_going_on = True


def end_work(**_: object) -> None:
    """Note that a task is over; receives Celery's signal."""
    _work.is_going_on = False
