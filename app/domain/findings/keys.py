"""
When two questions are the same: their normalised text, and 64-bit keys that stand for it.

Keys are BLAKE2b of the normalised text, so that an index of them written by one release of a
library is read by the next. Among two million texts two of 64 bits meet once in ten million sets.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np

_KEY = np.dtype("<u8")
Keys = np.ndarray[Any, np.dtype[np.uint64]]

END_MARKS = " .!?,;:~。、"
"""Marks that end a question and do not change it; their full-width forms are these after NFKC."""
_STEPS = tuple(np.uint64(step) for step in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""Odd constants of splitmix64."""
_HALF = np.uint64(32)


def normalised(text: str) -> str:
    """Fold width, case, white space and the marks at the end; a text of nothing but marks keeps them."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    folded = " ".join(text.casefold().split())
    return folded.rstrip(END_MARKS) or folded


def text_keys(texts: Iterable[str]) -> Keys:
    """Return the key of each normalised text."""
    digests = (blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), _KEY)


EMPTY = text_keys([""])[0]
"""Key of a text of nothing but white space."""


class RememberedKeys(dict[str, int]):
    """Keys of texts that come again and again, such as the system text of every row."""

    def __missing__(self, text: str) -> int:
        """Work a key out once."""
        self[text] = key = int(text_keys([normalised(text)])[0])
        return key

    def of(self, texts: Sequence[str]) -> Keys:
        """Return the key of each text, normalised first."""
        return np.fromiter((self[text] for text in texts), _KEY, len(texts))


def chained(before: Keys, text: Keys) -> Keys:
    """Return the keys of a context to which a text was added; the order counts."""
    mixed = (before * _STEPS[0] + text) * _STEPS[1]
    mixed ^= mixed >> _HALF
    mixed *= _STEPS[2]
    mixed ^= mixed >> _HALF
    return mixed


def context_keys(system: Keys, question: Keys, answer: Keys, turn: np.ndarray[Any, Any]) -> tuple[Keys, Keys]:
    """
    Return for each turn the key of what stands before it, and the key of all up to its end.

    Args:
        system: key of the row's system text, for each turn.
        question: key of the turn's question.
        answer: key of the turn's answer.
        turn: counted from 0; the turns of a row follow one another.
    """
    before = system.copy()
    after = chained(chained(before, question), answer)
    order = np.argsort(turn, kind="stable")
    bounds = np.searchsorted(turn[order], np.arange(1, int(turn.max(initial=0)) + 2))
    for start, end in pairwise(bounds):
        here = order[start:end]
        before[here] = after[here - 1]
        after[here] = chained(chained(before[here], question[here]), answer[here])
    return before, after
