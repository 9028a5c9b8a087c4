"""From places in rows to findings: the sentence, the text that is meant, and the proposed repair."""

from collections.abc import Callable, Sequence
from typing import Any

from app.domain.findings import damage
from app.domain.findings.hits import ACTIONS, FIELDS, NOTHING, Hits
from app.domain.findings.kinds import (
    GENERAL,
    IDENTITY,
    MOST_EXAMPLES,
    Field,
    Finding,
    FindingKind,
    Findings,
    Repair,
    RepairAction,
)
from app.domain.findings.table import Numbers
from app.domain.messages import Message, message

EXCERPT = 200  # characters of a text that a finding carries

Turn = dict[str, Any]
Conversation = Sequence[Turn]
RowAt = Callable[[int], Conversation]
PlaceOf = Callable[[int], tuple[str, int]]
"""Names the source of a row, and the row's number in it; both rows are counted from 0."""


def findings_of(hits: Hits, row_at: RowAt, *, rows: int, place_of: PlaceOf) -> Findings:
    """Count the hits, and put the first of each kind into words."""
    return Findings(
        rows=rows,
        counts={kind: len(found) for kind, found in hits.items()},
        examples=tuple(
            _finding(kind, hit, row_at, place_of) for kind, found in hits.items() for hit in found[:MOST_EXAMPLES]
        ),
    )


def _finding(kind: FindingKind, hit: Numbers, row_at: RowAt, place_of: PlaceOf) -> Finding:
    turn = max(int(hit["turn"]), 0)
    field = FIELDS[hit["field"]] if hit["field"] != NOTHING else None
    here, (source, row) = row_at(int(hit["row"])), place_of(int(hit["row"]))
    is_pair = hit["other"] != NOTHING
    there = row_at(int(hit["other"])) if is_pair else ()
    other_source, other_row = place_of(int(hit["other"])) if is_pair else (None, None)
    text = text_of(here, turn, field or Field.INPUT)
    return Finding(
        kind=kind,
        source=source,
        row=row + 1,
        turn=turn + 1 if hit["turn"] != NOTHING else None,
        field=field,
        text=text[:EXCERPT],
        other_source=other_source,
        other_row=other_row + 1 if other_row is not None else None,
        other_text=text_of(there, turn, field or Field.INPUT)[:EXCERPT],
        sentence=_pair_sentence(kind, here, there, _place(source, other_source, other_row))
        if other_row is not None
        else SENTENCES[kind],
        repair=_repair(kind, ACTIONS[hit["action"]], text, text_of(there, turn, Field.OUTPUT)),
    )


def _place(source: str, other_source: str | None, other_row: int | None) -> Message:
    """Name a row, and its source where that is another one."""
    number = (other_row or 0) + 1
    if other_source in {source, None} and source not in {IDENTITY, GENERAL}:
        return message("Row {row}", row=number)
    if other_source == IDENTITY:
        return message("Identity pair {row}", row=number)
    if other_source == GENERAL:
        return message("General pair {row}", row=number)
    return message("Row {row} of “{source}”", row=number, source=other_source)


def text_of(conversation: Conversation, turn: int, field: Field) -> str:
    """Return one text of a row; empty where it has none."""
    return (conversation[turn][field] or "") if turn < len(conversation) else ""


def conflict_sentence(source: str, other_source: str, other_row: int) -> Message:
    """Say that another row, counted from 0, answers otherwise."""
    place = _place(source, other_source, other_row)
    return message("{place} gives another answer to the same question.", place=place)


def _pair_sentence(kind: FindingKind, here: Conversation, there: Conversation, place: Message) -> Message:
    if kind is FindingKind.CONFLICT:
        return message("{place} gives another answer to the same question.", place=place)
    if kind is FindingKind.DUPLICATE:
        return message("{place} holds the same questions and answers.", place=place)
    if [turn["output"] for turn in here] == [turn["output"] for turn in there]:
        return message("{place} asks nearly the same and gives the same answer.", place=place)
    return message("{place} asks nearly the same and gives another answer.", place=place)


SENTENCES = {
    FindingKind.EMPTY_ANSWER: message("The answer is empty: the model would learn to say nothing."),
    FindingKind.EMPTY_QUESTION: message("The question is empty."),
    FindingKind.ENCODING_DAMAGE: message("The text was read in a wrong encoding, or holds characters nobody can see."),
    FindingKind.TAUGHT_IN_GENERAL: message("The answer holds what the identity pairs teach: a leak that is trained."),
    FindingKind.NO_LOSS: message("No answer of this row carries loss, so that nothing is learnt from it."),
    FindingKind.ODD_TURNS: message("A role marker or a template's token stands in the text."),
}
"""What is said of a text by itself."""


def _repair(kind: FindingKind, action: RepairAction, text: str, first_answer: str) -> Repair:
    match action:
        case RepairAction.KEEP_FIRST:
            return Repair(action, message("Give it the first answer."), text=first_answer[:EXCERPT])
        case RepairAction.REPLACE_TEXT:
            return Repair(action, REPLACED[kind], text=(repaired_text(kind, text) or "")[:EXCERPT])
    return Repair(action, message("Drop this row."))


REPLACED = {
    FindingKind.ENCODING_DAMAGE: message("Put back what it was."),
    FindingKind.ODD_TURNS: message("Leave the marker out."),
}


def repaired_text(kind: FindingKind, text: str) -> str | None:
    """Return a text without what is wrong with it by itself; None where it cannot be put right."""
    if kind is FindingKind.ENCODING_DAMAGE:
        return damage.undamaged(text)
    return damage.without_markers(text) if kind is FindingKind.ODD_TURNS else None
