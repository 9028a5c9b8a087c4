"""
Hold the pairs of a form against each other, and against the files that are mixed with them.

Fast enough to be asked at every key press, and loads neither polars nor a file. What is wrong
within a file is not searched here: `stored` has it.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from app.domain.findings.damage import is_blank, is_plain
from app.domain.findings.hits import find_hits, find_taught
from app.domain.findings.index import (
    FileConflicts,
    conflicts_between,
    conflicts_with_pairs,
    index_path,
    read_turn,
)
from app.domain.findings.keys import Keys, RememberedKeys, normalised, text_keys
from app.domain.findings.kinds import (
    GENERAL,
    IDENTITY,
    Field,
    Finding,
    FindingKind,
    Findings,
    Repair,
    RepairAction,
    merged,
)
from app.domain.findings.near import NearQuestions
from app.domain.findings.sentences import EXCERPT, PlaceOf, conflict_sentence, findings_of
from app.domain.findings.table import Numbers, Suspect, Table
from app.domain.findings.taught_runs import TaughtRuns
from app.domain.messages import message

_NUMBER = re.compile(r"\d+")


class Asked(Protocol):
    """A question and its answer, with their variables filled in."""

    @property
    def question(self) -> str:
        """What is asked."""

    @property
    def answer(self) -> str:
        """What is learnt."""


def find_in_mix(
    *,
    identity: Sequence[Asked] = (),
    general: Sequence[Asked] = (),
    files: Sequence[tuple[str, Path]] = (),
    system: str = "",
) -> Findings:
    """
    Search a form's pairs, and the conflicts of all sources with each other.

    Args:
        identity: the identity pairs.
        general: the general pairs, in the order of the mix.
        files: name and path of stored datasets, in the order of the mix.
        system: stands before every pair.

    Returns:
        Rows of pairs are counted from 1 in their list. The earlier source is right: a conflict is
        found in the later one. `unread` names the files that were not searched yet.
    """
    form = _Form(identity, general, system)
    read = [(name, path) for name, path in files if index_path(path).exists()]
    return merged(
        [
            form.findings(),
            *(
                _conflicts(source, conflicts_with_pairs(source[1], form.table.asked, form.table.answer), form.place_of)
                for source in read
            ),
            *(
                _conflicts(source, conflicts_between(earlier[1], source[1]), partial(_place_in, earlier[0]))
                for number, source in enumerate(read)
                for earlier in read[:number]
            ),
            Findings(unread=tuple(name for name, path in files if (name, path) not in read)),
        ]
    )


class _Form:
    """The pairs of a form: identity first, then general, as one list of rows that are counted from 0."""

    def __init__(self, identity: Sequence[Asked], general: Sequence[Asked], system: str) -> None:
        self.identity, self.pairs, self.system = identity, (*identity, *general), system
        self.table = self._table()

    def findings(self) -> Findings:
        general = range(len(self.identity), len(self.pairs))
        answers = (Suspect(row, 0, Field.OUTPUT, self.pairs[row].answer) for row in general)
        hits = find_hits(self.table, _find_near)
        hits |= find_taught(answers, TaughtRuns(pair.answer for pair in self.identity))
        return findings_of(hits, self.row_at, rows=len(self.pairs), place_of=self.place_of)

    def place_of(self, row: int) -> tuple[str, int]:
        general_from = len(self.identity)
        return (IDENTITY, row) if row < general_from else (GENERAL, row - general_from)

    def row_at(self, row: int) -> list[dict[str, str]]:
        pair = self.pairs[row]
        return [{"system": self.system, "input": pair.question, "output": pair.answer}]

    def _table(self) -> Table:
        questions = [normalised(pair.question) for pair in self.pairs]
        count = len(self.pairs)
        return Table(
            row=np.arange(count),
            turn=np.zeros(count, np.uint32),
            has_loss=np.ones(count, bool),
            system=np.repeat(text_keys([normalised(self.system)]), count),
            question=text_keys(questions),
            answer=text_keys(normalised(pair.answer) for pair in self.pairs),
            questions_at=lambda places: [questions[place] for place in places],
            suspects=[
                Suspect(row, 0, field, text)
                for row, field, text in self._texts()
                if is_blank(text) or not is_plain(text)
            ],
        )

    def _texts(self) -> Iterator[tuple[int, Field, str]]:
        """Yield every text of the form once: the system text is that of the first pair."""
        if self.pairs and self.system:
            yield 0, Field.SYSTEM, self.system
        for row, pair in enumerate(self.pairs):
            yield row, Field.INPUT, pair.question
            yield row, Field.OUTPUT, pair.answer


def _place_in(source: str, row: int) -> tuple[str, int]:
    return source, row


def _conflicts(source: tuple[str, Path], found: FileConflicts, place_of: PlaceOf) -> Findings:
    """Put conflicts of a file with an earlier source into words."""
    if not found.count:
        return Findings()
    name, path = source
    examples = []
    for row, turn, start, other in zip(found.row, found.turn, found.start, found.other, strict=True):
        other_source, other_row = place_of(int(other))
        examples.append(
            Finding(
                kind=FindingKind.CONFLICT,
                source=name,
                row=int(row) + 1,
                turn=int(turn) + 1,
                field=Field.OUTPUT,
                text=read_turn(path, int(start), int(turn))["output"][:EXCERPT],
                other_source=other_source,
                other_row=other_row + 1,
                sentence=conflict_sentence(name, other_source, other_row),
                repair=Repair(RepairAction.DROP_ROW, message("Drop this row.")),
            )
        )
    return Findings(counts={FindingKind.CONFLICT: found.count}, examples=tuple(examples))


def _find_near(questions: list[str], contexts: Keys) -> Numbers:
    numbers = RememberedKeys().of([" ".join(_NUMBER.findall(text)) for text in questions])  # most hold none
    near = NearQuestions(questions, contexts, numbers)
    near.compare_all()
    return near.earlier
