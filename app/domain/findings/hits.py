"""
Search a table for what is wrong, all rows of it: places in rows, without sentences.

A hit is 22 bytes, so that a million of them are little; only those that are shown become findings.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import numpy as np

from app.domain.findings import damage
from app.domain.findings.keys import EMPTY, Keys, chained, text_keys
from app.domain.findings.kinds import Field, FindingKind, RepairAction
from app.domain.findings.table import Numbers, Suspect, Table
from app.domain.findings.taught_runs import TaughtRuns
from app.domain.findings.work import Work

NOTHING = -1
FIELDS, ACTIONS = tuple(Field), tuple(RepairAction)
HIT = np.dtype([("row", "<i8"), ("turn", "<i4"), ("field", "i1"), ("action", "i1"), ("other", "<i8")])
"""Row, turn and the other row are counted from 0; `NOTHING` where there is none."""
_DROP, _KEEP, _REPLACE = (
    ACTIONS.index(action) for action in (RepairAction.DROP_ROW, RepairAction.KEEP_FIRST, RepairAction.REPLACE_TEXT)
)

Hits = dict[FindingKind, Numbers]
FindNear = Callable[[list[str], Keys], Numbers]
"""Says of questions in their contexts which earlier one each is nearly; `NOTHING` for most."""


def find_hits(table: Table, find_near: FindNear) -> Hits:
    """Search for every kind but what is taught elsewhere; what was not found is left out."""
    found: Hits = {
        FindingKind.CONFLICT: _conflicts(table),
        FindingKind.DUPLICATE: _duplicates(table),
        FindingKind.NEAR_DUPLICATE: _near_duplicates(table, find_near),
        FindingKind.EMPTY_ANSWER: _suspects(table, _empty_answer),
        FindingKind.EMPTY_QUESTION: _suspects(table, _empty_question),
        FindingKind.ENCODING_DAMAGE: _suspects(table, _encoding_damage),
        FindingKind.NO_LOSS: _no_loss(table),
        FindingKind.ODD_TURNS: _suspects(table, _odd_turn),
    }
    return {kind: hits for kind, hits in found.items() if len(hits)}


def find_taught(answers: Iterable[Suspect], taught: TaughtRuns, work: Work | None = None) -> Hits:
    """Search answers for what the identity pairs teach, as long as there is work left."""
    hits = _text_hits((answer, _DROP) for answer in answers if taught.run_in(answer.text, work))
    return {FindingKind.TAUGHT_IN_GENERAL: hits} if len(hits) else {}


# ── Rows against rows ──────────────────────────────────────────────────────


def _conflicts(table: Table) -> Numbers:
    """Find turns whose question got another answer before; the first answer is the one to keep."""
    # an empty answer is no answer to keep, and empty questions are not the same question
    place = np.flatnonzero(table.has_loss & (table.answer != EMPTY) & (table.question != EMPTY))
    first = place[_first_of_each(table.asked[place])]
    differs = table.answer[place] != table.answer[first]
    place, first = place[differs], first[differs]
    is_last = np.isin(place, table.last, assume_unique=True)
    # an answer in the middle is what later turns speak of: it cannot be another one
    actions = np.where(is_last, _KEEP, _DROP)
    output = FIELDS.index(Field.OUTPUT)
    return _hits(table.row[place], turn=table.turn[place], other=table.row[first], field=output, action=actions)


def _duplicates(table: Table) -> Numbers:
    first = _first_of_each(table.whole)
    again = np.flatnonzero(first != np.arange(len(first)))
    return _hits(again, other=first[again], action=_DROP)


def _near_duplicates(table: Table, find_near: FindNear) -> Numbers:
    """Find rows whose questions, those of all turns together, are nearly those of an earlier row."""
    joined = _joined_questions(table)
    key = table.question[table.first].copy()
    key[list(joined)] = text_keys(joined.values())
    system = table.system[table.first]
    first = _first_of_each(chained(system, key))
    leaders = np.flatnonzero(first == np.arange(len(first)))
    texts = table.questions_at(table.first[leaders])
    texts = [joined.get(row, text) for row, text in zip(leaders.tolist(), texts, strict=True)] if joined else texts
    earlier = find_near(texts, system[leaders])
    other = np.full(len(first), NOTHING, np.int64)
    other[leaders[earlier >= 0]] = leaders[earlier[earlier >= 0]]
    other = other[first]  # what asks the same as such a row is near too
    near = np.flatnonzero(other >= 0)
    return _hits(near, other=other[near], action=_DROP)


def _joined_questions(table: Table) -> dict[int, str]:
    """Return the questions of each row of several turns, as one text."""
    turns = table.last - table.first + 1
    rows = np.flatnonzero(turns > 1)
    questions = iter(table.questions_at(np.flatnonzero(np.repeat(turns > 1, turns))))
    return {row: "\n".join(islice(questions, count)) for row, count in zip(rows.tolist(), turns[rows], strict=True)}


def _first_of_each(keys: Keys) -> Numbers:
    """Return for each key the place where the same one stood first."""
    order = np.argsort(keys, kind="stable")
    same = keys[order]
    is_start = np.append(True, same[1:] != same[:-1])[: len(same)]
    first = np.empty(len(keys), np.int64)
    first[order] = order[is_start][np.cumsum(is_start) - 1]
    return first


def _no_loss(table: Table) -> Numbers:
    teaches = np.zeros(len(table.first), bool)
    teaches[table.row[table.has_loss]] = True
    return _hits(np.flatnonzero(~teaches), action=_DROP)


# ── Texts by themselves ────────────────────────────────────────────────────


def _suspects(table: Table, judge: Callable[[Table, Suspect], int | None]) -> Numbers:
    judged = ((suspect, judge(table, suspect)) for suspect in table.suspects)
    return _text_hits((suspect, action) for suspect, action in judged if action is not None)


def _empty_answer(table: Table, suspect: Suspect) -> int | None:
    place = table.first[suspect.row] + suspect.turn
    is_empty = suspect.field is Field.OUTPUT and damage.is_blank(suspect.text) and table.has_loss[place]
    return _DROP if is_empty else None


def _empty_question(_: Table, suspect: Suspect) -> int | None:
    return _DROP if suspect.field is Field.INPUT and damage.is_blank(suspect.text) else None


def _encoding_damage(_: Table, suspect: Suspect) -> int | None:
    if damage.is_blank(suspect.text) or not damage.is_damaged(suspect.text):
        return None
    return _DROP if damage.undamaged(suspect.text) is None else _REPLACE


def _odd_turn(_: Table, suspect: Suspect) -> int | None:
    if not damage.is_odd(suspect.text):
        return None
    return _DROP if damage.without_markers(suspect.text) is None else _REPLACE


def _text_hits(found: Iterable[tuple[Suspect, int]]) -> Numbers:
    hits = np.array(
        [(each.row, each.turn, FIELDS.index(each.field), action, NOTHING) for each, action in found], dtype=HIT
    )
    return np.sort(hits, order=["row", "turn", "field"])


def _hits(row: Numbers, **columns: Any) -> Numbers:  # noqa: ANN401 - numbers, or one for all
    hits = np.full(len(row), NOTHING, HIT)
    hits["row"] = row
    for name, values in columns.items():
        hits[name] = values
    return hits
