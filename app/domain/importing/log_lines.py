"""
xtuner's text log, read line by line: what was measured, saved, resumed and answered.

Covers the lines of xtuner 0.1.x and 0.2.0: with and without a year, counted in iterations and in epochs.
A log of any length is read in a fixed amount of memory, and no line of it can stop the reading.

Source:
    mmengine 0.10 `runner/log_processor.py`, `hooks/checkpoint_hook.py`; xtuner 0.2.0
    `engine/hooks/evaluate_chat_hook.py`.
"""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from app.domain.importing.found import Measured, Start
from app.domain.importing.room import MOST_TEXTS, Room
from app.domain.training import MAX_ITERATIONS

LONGEST_LINE = 64 << 10  # bytes; of a longer one the rest is passed over
MOST_MEASURED = 40_000  # of one start; of more, every second, fourth and so on is kept
LONGEST_SAID = 64 << 10  # characters of one answer
MOST_EVALUATIONS = 10_000
MEBIBYTE = 1 << 20

_HEAD = re.compile(
    r"(?:(?P<year>\d{4})/)?(?P<month>\d\d)/(?P<day>\d\d) (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    r" - mmengine - \S+ - (?P<text>.*)",
    re.ASCII | re.DOTALL,
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ITERATION = re.compile(r"Iter\(train\)\s*\[\s*(\d{1,9})/(\d{1,9})\]", re.ASCII)
_EPOCH = re.compile(r"Epoch\(train\)\s*\[(\d{1,6})\]\[\s*(\d{1,9})/(\d{1,9})\]", re.ASCII)
_NUMBER = re.compile(r"(?<![\w])(lr|loss|grad_norm|time|memory): (\S{1,40})")
_SAVING = re.compile(r"Saving checkpoint at (\d{1,9}) (iterations|epochs)", re.ASCII)
_RESUMED = re.compile(r"resumed epoch: \d{1,9}, iter: (\d{1,9})", re.ASCII)
_BEFORE = "before_train in EvaluateChatHook."
_DURING = "after_train_iter in EvaluateChatHook."
_AFTER = "after_train in EvaluateChatHook."
_SAMPLE = "Sample output:"
_FAILURES = re.compile(r"(Traceback \(most recent call last\)|CUDA out of memory|OutOfMemoryError|\b\w{1,60}Error: .*)")


class LogReader:
    """Reads one log into a start."""

    def __init__(self, start: Start, *, every: int = 0, room: Room | None = None) -> None:
        """
        Take where to put what is read.

        Args:
            start: where its files have said what a checkpoint answers, the log adds nothing to it.
            every: iterations between two evaluations, where the config tells; else what the log is near to.
            room: for answers, which all logs of a folder share.
        """
        self._start, self._every, self._room = start, every, room or Room()
        self._sample: list[str] | None = None
        self._sampled = 0  # characters of it, line ends included
        self._pending: list[str] | None = None
        self._asked_at: datetime | None = None
        self._said_at: datetime | None = None
        self._now: datetime | None = None
        self._last, self._step, self._stride = 0, 0, 1

    def read(self, file: BinaryIO) -> None:
        """Read a log to its end."""
        for line in lines_of(file):
            head = _HEAD.fullmatch(line)
            if head is None:
                self._go_on(line)
                continue
            self._end_sample()
            self._now = moment_of(head, self._start.began_at) or self._now
            self._start.began_at = self._start.began_at or self._now
            self._read_message(head["text"])
        self._end_sample()
        self._place(self._here())
        self._start.ended_at = self._now or self._start.ended_at

    def _go_on(self, line: str) -> None:
        if self._sample is None:
            found = _FAILURES.search(line)
            self._start.failure = found[1][:500] if found else self._start.failure
        else:
            self._add_to_sample(line)

    def _add_to_sample(self, line: str) -> None:
        if self._sample is not None and self._sampled < LONGEST_SAID:
            self._sample.append(line)
            self._sampled += len(line) + 1

    def _end_sample(self) -> None:
        if self._sample is not None and self._pending is not None and len(self._pending) < MOST_TEXTS:
            self._pending.append("\n".join(self._sample).strip("\n")[:LONGEST_SAID])
        self._sample = None

    def _read_message(self, text: str) -> None:
        if found := _ITERATION.search(text):
            self._measure(int(found[1]), int(found[2]), text)
        elif found := _EPOCH.search(text):
            epoch, at, length = (int(part) for part in found.groups())
            self._start.per_epoch = length
            self._measure((epoch - 1) * length + at, 0, text)
        elif text.startswith(_SAMPLE):
            self._sample, self._sampled, self._said_at = [], 0, self._now
            self._add_to_sample(text[len(_SAMPLE) :])
        elif found := _SAVING.search(text):
            self._save(int(found[1]), in_epochs=found[2] == "epochs")
        elif found := _RESUMED.search(text):
            self._start.resumed_from = self._last = min(int(found[1]), MAX_ITERATIONS)
        elif text.startswith((_BEFORE, _DURING, _AFTER)):
            self._begin_answers(text)
        elif found := _FAILURES.search(text):
            self._start.failure = found[1][:500]

    # ── Numbers ────────────────────────────────────────────────────────────

    def _measure(self, iteration: int, planned: int, text: str) -> None:
        if not 0 < iteration <= MAX_ITERATIONS:
            return
        self._place(self._here(before=iteration))
        self._step, self._last = iteration - self._last, iteration
        self._start.planned = min(planned, MAX_ITERATIONS) or self._start.planned
        self._start.failure = ""  # it went on
        if iteration % self._stride:
            return
        numbers = {name: number_in(value) for name, value in _NUMBER.findall(text)}
        self._start.measured[iteration] = measured(iteration, numbers, at=self._now)
        while len(self._start.measured) > MOST_MEASURED:
            self._stride *= 2
            self._start.measured = {at: one for at, one in self._start.measured.items() if at % self._stride == 0}

    def _save(self, count: int, *, in_epochs: bool) -> None:
        iteration = count * self._start.per_epoch if in_epochs else count
        if 0 < iteration <= MAX_ITERATIONS and len(self._start.saved) < MOST_EVALUATIONS:
            self._place(iteration)
            self._start.saved.append(iteration)
            self._last = max(self._last, iteration)

    # ── Answers ────────────────────────────────────────────────────────────

    def _begin_answers(self, text: str) -> None:
        self._place(self._here())
        self._pending, self._asked_at = [], self._now
        if text.startswith(_AFTER):
            self._start.has_ended = True
            if 0 < self._start.planned - self._last < self._step:  # the last iterations fill no line of their own
                self._last = self._start.planned

    def _here(self, *, before: int = MAX_ITERATIONS) -> int:
        """Return the iteration of the answers that were given last: a log names it only where it saves."""
        every = self._every
        at = -(-self._last // every) * every if every and self._last > self._start.resumed_from else self._last
        return at if at < before and not self._start.has_ended else self._last

    def _place(self, iteration: int) -> None:
        """Say which checkpoint gave the answers that wait for it."""
        if self._pending and len(self._start.said) < MOST_EVALUATIONS:
            if iteration not in self._start.said and self._room.takes(self._pending):
                self._start.said[iteration] = self._pending
            if self._asked_at and self._said_at and self._said_at >= self._asked_at:
                self._start.answer_seconds.setdefault(iteration, (self._said_at - self._asked_at).total_seconds())
        self._pending = None


# ── Lines and numbers ──────────────────────────────────────────────────────


def lines_of(file: BinaryIO) -> Iterator[str]:
    """Yield the lines of a file, each cut to the longest; what is not UTF-8 is replaced."""
    is_rest = False
    while line := file.readline(LONGEST_LINE):
        if not is_rest:
            yield _COLOUR.sub("", line.decode("utf-8", errors="replace").rstrip("\r\n"))
        is_rest = not line.endswith(b"\n")


def moment_of(head: re.Match[str], began_at: datetime | None) -> datetime | None:
    """Return when a line was written; older logs leave the year out, which the folder's name has."""
    parts = [int(head[name]) for name in ("month", "day", "hour", "minute", "second")]
    year = int(head["year"]) if head["year"] else began_at.year if began_at else 0
    try:
        at = datetime(year, *parts, tzinfo=UTC)  # type: ignore[arg-type, misc]  # five numbers
    except ValueError:
        return None
    is_past_new_year = not head["year"] and began_at is not None and at < began_at.replace(hour=0, minute=0, second=0)
    try:
        return at.replace(year=year + 1) if is_past_new_year else at
    except ValueError:  # 29 February, and the year after 9999
        return at


def number_in(text: object) -> float | None:
    """Return a finite number; None for what is none, such as `nan`."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return None
    try:
        number = float(text)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def measured(iteration: int, numbers: dict[str, float | None], *, at: datetime | None) -> Measured:
    """Return one line of numbers; those that are missing are nothing."""
    memory = numbers.get("memory") or 0.0
    return Measured(
        iteration=iteration,
        loss=numbers.get("loss"),
        learning_rate=numbers.get("lr") or 0.0,
        grad_norm=numbers.get("grad_norm"),
        seconds=max(0.0, numbers.get("time") or 0.0),
        memory_bytes=int(min(max(0.0, memory), 1e9)) * MEBIBYTE,
        at=at,
    )
