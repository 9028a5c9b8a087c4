"""From places in rows to findings: the sentence, the text that is meant, and the proposed repair."""

from collections.abc import Callable, Sequence
from typing import Any

from app.domain.findings import damage
from app.domain.findings.hits import ACTIONS, FIELDS, NOTHING, Hits
from app.domain.findings.kinds import (
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
QUOTED = 80  # characters of a text within a sentence

Turn = dict[str, Any]
Conversation = Sequence[Turn]
RowAt = Callable[[int], Conversation]


def findings_of(hits: Hits, row_at: RowAt, *, rows: int, source: str) -> Findings:
    """Count the hits of one source, and put the first of each kind into words."""
    return Findings(
        rows=rows,
        counts={kind: len(found) for kind, found in hits.items()},
        examples=tuple(
            _finding(kind, hit, row_at, source) for kind, found in hits.items() for hit in found[:MOST_EXAMPLES]
        ),
    )


def _finding(kind: FindingKind, hit: Numbers, row_at: RowAt, source: str) -> Finding:
    row, other = int(hit["row"]), int(hit["other"])
    turn = max(int(hit["turn"]), 0)
    field = FIELDS[hit["field"]] if hit["field"] != NOTHING else None
    here = row_at(row)
    there = row_at(other) if other != NOTHING else ()
    text, first_answer = text_of(here, turn, field or Field.INPUT), text_of(there, turn, Field.OUTPUT)
    return Finding(
        kind=kind,
        source=source,
        row=row + 1,
        turn=turn + 1 if hit["turn"] != NOTHING else None,
        field=field,
        text=text[:EXCERPT],
        other_source=source if there else None,
        other_row=other + 1 if there else None,
        sentence=_pair_sentence(kind, other + 1, here, there) if there else SENTENCES[kind],
        repair=_repair(kind, ACTIONS[hit["action"]], text, first_answer),
    )


def text_of(conversation: Conversation, turn: int, field: Field) -> str:
    """Return one text of a row; empty where it has none."""
    return (conversation[turn][field] or "") if turn < len(conversation) else ""


def quoted(text: str) -> str:
    """Return the beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= QUOTED else f"{line[: QUOTED - 1]}…"


def _pair_sentence(kind: FindingKind, row: int, here: Conversation, there: Conversation) -> Message:
    if kind is FindingKind.CONFLICT:
        return message("Row {row} gives another answer to the same question.", row=row)
    if kind is FindingKind.DUPLICATE:
        return message("Row {row} holds the same questions and answers.", row=row)
    question = quoted(" / ".join(turn["input"] or "" for turn in there))
    if [turn["output"] for turn in here] == [turn["output"] for turn in there]:
        return message("Row {row} asks nearly the same, “{question}”, and has this answer.", row=row, question=question)
    return message("Row {row} asks nearly the same, “{question}”, and has another answer.", row=row, question=question)


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
