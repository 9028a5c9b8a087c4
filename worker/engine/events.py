"""
The trainer's side of `events.jsonl`: append one line, flush it, never rewrite.

Nothing here may stop a training for longer than a write to the page cache takes.
"""

import time
from pathlib import Path
from typing import Any, TextIO

from app.domain.trainer_events import TrainerEvent


class EventLog:
    """Appends events; without a file it drops them, as every process of a run but the first does."""

    def __init__(self) -> None:
        """Start without a file."""
        self._file: TextIO | None = None

    def open(self, path: Path) -> None:
        """Append to `path` from now on."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # Line buffered: a reader never sees half of a line that is shorter than the buffer, and a
        # killed trainer loses none that was written.
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, kind: type[TrainerEvent], **fields: Any) -> None:  # noqa: ANN401 - the event's own fields
        """Append one event with the time of now."""
        if self._file is not None:
            self._file.write(kind(time=time.time(), **fields).model_dump_json() + "\n")


events = EventLog()
"""This process's log; mmengine builds the hooks that write to it, so it cannot be handed to them."""
