"""
A trainer's log: text for people, one file for each attempt, read from its end.

Nothing is parsed out of it; what the project must know comes from events.
"""

import re
from pathlib import Path

from app.config import settings
from app.domain.beneath import is_plain_beneath, read_beneath
from app.domain.errors import NotFoundError
from app.domain.messages import message
from app.domain.models import Run
from app.domain.reads import note_file
from app.domain.texts import storable

TAIL_LINES = 200
TAIL_BYTES = 64 << 10  # a page shows no more, however long a line is
_UNSEEN = re.compile(
    "\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|.)?"  # what sets colours, titles and links
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    "|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # what makes a line read in another order than it was written
)


def log_path(run_id: int, attempt: int) -> Path:
    """Return where the trainer of an attempt writes its log."""
    return settings().run_folder(run_id) / "attempts" / str(attempt) / "trainer.log"


def log_file(run: Run) -> Path:
    """
    Return the log of a run's live or last attempt.

    Raises:
        NotFoundError: no attempt has written one yet.
    """
    path = log_path(run.id or 0, run.attempt)
    if not is_plain_beneath(settings().runs_folder, path):
        raise NotFoundError(message("Run {id} has no log yet.", id=run.id))
    return path


def tail_of_log(run: Run, *, lines: int = TAIL_LINES) -> list[str]:
    """Return the last lines of a run's log; those kept in the database when its file is gone."""
    text = read_tail(log_path(run.id or 0, run.attempt), root=settings().runs_folder) or run.log_tail
    return [last_state(line) for line in text.split("\n") if line.strip()][-lines:]


def read_tail(path: Path, *, root: Path | None = None, most_bytes: int = TAIL_BYTES) -> str:
    """
    Return the end of a log as text that any database can store; empty where there is none.

    Args:
        root: a folder above it beneath which no link is followed; its own folder where none is given.
    """
    note_file(path)
    try:
        with read_beneath(root or path.parent, path) as file:
            file.seek(max(0, file.seek(0, 2) - most_bytes))
            return storable(file.read(most_bytes).decode("utf-8", "replace"))
    except OSError:
        return ""


def last_state(line: str) -> str:
    """Return what a terminal would show of a line that rewrites itself, as progress bars do, without its colours."""
    return _UNSEEN.sub("", line.rstrip("\r").rpartition("\r")[2])
