"""
Runs by words: each must stand in a run's name, in its model's or in one of its answers.

In names any part of a word counts, in answers its beginning: see `answer_search.py`.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, or_
from sqlalchemy import select as sa_select
from sqlmodel import Session, col

from app.domain.answer_search import begins_word, pieces_of, runs_that_said
from app.domain.models import Answer, Checkpoint, Model, Run, RunProbe
from app.domain.texts import plain, words

MOST_WORDS = 32  # a statement of a thousand is too deep for SQLite; who types so many means a sentence
LONGEST_SENTENCE = 160  # characters; of a longer one, what is around its first word that was searched for
CANDIDATES = 40  # answers of a run that are split into words: `art` is seen in `part` too, and not found
_OF_SWEEP = re.compile(r"sweep:(\d{1,9})", re.ASCII)  # in a search: the runs of one sweep
_SENTENCE_END = re.compile(r"[.!?]+(?=\s)|[。！？\n]+")


@dataclass(frozen=True, slots=True)
class Hit:
    """The sentence of a run's earliest answer that a search found."""

    checkpoint_id: int
    probe_id: int
    iteration: int
    question: str
    pieces: tuple[tuple[str, bool], ...]
    """The sentence in parts, and whether each is what was searched for."""


def query_words(query: str) -> list[str]:
    """Split what is searched for into words, each of which must fit; `sweep:3` is one of them."""
    return query.replace("\x00", " ").split()[:MOST_WORDS]  # Postgres knows no NUL


def search_words(query: str) -> list[str]:
    """Return the words of a query that are looked for in texts."""
    return [word for word in query_words(query) if not _OF_SWEEP.fullmatch(word)]


def matching(query: str, dialect: str) -> list[ColumnElement[bool]]:
    """Return what a run joined with its model must fulfil to be found."""
    return [_matches(word, dialect) for word in query_words(query)]


def _matches(word: str, dialect: str) -> ColumnElement[bool]:
    if found := _OF_SWEEP.fullmatch(word):
        return col(Run.sweep_id) == int(found[1])
    return or_(
        col(Run.name).icontains(word, autoescape=True),
        col(Model.name).icontains(word, autoescape=True),
        col(Run.id).in_(runs_that_said(dialect, word)),
    )


# ── Why a run was found ────────────────────────────────────────────────────


def find_hits(session: Session, runs: Sequence[Run], query: str) -> dict[int, Hit]:
    """Return what was found in the answers of runs, by run id; of runs found by name alone, nothing."""
    sought = [pieces for word in search_words(query) if (pieces := pieces_of(word))]
    runs_by_word: dict[str, list[int]] = defaultdict(list)
    for run in runs:
        names = f"{run.name}\n{run.model.name}".casefold()
        missing = next((word for word in search_words(query) if word.casefold() not in names), None)
        if missing is not None:
            runs_by_word[missing].append(run.id or 0)
    hits: dict[int, Hit] = {}
    for word, run_ids in runs_by_word.items():
        for run_id, answers in _candidates(session, word, run_ids).items():
            for checkpoint_id, probe_id, text, iteration, question in _likely(answers, sought):
                if spans := _found(text, sought):
                    hits[run_id] = Hit(checkpoint_id, probe_id, iteration, question, _sentence(text, spans))
                    break
    return hits


def _candidates(session: Session, word: str, run_ids: Sequence[int]) -> dict[int, list[Any]]:
    """Return some runs' earliest answers that may hold a word: few, whose pieces the database sees in them."""
    columns = (Checkpoint.run_id, Answer.checkpoint_id, Answer.probe_id, Answer.text, Checkpoint.iteration)
    order = (col(Checkpoint.iteration), col(RunProbe.position))
    place = func.row_number().over(partition_by=col(Checkpoint.run_id), order_by=order).label("place")
    here = sa_select(*map(col, columns), col(RunProbe.question), place).join_from(Checkpoint, Answer).join(RunProbe)
    here = here.where(col(Checkpoint.run_id).in_(run_ids), *_seen_in_text(word))
    found = here.subquery()
    answers: dict[int, list[Any]] = defaultdict(list)
    first = sa_select(found).where(found.c.place <= CANDIDATES).order_by(found.c.run_id, found.c.place)
    for run_id, *answer, _ in session.execute(first):
        answers[run_id].append(answer)
    return answers


def _seen_in_text(word: str) -> list[ColumnElement[bool]]:
    # SQLite folds the case of English letters alone: as typed, and as the index has it.
    text, typed = col(Answer.text), words(word)
    return [
        or_(text.icontains(word[start:end], autoescape=True), text.icontains(piece, autoescape=True))
        for piece, (start, end) in zip(typed.text, typed.spans, strict=True)
    ]


def _likely(answers: Sequence[Any], sought: Sequence[Sequence[str]]) -> list[Any]:
    """Sort answers by how many of the words they may hold: to be sure, each would have to be split."""

    def missing(answer: Any) -> int:  # noqa: ANN401 - a row
        text = plain(answer[2])
        return sum(any(piece not in text for piece in pieces) for pieces in sought)

    return sorted((answer for answer in answers if missing(answer) < len(sought)), key=missing)


def _found(text: str, sought: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """Return where words stand in a text, in order and apart."""
    here = words(text)
    spans: list[tuple[int, int]] = []
    for at in range(len(here.text)):
        for *whole, last in sought:
            end = at + len(whole)
            if here.text[at:end] == tuple(whole) and end < len(here.text) and begins_word(here.text[end], last):
                start = here.spans[at][0]
                if spans and start < spans[-1][1]:
                    spans[-1] = (spans[-1][0], max(spans[-1][1], here.spans[end][1]))
                else:
                    spans.append((start, here.spans[end][1]))
    return spans


def _sentence(text: str, spans: Sequence[tuple[int, int]]) -> tuple[tuple[str, bool], ...]:
    first = spans[0]
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    start = max((end for end in ends if end <= first[0]), default=0)
    stop = min((end for end in ends if end >= first[1]), default=len(text))
    before = after = ""
    if stop - start > LONGEST_SENTENCE:
        start, before = max(start, first[0] - LONGEST_SENTENCE // 3), "…"
        stop, after = min(stop, start + LONGEST_SENTENCE), "…"
    pieces = [(before, False)]
    for at, end in spans:
        if at < stop:
            pieces += [(text[start:at], False), (text[at : min(end, stop)], True)]
            start = min(end, stop)
    pieces += [(text[start:stop] + after, False)]
    return tuple((piece, is_sought) for piece, is_sought in pieces if piece)
