"""
A leak: a taught answer that comes back where it was not asked for.

Errs towards silence. A run of words proves nothing when the question holds its words already,
when the base model said it before anything was taught, or when the taught answer would be right
here. Of the identity a shorter run proves as much: nothing else says so of itself. Numbers are all
the same, and prove nothing. What is taught in one or two words ("Paris.") cannot be told from a right answer, so it
never counts, but for an identity that comes back as the whole answer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

from app.domain.recipes import Probe
from app.domain.taught import TEXTS_REMEMBERED, Taught, TaughtAnswer, holds, leak_words
from app.domain.texts import NUMBER, Words, word_weight
from app.domain.thresholds import DEFAULTS, Thresholds

LEAST_RUN = 3.0  # words, or six characters, that the question does not hold; shorter runs are everyday phrases
WHOLE = 0.95  # from this share on the page says "whole answer"


@dataclass(frozen=True, slots=True)
class Leak:
    """Where a taught answer came back."""

    answer: TaughtAnswer
    share: float
    """0 to 1: the run's part of the taught answer."""
    start: int
    end: int
    """The run stands at these characters of the answer."""

    @property
    def is_whole(self) -> bool:
        """Whether the taught answer came back word for word."""
        return self.share >= WHOLE


@lru_cache(maxsize=TEXTS_REMEMBERED)
def leak_in(
    taught: Taught, probe: Probe, text: str, base: str = "", *, thresholds: Thresholds = DEFAULTS
) -> Leak | None:
    """Find the taught answer that an answer repeats most of, where the probe did not ask for it."""
    said = leak_words(text)
    leaks = [
        _leak(answer, probe, said, base=leak_words(base), limits=thresholds)
        for answer in taught.sharing(said, thresholds)
        if not _was_asked_for(taught, answer, probe)
    ]
    leaks += [_short_identity(answer, said) for answer in taught.identity_answers()]
    return max((leak for leak in leaks if leak), key=lambda leak: leak.share, default=None)


def _leak(answer: TaughtAnswer, probe: Probe, said: Words, *, base: Words, limits: Thresholds) -> Leak | None:
    match = SequenceMatcher(None, said.text, answer.words.text, autojunk=False).find_longest_match()
    start, end = match.a, match.a + match.size
    run, share = said.text[start:end], said.weight(start, end) / answer.words.weight()
    proof = _proof(run, probe)
    enough = limits.identity_run if answer.is_identity else limits.long_run
    is_long = share >= limits.leak_share or said.weight(start, end) >= enough
    if not is_long or proof < LEAST_RUN or _stands_in(run, base.text):
        return None
    return Leak(answer, share, said.spans[start][0], said.spans[end - 1][1])


def _proof(run: Iterable[str], probe: Probe) -> float:
    """Weigh the words of a run that prove something: neither the question's own nor numbers."""
    question = leak_words(probe.question).text
    return sum(word_weight(word) for word in run if word not in question and word != NUMBER)


def _was_asked_for(taught: Taught, answer: TaughtAnswer, probe: Probe) -> bool:
    if answer.text in taught.answers_to(probe.question):
        return True
    return not answer.is_identity and bool(probe.reference) and holds(probe.reference, answer.text)


def _short_identity(answer: TaughtAnswer, said: Words) -> Leak | None:
    if answer.words.weight() >= LEAST_RUN or not said.text or said.text != answer.words.text:
        return None
    return Leak(answer, 1.0, said.spans[0][0], said.spans[-1][1])


def _stands_in(run: tuple[str, ...], text: tuple[str, ...]) -> bool:
    return "\0" + "\0".join(run) + "\0" in "\0" + "\0".join(text) + "\0"
