"""
Which questions are nearly the same: those that differ by a few characters.

Near means rapidfuzz's ratio of 95 or more on normalised texts that hold the same numbers ("What is
17 + 5?" and "What is 17 + 6?" are two questions), in the same context.

Covers every pair of up to 2,000 questions. Beyond, sorted neighbourhood: questions are put in six
orders and each is held against the ones that follow it. Four orders are by text (from the front,
from the back, first quarter then back, last quarter then front), so that a pair with all its
changes in one place shares three quarters of its text in one of them; two are by min-hashes of four
characters in a row, which find changes in several places with about nine chances in ten, whatever
the language. Does not cover: such pairs where more questions than a window holds stand between
them, and questions beyond the first two million.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rapidfuzz import fuzz, process

from app.domain.findings.keys import Keys
from app.domain.findings.work import Work, steps_of_pairs

Indices = np.ndarray[Any, np.dtype[Any]]

NEAR = 95.0  # rapidfuzz's ratio, 0 to 100
NEAR_APART = 100 - NEAR  # insertions and deletions, in hundredths of both lengths
ALL_PAIRS_UP_TO = 2_000  # questions: 2 million pairs take some 20 ms where few are alike
MOST_QUESTIONS = 2_000_000
BLOCK = 256  # questions that are held against all of like length at once
WINDOW = 8  # neighbours in each order
CHUNK = 100_000  # texts whose characters are looked at at once: some 25 MB
GRAM = 4  # characters
_SALTS = tuple(np.uint32(salt) for salt in (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F))
_STEP, _MOST = np.uint32(0x01000193), np.uint32(0xFFFFFFFF)


class NearQuestions:
    """Questions in order of row, and for each that is nearly an earlier one, which."""

    def __init__(self, texts: Sequence[str], contexts: Keys, numbers: Keys, work: Work | None = None) -> None:
        """
        Prepare to compare.

        Args:
            texts: normalised, each once in its context.
            contexts: key of what stands before each.
            numbers: key of the numbers in each.
            work: what may be done; when it is over, the pairs that are left are not compared.
        """
        self._work = work
        self.texts, self.contexts, self.numbers = texts, contexts, numbers
        self.lengths = np.fromiter(map(len, texts), np.int32, len(texts))
        self.characters, self.sketches = _looked_at(texts, self.lengths)
        self.earlier = np.full(len(texts), -1, np.int64)
        """Index of the question that each is nearly; -1 where it is none's."""

    def compare_all(self) -> None:
        """Hold every question against every other."""
        order = np.argsort(self.lengths, kind="stable")
        lengths = self.lengths[order]
        for start in range(0, len(order), BLOCK):
            block = order[start : start + BLOCK]
            longest = lengths[min(start + BLOCK, len(order)) - 1] * (100 + NEAR_APART) / NEAR
            others = order[start : np.searchsorted(lengths, longest, "right")]
            bits = np.bitwise_count(self.characters[block, None] ^ self.characters[others])
            may = bits <= (self.lengths[block, None] + self.lengths[others]) * (NEAR_APART / 100)
            first, second = np.nonzero(np.triu(may, 1))
            first, second = block[first], others[second]
            self._compare(np.minimum(first, second), np.maximum(first, second))

    def compare_in(self, order: Indices, window: int = WINDOW) -> None:
        """Hold every question against those that follow it in an order."""
        for step in range(1, min(window, len(order) - 1) + 1):
            first, second = order[:-step], order[step:]
            self._compare(np.minimum(first, second), np.maximum(first, second))

    def _compare(self, first: Indices, second: Indices) -> None:
        may = self._may_be_near(first, second)
        first, second = first[may], second[may]
        for start in range(0, len(first), CHUNK):
            a, b = first[start : start + CHUNK], second[start : start + CHUNK]
            if self._work is not None:
                done = self._work.take_first(steps_of_pairs(self.lengths[a], self.lengths[b]))
                a, b = a[:done], b[:done]
            ratio = process.cpdist(
                [self.texts[index] for index in a],
                [self.texts[index] for index in b],
                scorer=fuzz.ratio,
                score_cutoff=NEAR,
                workers=2 if len(a) > GRAM * 1_000 else 1,
            )
            a, b = a[ratio >= NEAR], b[ratio >= NEAR]
            nearest_last = np.argsort(-a, kind="stable")  # of several assignments the last, the earliest row, stands
            self.earlier[b[nearest_last]] = a[nearest_last]

    def _may_be_near(self, first: Indices, second: Indices) -> Indices:
        """Return which pairs could be near, by what is cheap to look at."""
        may = np.flatnonzero((self.numbers[first] == self.numbers[second]) & (self.earlier[second] < 0))
        first, second = first[may], second[may]
        lengths = self.lengths[first] + self.lengths[second]
        changes = (lengths * (NEAR_APART / 100)).astype(np.int32)
        apart = np.abs(self.lengths[first] - self.lengths[second])
        # each insertion or deletion flips one bit
        bits = np.bitwise_count(self.characters[first] ^ self.characters[second])
        near: Indices = may[(apart <= changes) & (bits <= changes) & (self.contexts[first] == self.contexts[second])]
        return near


def _looked_at(texts: Sequence[str], lengths: Indices) -> tuple[Keys, list[Keys]]:
    """Return whether each text holds an odd number of each character, as 64 bits, and its two sketches."""
    parts = [
        _looked_at_chunk(texts[start : start + CHUNK], lengths[start : start + CHUNK])
        for start in range(0, len(texts), CHUNK)
    ] or [(np.empty(0, np.uint64),) * 3]
    characters, *sketches = (np.concatenate(each) for each in zip(*parts, strict=True))
    return characters, sketches


def _looked_at_chunk(texts: Sequence[str], lengths: Indices) -> tuple[Keys, Keys, Keys]:
    ends = np.cumsum(lengths + GRAM)  # each text is followed by zeros, so that no gram spans two
    starts = ends - lengths - GRAM
    points = np.frombuffer(("\0" * GRAM).join([*texts, ""]).encode("utf-32-le", "surrogatepass"), np.uint32)
    bits = np.left_shift(np.uint64(1), (points & np.uint32(63)).astype(np.uint64))
    bits[points == 0] = 0
    grams = points[: -GRAM + 1].copy()
    for place in range(1, GRAM):
        grams *= _STEP
        grams ^= points[place : len(points) - GRAM + 1 + place]
    is_cut = points[GRAM - 1 :] == 0
    least = [_least_hashes(grams, is_cut, salt, starts) for salt in _SALTS]
    sketches = [(least[place].astype(np.uint64) << np.uint64(32)) | least[place + 1] for place in (0, 2)]
    return np.bitwise_xor.reduceat(bits, starts), sketches[0], sketches[1]


def _least_hashes(grams: Indices, is_cut: Indices, salt: np.uint32, starts: Indices) -> Indices:
    """Return the min-hash of each text's grams."""
    hashes = (grams ^ salt) * _SALTS[0]
    hashes ^= hashes >> np.uint32(15)
    hashes *= _STEP
    hashes ^= hashes >> np.uint32(13)
    hashes[is_cut] = _MOST
    return np.minimum.reduceat(hashes, starts)


def sketch_orders(near: NearQuestions) -> Iterator[Indices]:
    """Yield the orders by min-hashes."""
    for sketch in near.sketches:
        yield np.lexsort((near.lengths, sketch, near.contexts))
