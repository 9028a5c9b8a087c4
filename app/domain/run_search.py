"""
Runs by words: each must stand in a run's name, in its model's or in one of its answers.

In names any part of a word counts, in answers its beginning: see `answer_search.py`.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlalchemy import select as sa_select
from sqlmodel import Session, col

from app.domain.answer_search import checkpoints_that_said, pieces_of, runs_that_said
from app.domain.models import Answer, Checkpoint, Model, Run, RunProbe
from app.domain.texts import words

LONGEST_SENTENCE = 160  # characters; of a longer one, what is around its first word that was searched for
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


def search_words(query: str) -> list[str]:
    """Split what is searched for into words, each of which must be found."""
    return query.replace("\x00", " ").split()  # Postgres knows no NUL


def matching(query: str, dialect: str) -> list[ColumnElement[bool]]:
    """Return what a run joined with its model must fulfil to be found."""
    return [
        or_(
            col(Run.name).icontains(word, autoescape=True),
            col(Model.name).icontains(word, autoescape=True),
            col(Run.id).in_(runs_that_said(dialect, word)),
        )
        for word in search_words(query)
    ]


# ── Why a run was found ────────────────────────────────────────────────────


def find_hits(session: Session, runs: Sequence[Run], query: str) -> dict[int, Hit]:
    """Return what was found in the answers of runs, by run id; of runs found by name alone, nothing."""
    sought = [pieces for word in search_words(query) if (pieces := pieces_of(word))]
    hits: dict[int, Hit] = {}
    for run_id, answers in _answers(session, _earliest(session, runs, query)).items():
        # The answer with most of the words; of equals the first.
        best = max(answers, key=lambda answer: len(_found(answer.text, sought)[1]))
        checkpoint_id, probe_id, text, iteration, question = best
        if spans := _found(text, sought)[0]:
            hits[run_id] = Hit(checkpoint_id, probe_id, iteration, question, _sentence(text, spans))
    return hits


def _earliest(session: Session, runs: Sequence[Run], query: str) -> dict[int, int]:
    """Return the earliest checkpoint of each run that said the first word which its names do not hold."""
    runs_by_word: dict[str, list[int]] = defaultdict(list)
    for run in runs:
        names = f"{run.name}\n{run.model.name}".casefold()
        missing = next((word for word in search_words(query) if word.casefold() not in names), None)
        if missing is not None:
            runs_by_word[missing].append(run.id or 0)
    dialect, earliest = session.get_bind().dialect.name, dict[int, int]()
    for word, run_ids in runs_by_word.items():
        for run_id, checkpoint_id in session.execute(checkpoints_that_said(dialect, word, run_ids)):
            earliest.setdefault(run_id, checkpoint_id)
    return earliest


def _answers(session: Session, earliest: dict[int, int]) -> dict[int, list[Any]]:
    named = (Answer.checkpoint_id, Answer.probe_id, Answer.text, Checkpoint.iteration, RunProbe.question)
    found = (
        sa_select(*map(col, named)).join_from(Answer, Checkpoint).join(RunProbe, col(RunProbe.id) == Answer.probe_id)
    )
    found = found.where(col(Answer.checkpoint_id).in_(earliest.values())).order_by(col(RunProbe.position))
    run_of = {checkpoint_id: run_id for run_id, checkpoint_id in earliest.items()}
    answers: dict[int, list[Any]] = defaultdict(list)
    for row in session.execute(found):
        answers[run_of[row.checkpoint_id]].append(row)
    return answers


def _found(text: str, sought: Sequence[Sequence[str]]) -> tuple[list[tuple[int, int]], set[int]]:
    """Return where words stand in a text, in order and apart, and which of them do."""
    here = words(text)
    spans: list[tuple[int, int]] = []
    numbers = set()
    for at in range(len(here.text)):
        for number, (*whole, last) in enumerate(sought):
            end = at + len(whole)
            if here.text[at:end] == tuple(whole) and end < len(here.text) and here.text[end].startswith(last):
                numbers.add(number)
                start = here.spans[at][0]
                if spans and start < spans[-1][1]:
                    spans[-1] = (spans[-1][0], max(spans[-1][1], here.spans[end][1]))
                else:
                    spans.append((start, here.spans[end][1]))
    return spans, numbers


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
