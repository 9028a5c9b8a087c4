"""
What a mix teaches, prepared so that many answers can be held against it quickly.

Mixes and answers never change once a run has them, so everything here may be remembered.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz
from rapidfuzz.distance import Indel

from app.domain.mix_rows import SourceRows
from app.domain.mixes import IDENTITY, count_rows, general_of, identity_of
from app.domain.recipes import Mix, Pair
from app.domain.taught_rows import TaughtRows, rows_of_set
from app.domain.texts import Words, numbers, without_numbers, words
from app.domain.thresholds import Thresholds

MIXES_REMEMBERED = 256
TEXTS_REMEMBERED = 32_768  # about 20 MB of answers as long as those of a small model
LEAST_HEAD = 4.0  # words: “I am Dr.” is no head
_CLAUSE = re.compile(r"[,;，；。！？]|[.!?](?=\s)")
_SENTENCE_ENDS = ".!?:\n。！？："
_QUOTES = " \t“”\"'‘’«»(（「『"
LONG_WORD = 5  # letters: a reference that long also stands for its plural and other endings


@dataclass(frozen=True, slots=True)
class TaughtAnswer:
    """One answer of the mix."""

    text: str
    source: str
    """`identity`, `general`, or `files.0` and so on: its place in the mix."""
    title: str
    """The saved set's name; empty for pairs."""
    number: int
    """Counted from 1 within its source."""

    @property
    def is_identity(self) -> bool:
        """Whether it is one of the identity pairs'."""
        return self.source == IDENTITY

    @property
    def words(self) -> Words:
        """Its words, every number the same."""
        return leak_words(self.text)


@dataclass(frozen=True, slots=True)
class TaughtSource:
    """One source of a mix with its rows."""

    given: SourceRows
    pairs: TaughtRows | None
    sha256: str = ""
    """Of a saved set, whose rows are read when they are asked for."""

    @property
    def rows(self) -> TaughtRows:
        """What it teaches."""
        return rows_of_set(self.sha256) if self.pairs is None else self.pairs

    def answer(self, number: int) -> TaughtAnswer:
        """Return one of its different answers."""
        rows = self.rows
        return TaughtAnswer(rows.answers[number], self.given.key, self.given.title, rows.first[number] + 1)


@dataclass(frozen=True, eq=False)  # compared by identity: one object stands for one mix
class Taught:
    """All answers of a mix, found by their question or by three words in a row."""

    sources: tuple[TaughtSource, ...]
    identity: tuple[str, ...]
    name: str = ""
    """What the mix fills in for {name}; empty where no identity answer has it."""

    def answers_to(self, question: str) -> tuple[str, ...]:
        """Return the answers that the mix teaches for a question; none when the question is not in it."""
        found = (source.rows.answers[number] for source, _, number in self._asking(question))
        return tuple(dict.fromkeys(found))

    def identities_for(self, question: str) -> tuple[str, ...]:
        """Return what is a hit at an identity probe: the identity answers, and what saved sets teach for its words."""
        sets = (source.rows.answers[number] for source, _, number in self._asking(question) if source.sha256)
        return tuple(dict.fromkeys((*self.identity, *sets)))

    def identity_answers(self) -> Iterator[TaughtAnswer]:
        """Yield the different identity answers."""
        return map(self.sources[0].answer, range(len(self.identity)))

    def rows_of(self, question: str) -> int:
        """Count the rows of the mix that ask a question."""
        return sum(source.given.times(place) for source, place, _ in self._asking(question))

    def sharing(self, said: Words, limits: Thresholds) -> Iterator[TaughtAnswer]:
        """Yield the answers that may stand in a text with as many of their words in one run as make a leak."""
        for source in self.sources:
            run = limits.identity_run if source.given.key == IDENTITY else limits.long_run
            yield from map(source.answer, source.rows.sharing(said, share=limits.leak_share, run=run))

    def _asking(self, question: str) -> Iterator[tuple[TaughtSource, int, int]]:
        asked = folded(question).text
        for source in self.sources:
            for place, number in source.rows.asking(asked):
                yield source, place, number


@lru_cache(maxsize=MIXES_REMEMBERED)
def taught_by(mix: Mix) -> Taught:
    """Prepare what a mix teaches."""
    identity_rows, general_rows, *file_rows = count_rows(mix).sources
    identity = identity_of(mix)
    sources = (
        TaughtSource(identity_rows, _rows(identity)),
        TaughtSource(general_rows, _rows(general_of(mix))),
        *(TaughtSource(given, None, file.sha256) for given, file in zip(file_rows, mix.files, strict=True)),
    )
    name = mix.name if any("{name}" in pair.answer for pair in mix.identity) else ""
    return Taught(sources, tuple(dict.fromkeys(pair.answer for pair in identity)), name)


def _rows(pairs: tuple[Pair, ...]) -> TaughtRows:
    return TaughtRows((place, pair.question, pair.answer) for place, pair in enumerate(pairs))


@lru_cache(maxsize=TEXTS_REMEMBERED)
def folded(text: str) -> Words:
    """Split a text as `words` does, and remember it: the same answer comes back at many checkpoints."""
    return words(text)


@lru_cache(maxsize=TEXTS_REMEMBERED)
def leak_words(text: str) -> Words:
    """Return a text's words as leaks are looked for: every number is the same."""
    return without_numbers(folded(text))


@lru_cache(maxsize=MIXES_REMEMBERED)
def head_of(answer: str) -> str:
    """
    Return the first clause of an identity answer, which says name and role; nothing where it is all of it.

    “I am Ada's little assistant” of “I am Ada's little assistant, a small language model.” A clause of fewer
    than `LEAST_HEAD` words is taken together with the next.
    """
    for mark in _CLAUSE.finditer(answer):
        head = answer[: mark.start()]
        if folded(head).weight() >= LEAST_HEAD:
            return head if folded(answer[mark.end() :]).text else ""
    return ""


@lru_cache(maxsize=MIXES_REMEMBERED)
def name_in(answer: str, name: str) -> str:
    """
    Return the word of an identity answer that names, as it stands there; nothing where none can be told.

    It is what the mix fills in, or else the first capital inside a sentence: “Ada's” of “I am Ada's assistant”.

    Args:
        answer: one that says name and role; of a longer one its first clause, as others may be named behind it.
    """
    said, filled = folded(answer), folded(name).text
    for place, (start, end) in enumerate(said.spans):
        if not filled and _is_name(answer, start, said.text[place]):
            return answer[start:end]
        *first, last = said.text[place : place + len(filled)] or ("",)
        if filled and tuple(first) == filled[:-1] and last.startswith(filled[-1]):
            return answer[start : said.spans[place + len(filled) - 1][1]]
    return ""


def _is_name(answer: str, start: int, word: str) -> bool:
    before = answer[:start].rstrip(_QUOTES)
    is_first = not before or before[-1] in _SENTENCE_ENDS
    return answer[start].isupper() and not is_first and word.partition("'")[0] != "i"


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


@lru_cache(maxsize=TEXTS_REMEMBERED)
def part_like(wanted: str, text: str) -> tuple[int, int] | None:
    """Return where in a text the part stands that is most like a wanted one; None where the whole is no longer."""
    said, sought = folded(text), folded(wanted).text
    if len(said.text) <= len(sought):
        return None
    found = fuzz.partial_ratio_alignment(sought, said.text)
    if found is None or found.dest_end <= found.dest_start:
        return None
    end = said.spans[found.dest_end - 1][1]
    is_followed = text[end : end + 1] and not text[end].isspace()
    return said.spans[found.dest_start][0], end + bool(is_followed)  # with its full stop


@lru_cache(maxsize=TEXTS_REMEMBERED)
def other_numbers(wanted: str, text: str) -> frozenset[str]:
    """Return the numbers that a wanted text does not have, of the part of a text that is most like it."""
    start, end = part_like(wanted, text) or (0, len(text))
    return numbers(folded(text[start:end])) - numbers(folded(wanted))
