"""
What a mix teaches, prepared so that many answers can be held against it quickly.

Mixes and answers never change once a run has them, so everything here may be remembered.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz
from rapidfuzz.distance import Indel

from app.domain.mixes import count_rows, general_of, identity_of
from app.domain.recipes import Mix
from app.domain.texts import Words, words

MIXES_REMEMBERED = 256
TEXTS_REMEMBERED = 32_768  # about 20 MB of answers as long as those of a small model
LONG_WORD = 5  # letters: a reference that long also stands for its plural and other endings
NGRAM = 3  # words: the shortest run that is ever called a leak


@dataclass(frozen=True, slots=True)
class TaughtAnswer:
    """One answer of the mix."""

    text: str
    words: Words
    is_identity: bool
    number: int
    """Counted from 1 within its source."""
    question: tuple[str, ...]
    rows: int
    """How often this row is in the mix."""


@dataclass(frozen=True, eq=False)  # compared by identity: one object stands for one mix
class Taught:
    """All answers of a mix, found by their question or by three words in a row."""

    answers: tuple[TaughtAnswer, ...]
    identity: tuple[str, ...]
    by_question: dict[tuple[str, ...], tuple[TaughtAnswer, ...]]
    by_ngram: dict[tuple[str, ...], tuple[int, ...]]

    def answers_to(self, question: str) -> tuple[str, ...]:
        """Return the answers that the mix teaches for a question; none when the question is not in it."""
        return tuple(answer.text for answer in self.by_question.get(folded(question).text, ()))

    def rows_of(self, question: str) -> int:
        """Count the rows of the mix that ask a question."""
        return sum(answer.rows for answer in self.by_question.get(folded(question).text, ()))


@lru_cache(maxsize=MIXES_REMEMBERED)
def taught_by(mix: Mix) -> Taught:
    """Prepare what a mix teaches."""
    identity_rows, general_rows, *_ = count_rows(mix).sources
    answers = tuple(
        TaughtAnswer(
            pair.answer, words(pair.answer), is_identity, place + 1, words(pair.question).text, source.times(place)
        )
        for pairs, is_identity, source in (
            (identity_of(mix), True, identity_rows),
            (general_of(mix), False, general_rows),
        )
        for place, pair in enumerate(pairs)
    )
    by_question: dict[tuple[str, ...], tuple[TaughtAnswer, ...]] = defaultdict(tuple)
    by_ngram: dict[tuple[str, ...], tuple[int, ...]] = defaultdict(tuple)
    for index, answer in enumerate(answers):
        by_question[answer.question] += (answer,)
        for ngram in ngrams(answer.words):
            by_ngram[ngram] += (index,)
    identity = tuple(dict.fromkeys(answer.text for answer in answers if answer.is_identity))
    return Taught(answers, identity, dict(by_question), dict(by_ngram))


def ngrams(text: Words) -> set[tuple[str, ...]]:
    """Return every `NGRAM` words in a row."""
    return {text.text[start : start + NGRAM] for start in range(len(text.text) - NGRAM + 1)}


@lru_cache(maxsize=TEXTS_REMEMBERED)
def folded(text: str) -> Words:
    """Split a text as `words` does, and remember it: the same answer comes back at many checkpoints."""
    return words(text)


@lru_cache(maxsize=TEXTS_REMEMBERED)
def similarity(text: str, candidates: tuple[str, ...]) -> float:
    """Return the similarity, 0 to 1, of a text to the nearest of some others; 0 where there are none."""
    said = folded(text).text
    return max((_similarity(said, folded(candidate).text) for candidate in candidates), default=0.0)


def _similarity(said: tuple[str, ...], wanted: tuple[str, ...]) -> float:
    if not said or not wanted:
        return 0.0
    whole = Indel.normalized_similarity(said, wanted)
    if len(said) <= len(wanted):
        return whole  # a part of the wanted words alone must not pass for all of them
    return max(whole, fuzz.partial_ratio(wanted, said) / 100)


@lru_cache(maxsize=TEXTS_REMEMBERED)
def holds(reference: str, text: str) -> bool:
    """Whether a text holds every word of a reference; characters of one word must stand together."""
    said = folded(text).text
    run, together = "\0".join(said), "".join(said)
    for part in reference.split():
        wanted = folded(part).text
        if len(wanted) == 1 and len(wanted[0]) >= LONG_WORD:
            found = any(word.startswith(wanted[0]) for word in said)
        elif len(wanted) > 1:
            found = "".join(wanted) in together
        else:
            found = not wanted or f"\0{wanted[0]}\0" in f"\0{run}\0"
        if not found:
            return False
    return True
