"""How far an answer is from the base model's, in words and length, and from a reference, in characters."""

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from rapidfuzz.distance import Indel

from app.domain.taught import TEXTS_REMEMBERED, folded

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF


@lru_cache(maxsize=TEXTS_REMEMBERED)
def distance(one: str, other: str) -> float:
    """
    Return how much two texts differ, 0 to 1: the words that only one of them has, of the words of both.

    The same either way round; 0 for the same words in the same order, 1 where none is shared.

    Source:
        The normalised Indel distance of rapidfuzz 3.14, over words and not over characters.
    """
    return float(Indel.normalized_distance(folded(one).text, folded(other).text))


@lru_cache(maxsize=TEXTS_REMEMBERED)
def length_ratio(text: str, base: str) -> float | None:
    """Return a text's words for each word of the base model's answer; None where that has none."""
    before = folded(base).weight()
    return folded(text).weight() / before if before else None


@lru_cache(maxsize=TEXTS_REMEMBERED)
def agreement(text: str, reference: str) -> float | None:
    """
    Return how much of a reference's characters an answer shares, 0 to 1; None without a reference.

    A sentence's chrF: the F-score of runs of one to six characters, recall counted twice as much as
    precision. Shown beside “holds the reference”, which decides: a long right answer to a reference of one
    word has a low one.

    Source:
        Popović, chrF: character n-gram F-score (WMT 2015), as sacrebleu 2.6 has it.
    """
    if not reference.strip():
        return None
    if text == reference:
        return 1.0  # also of what has no character that chrF counts
    return min(1.0, float(_chrf().sentence_score(text, [reference]).score) / 100)


@cache
def _chrf() -> "CHRF":
    from sacrebleu.metrics.chrf import CHRF  # noqa: PLC0415 - a quarter of a second that most processes never need

    return CHRF()
