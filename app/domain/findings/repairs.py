"""
Put a stored dataset right as its findings propose: a new file, the old one stays as it is.

Rows are searched again, all of them, since findings keep examples only. A row that needs no repair
is copied byte for byte. Where several repairs meet in one row, dropping it wins; a text's own
damage is put right before an answer is taken from an earlier row.
"""

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from app.domain.findings.files import search_file
from app.domain.findings.hits import ACTIONS, FIELDS, Hits
from app.domain.findings.kinds import Field, FindingKind, RepairAction
from app.domain.findings.sentences import repaired_text
from app.domain.findings.table import Numbers


@dataclass(frozen=True, slots=True)
class Choice:
    """Which proposals are taken: those of some kinds, in all rows or in some."""

    kinds: Collection[FindingKind]
    rows: Collection[int] | None = None
    """Counted from 1; None takes all rows."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of a file."""

    rows: int
    """How many it has now."""
    dropped: int
    changed: int


@dataclass
class _Plan:
    """What is done in which row; rows are counted from 0."""

    dropped: set[int] = field(default_factory=set)
    mended: dict[int, list[tuple[int, Field, FindingKind]]] = field(default_factory=lambda: defaultdict(list))
    kept: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """Turns that take the answer of an earlier row, and which."""
    answers: dict[int, list[str]] = field(default_factory=dict)
    """Answers of the rows that others take theirs from; filled when these are passed."""


def apply_repairs(path: Path, choice: Choice, target: Path) -> Repaired:
    """Write the rows of `path` to `target` with the chosen repairs; not safe against a crash in between."""
    plan = _planned(search_file(path).hits, choice)
    rows = changed = count = 0
    with path.open("rb") as file, target.open("wb") as output:
        for count, line in enumerate(filter(bytes.strip, file), 1):
            mended = _mended(line, count - 1, plan)
            if mended is not None:
                rows += 1
                changed += mended != line
                output.write(mended)
    return Repaired(rows=rows, dropped=count - rows, changed=changed)


def _planned(hits: Hits, choice: Choice) -> _Plan:
    plan = _Plan()
    for kind in FindingKind:
        if kind in choice.kinds and kind in hits:
            for row, turn, named, action, other in _chosen(hits[kind], choice.rows).tolist():
                match ACTIONS[action]:
                    case RepairAction.DROP_ROW:
                        plan.dropped.add(row)
                    case RepairAction.REPLACE_TEXT:
                        plan.mended[row].append((turn, FIELDS[named], kind))
                    case RepairAction.KEEP_FIRST:
                        plan.kept[row].append((turn, other))
                        plan.answers[other] = []
    return plan


def _chosen(hits: Numbers, rows: Collection[int] | None) -> Numbers:
    return hits if rows is None else hits[np.isin(hits["row"] + 1, list(rows))]


def _mended(line: bytes, row: int, plan: _Plan) -> bytes | None:
    """Return the line of a row as it will be; None where it is dropped."""
    is_touched = row in plan.mended or row in plan.kept
    if not is_touched and row not in plan.answers:
        return None if row in plan.dropped else line
    made = json.loads(line)
    conversation = made["conversation"]
    for turn, name, kind in plan.mended.get(row, ()):
        mended = repaired_text(kind, conversation[turn][name])
        conversation[turn][name] = conversation[turn][name] if mended is None else mended
    for turn, other in plan.kept.get(row, ()):
        conversation[turn]["output"] = plan.answers[other][turn]
    if row in plan.answers:
        plan.answers[row] = [turn["output"] for turn in conversation]
    if row in plan.dropped:
        return None
    return json.dumps(made, ensure_ascii=False).encode() + b"\n" if is_touched else line
