"""
The pairs of a form against each other, remembered by a digest of them: typing elsewhere costs nothing.

What is held against what for nearness is limited. A form may hold two thousand pairs of thousands of
characters each, all nearly alike, and somebody waits.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from threading import Lock
from typing import Protocol

import numpy as np

from app.domain.findings.damage import is_blank, is_plain
from app.domain.findings.hits import find_hits, find_taught
from app.domain.findings.keys import Keys, RememberedKeys, normalised, text_keys
from app.domain.findings.kinds import GENERAL, IDENTITY, Field, Findings
from app.domain.findings.near import NearQuestions
from app.domain.findings.sentences import findings_of
from app.domain.findings.table import Numbers, Suspect, Table
from app.domain.findings.taught_runs import TaughtRuns
from app.domain.findings.work import Work

MOST_STEPS = 200_000_000  # for near questions, and for taught answers: some 0.2 s each
FORMS_REMEMBERED = 16
_NUMBER = re.compile(r"\d+")
_remembered: dict[bytes, "SearchedPairs"] = {}
_remembering = Lock()


class Asked(Protocol):
    """A question and its answer, with their variables filled in."""

    @property
    def question(self) -> str:
        """What is asked."""

    @property
    def answer(self) -> str:
        """What is learnt."""


@dataclass(frozen=True, eq=False)
class SearchedPairs:
    """What is wrong with the pairs of a form, and their keys; rows are identity first, then general."""

    identity: int
    """How many pairs are identity pairs."""
    asked: Keys
    answers: Keys
    findings: Findings

    def place_of(self, row: int) -> tuple[str, int]:
        """Return the list that a row is in, and its place there."""
        return _place_of(self.identity, row)


def search_pairs(identity: Sequence[Asked], general: Sequence[Asked], system: str) -> SearchedPairs:
    """Search the pairs of a form; those that were searched lately are not searched again."""
    digest = _digest(identity, general, system)
    known = _remembered.get(digest)
    if known is None:
        known = _Form(identity, general, system).searched()
        with _remembering:
            if len(_remembered) >= FORMS_REMEMBERED:
                del _remembered[next(iter(_remembered))]
            _remembered[digest] = known
    return known


def _digest(identity: Sequence[Asked], general: Sequence[Asked], system: str) -> bytes:
    digest = sha256(f"{len(identity)}".encode())
    for text in (system, *(text for pair in (*identity, *general) for text in (pair.question, pair.answer))):
        written = text.encode("utf-8", "surrogatepass")
        digest.update(f" {len(written)} ".encode())
        digest.update(written)
    return digest.digest()


def _place_of(identity: int, row: int) -> tuple[str, int]:
    return (IDENTITY, row) if row < identity else (GENERAL, row - identity)


class _Form:
    """The pairs of a form: identity first, then general, as one list of rows that are counted from 0."""

    def __init__(self, identity: Sequence[Asked], general: Sequence[Asked], system: str) -> None:
        self.identity, self.pairs, self.system = identity, (*identity, *general), system
        self.table = self._table()

    def searched(self) -> SearchedPairs:
        general = range(len(self.identity), len(self.pairs))
        answers = (Suspect(row, 0, Field.OUTPUT, self.pairs[row].answer) for row in general)
        near, taught = Work(MOST_STEPS), Work(MOST_STEPS)
        hits = find_hits(self.table, partial(_find_near, near))
        hits |= find_taught(answers, TaughtRuns(pair.answer for pair in self.identity), taught)
        found = findings_of(hits, self.row_at, rows=len(self.pairs), place_of=partial(_place_of, len(self.identity)))
        found = replace(found, is_partial=near.is_over or taught.is_over)
        return SearchedPairs(len(self.identity), self.table.asked, self.table.answer, found)

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


def _find_near(work: Work, questions: list[str], contexts: Keys) -> Numbers:
    numbers = RememberedKeys().of([" ".join(_NUMBER.findall(text)) for text in questions])  # most hold none
    near = NearQuestions(questions, contexts, numbers, work)
    near.compare_all()
    return near.earlier
