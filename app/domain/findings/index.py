"""
The questions of a stored dataset by their keys, so that a form can be held against a large file.

Sorted columns in one array beside the dataset. It is mapped, never loaded: looking up one question
touches some twenty pages of it, and the one row that is shown is read by its place in the file.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from app.domain.findings.keys import EMPTY, Keys
from app.domain.findings.kinds import MOST_EXAMPLES
from app.domain.findings.table import Numbers, Table

LONGEST_SHOWN = 1 << 20  # bytes of a row that is read to be shown; of a longer one nothing is
PAIRS_REMEMBERED = 256
_COLUMNS = 5  # question in its context, answer, row, turn, first byte of the row


@dataclass(frozen=True)
class FileConflicts:
    """Rows of one file whose question an earlier source answers otherwise; rows are counted from 0."""

    count: int
    row: Numbers
    turn: Numbers
    start: Numbers
    """Byte of the file at which the row begins."""
    other: Numbers
    """Which of the earlier source's rows answers otherwise."""


def index_path(path: Path) -> Path:
    """Return where the index of a stored dataset is."""
    return path.with_suffix(".questions.npy")


def write_index(table: Table, starts: Numbers, target: Path) -> None:
    """Write the questions of turns that carry loss, in order of key and then of row."""
    place = np.flatnonzero(table.has_loss & (table.answer != EMPTY) & (table.question != EMPTY))
    place = place[np.argsort(table.asked[place], kind="stable")]
    columns = np.empty((_COLUMNS, len(place)), np.uint64)
    row = table.row[place]
    columns[:] = table.asked[place], table.answer[place], row, table.turn[place], starts[row]
    with target.open("wb") as file:
        np.save(file, columns)


def conflicts_with_pairs(path: Path, asked: Keys, answers: Keys) -> FileConflicts:
    """Find the rows of a file that answer otherwise than pairs, whose keys are given, do."""
    index = np.load(index_path(path), mmap_mode="r")
    questions, first = np.unique(asked, return_index=True)
    low, high = (np.searchsorted(index[0], questions, side) for side in ("left", "right"))
    found = [(np.arange(low[each], high[each]), first[each]) for each in np.flatnonzero(high > low)]
    place = np.concatenate([np.empty(0, np.int64), *(places for places, _ in found)])
    other = np.concatenate([np.empty(0, np.int64), *(np.full(len(places), pair) for places, pair in found)])
    differs = index[1][place] != answers[other]
    return _conflicts(index, place[differs], other[differs])


@lru_cache(maxsize=PAIRS_REMEMBERED)  # stored datasets never change
def conflicts_between(earlier: Path, later: Path) -> FileConflicts:
    """Find the rows of a file that answer otherwise than an earlier file does."""
    ours, theirs = np.load(index_path(later), mmap_mode="r"), np.load(index_path(earlier), mmap_mode="r")
    if not theirs.shape[1]:
        return _conflicts(ours, np.empty(0, np.int64), np.empty(0, np.int64))
    first = np.minimum(np.searchsorted(theirs[0], ours[0]), theirs.shape[1] - 1)
    place = np.flatnonzero((theirs[0][first] == ours[0]) & (theirs[1][first] != ours[1]))
    return _conflicts(ours, place, theirs[2][first[place]])


def read_turn(path: Path, start: int, turn: int) -> dict[str, Any]:
    """Read one turn again; an empty one where its row is too long to be shown."""
    with path.open("rb") as file:
        file.seek(start)
        line = file.readline(LONGEST_SHOWN)
    if not line.endswith(b"\n"):
        return {"input": "", "output": ""}
    conversation: Sequence[dict[str, Any]] = json.loads(line)["conversation"]
    return conversation[turn]


def _conflicts(index: Numbers, place: Numbers, other: Numbers) -> FileConflicts:
    """Keep the first by row of all that were found."""
    order = np.lexsort((index[3][place], index[2][place]))[:MOST_EXAMPLES]
    row, turn, start = (index[column][place[order]].astype(np.int64) for column in (2, 3, 4))
    return FileConflicts(len(place), row, turn, start, other[order].astype(np.int64))
