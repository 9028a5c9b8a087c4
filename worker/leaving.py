"""
The word that a worker ends, from Celery's main process to those that work.

A byte of memory that all of them share: written by the handler of a signal, read by whoever
supervises a child, who then sees to it that the work can be gone on with elsewhere.
"""

import mmap

_flag = mmap.mmap(-1, 1)  # made before the pool is forked, so that all have the same one


def leave() -> None:
    """Ask all work of this worker to be given back."""
    _flag[0] = 1


def is_leaving() -> bool:
    """Whether this worker ends."""
    return bool(_flag[0])
