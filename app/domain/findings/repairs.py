"""
Put a stored dataset right as its findings propose: a new file, the old one stays as it is.

Rows are searched again, all of them, since findings keep examples only. Where several repairs meet
in one row, dropping it wins; a text's own damage is put right before an answer is taken from an
earlier row. For the child process, as `files` is.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from app.domain.datasets.rows import Row, RowWriter, read_rows
from app.domain.findings.choices import Choice, Repaired
from app.domain.findings.files import search_file
from app.domain.findings.hits import ACTIONS, FIELDS, Hits
from app.domain.findings.kinds import Field, FindingKind, RepairAction
from app.domain.findings.sentences import repaired_text
from app.domain.findings.table import Numbers


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
    """
    Write the rows of a stored dataset with the chosen repairs.

    Args:
        path: the stored rows; they stay as they are.
        choice: what to do.
        target: where the new rows go, with an index beside them; there must be no such file.
    """
    plan = _planned(search_file(path).hits if choice.kinds else {}, choice)
    read = changed = 0
    with RowWriter(target) as writer:
        for read, row in enumerate(read_rows(path), 1):
            changed += _mend(row, read - 1, plan)
            if read - 1 not in plan.dropped:
                writer.write(row["conversation"])
    return Repaired(writer.rows, read - writer.rows, changed, writer.size_bytes, writer.sha256)


def _planned(hits: Hits, choice: Choice) -> _Plan:
    plan = _Plan(dropped={row - 1 for row in choice.drop})
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


def _mend(row: Row, number: int, plan: _Plan) -> bool:
    """Put a row right, and say whether it will be kept and is another one now."""
    conversation = row["conversation"]
    before = [dict(turn) for turn in conversation] if number in plan.mended or number in plan.kept else None
    for place, name, kind in plan.mended.get(number, ()):
        mended = repaired_text(kind, conversation[place][name.value])
        conversation[place][name.value] = conversation[place][name.value] if mended is None else mended
    for place, other in plan.kept.get(number, ()):
        conversation[place]["output"] = plan.answers[other][place]
    if number in plan.answers:
        plan.answers[number] = [turn["output"] for turn in conversation]
    return before is not None and before != conversation and number not in plan.dropped
