"""
Whether an answer repeats itself: 复读, the way a damaged model goes on and on.

Words are those of `app.domain.texts`: characters in Chinese and Japanese. What it cannot see is the
same thing said again in other words.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.domain.taught import TEXTS_REMEMBERED, folded
from app.domain.texts import Words

REPEATED = 4  # words in a row: shorter ones come back in any text
LEAST_LOOP = 4.0  # words in all, each repeat counted: “no, no, no” is speech
LOOP_TIMES = 3  # in a row, the last one maybe cut; a sentence said twice may be meant
FEWEST_TIMES = 2  # where the answer was cut at its limit: a loop of whole sentences has no room for three
LEAST_SENTENCE = 3.0  # words that come again, where twice is enough
SAME_MARKS = 10  # in a row, where they are half of the answer: “－－－－－－－－－－”
MOSTLY = 0.7  # of the answer's words: so much of it must be what comes again with other words between
_SAME = re.compile(rf"(\S)\1{{{SAME_MARKS - 1},}}")


@dataclass(frozen=True, slots=True)
class Loop:
    """Words that come again and again."""

    start: int
    end: int
    """The loop stands at these characters of the answer, each repeat included."""
    times: float
    """How often the words come, the last time maybe in part."""


@lru_cache(maxsize=TEXTS_REMEMBERED)
def repetition(text: str) -> float:
    """
    Return the share of an answer's runs of four words that have come before in it, 0 to 1.

    0 says that each run is new, and is what a text of fewer than four words gets. Numbers are left out.

    Source:
        `seq-rep-4` of Welleck et al., Neural Text Generation With Unlikelihood Training (arXiv:1908.04319,
        section 6.1): 1 - distinct 4-grams / 4-grams, here over words and not over tokens.
    """
    said = _without_numbers(folded(text)).text
    runs = [said[start : start + REPEATED] for start in range(len(said) - REPEATED + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


@lru_cache(maxsize=TEXTS_REMEMBERED)
def loop_in(text: str, *, is_cut: bool = False) -> Loop | None:
    """
    Find the words that come again and again, with numbers left out.

    They come three times or more in a row up to the end; or twice, where the answer was cut; or a run of
    four words comes three times, and such runs are most of the answer. A mark that comes ten times in a
    row and is half of the answer is a loop too.

    Args:
        is_cut: the answer ended at its limit of tokens.
    """
    said = _without_numbers(folded(text))
    found = _loop_of(said, is_cut=is_cut)
    if found is None and is_cut:  # maybe in the middle of a word, which then is none of those before
        found = _loop_of(Words(said.text[:-1], said.spans[:-1]), is_cut=True)
    return found or _marks(text)


def _loop_of(said: Words, *, is_cut: bool) -> Loop | None:
    length, period = _periodic_end(said.text, LOOP_TIMES)
    if length and said.weight(-length) >= LEAST_LOOP:
        return _loop(said, length, period)
    length, period = _periodic_end(said.text, FEWEST_TIMES)
    if length and said.weight(-period) >= LEAST_SENTENCE and is_cut:
        return _loop(said, length, period)
    return _recurring(said)


def _without_numbers(said: Words) -> Words:
    """Leave numbers out: those of a list part what it repeats, and the noughts of a large one are no loop."""
    kept = [(word, span) for word, span in zip(said.text, said.spans, strict=True) if not word.isdecimal()]
    return Words(tuple(word for word, _ in kept), tuple(span for _, span in kept))


def _periodic_end(said: Sequence[str], times: int) -> tuple[int, int]:
    """Return how many last words are one run said so many `times` or more, and how long that run is; 0 where none."""
    backwards, borders = said[::-1], [0] * len(said)
    longest = 0, 0
    for place in range(1, len(backwards)):  # the prefix function of Knuth, Morris and Pratt, from the end on
        border = borders[place - 1]
        while border and backwards[place] != backwards[border]:
            border = borders[border - 1]
        borders[place] = border + (backwards[place] == backwards[border])
        length, period = place + 1, place + 1 - borders[place]
        if length >= times * period:
            longest = length, period
    return longest


def _recurring(said: Words) -> Loop | None:
    """Find runs of four words that come three times and are most of an answer, whatever stands between them."""
    runs = [said.text[start : start + REPEATED] for start in range(len(said.text) - REPEATED + 1)]
    counts = Counter(runs)
    covered = {
        place for start, run in enumerate(runs) if counts[run] >= LOOP_TIMES for place in range(start, start + REPEATED)
    }
    if not covered or len(covered) < MOSTLY * len(said.text):
        return None
    return Loop(said.spans[min(covered)][0], said.spans[max(covered)][1], max(counts.values()))


def _marks(text: str) -> Loop | None:
    found = max(_SAME.finditer(text), key=lambda match: match.end() - match.start(), default=None)
    if found is None or 2 * (found.end() - found.start()) < len(text):
        return None
    return Loop(found.start(), found.end(), found.end() - found.start())


def _loop(said: Words, length: int, period: int) -> Loop:
    return Loop(said.spans[-length][0], said.spans[-1][1], length / period)
