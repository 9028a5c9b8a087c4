"""
How many samples an epoch has: a replay of what datasets and xtuner do to the rows, in whole numbers.

Rows without loss are left out. With packing the others are shuffled, dealt to as many processes as
map them, and packed in lots of a thousand: each process fills samples of the maximum length, carries
what is left into its next lot, and at the end throws away what does not fill one, or makes one
short sample where a lot was shorter than that. Without packing each row is a sample.

Source:
    xtuner 0.2.0 `dataset/huggingface.py: process`, `dataset/utils.py: Packer`; datasets 5.0.1
    `Dataset.shuffle`, `Dataset.map`; mmengine 0.10.7 `runner/utils.py: set_random_seed`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from app.domain.token_counts import Ints

LOT_ROWS = 1_000  # datasets' own batch size of `map`

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """Part of a row that no sample has: its tokens from one place on."""

    row: int
    """Place of the row among those that are packed, before they are shuffled."""
    start: int


@dataclass(frozen=True)
class Packed:
    """The samples of one epoch."""

    samples: int
    tokens: int
    """In all samples."""
    dropped: tuple[Piece, ...]
    """What was thrown away at the ends."""


@lru_cache(maxsize=4)
def shuffled(rows: int, seed: int) -> Places:
    """
    Return the order in which datasets shuffles so many rows.

    `Dataset.shuffle` without a seed takes the first word of numpy's global state, which is the seed
    itself right after mmengine has set it, and nothing draws from it in between.
    """
    return np.random.default_rng(seed).permutation(rows)


def pack(lengths: Ints, *, max_length: int, processes: int | None, seed: int) -> Packed:
    """
    Pack rows as the trainer will.

    Args:
        lengths: tokens of each row that is left, cut to the maximum length, in the order of the file.
        processes: `map_num_proc` of the config.
    """
    order = shuffled(len(lengths), seed)
    samples, tokens = 0, 0
    dropped: list[Piece] = []
    for share in _shares(order, min(processes or 1, len(lengths))):
        ordered = lengths[share].astype(np.int64)
        carry, made, kept = 0, 0, 0
        for start in range(0, len(ordered), LOT_ROWS):
            carry += int(ordered[start : start + LOT_ROWS].sum())
            if carry >= max_length:
                made, kept, carry = made + carry // max_length, kept + carry - carry % max_length, carry % max_length
            else:
                made, kept, carry = made + 1, kept + carry, 0
        samples, tokens = samples + made, tokens + kept
        dropped += _tail(share, ordered, carry)
    return Packed(samples, tokens, tuple(dropped))


def _shares(order: Places, processes: int) -> Iterator[Places]:
    """Deal the rows out in one stretch for each process; the first ones get one more where it does not come out."""
    yield from np.array_split(order, processes) if processes > 1 else (order,)


def _tail(share: Places, lengths: NDArray[np.int64], tokens: int) -> Iterator[Piece]:
    """Yield the pieces of rows that make up the last so many tokens."""
    place = len(share)
    while tokens > 0:
        place -= 1
        length = int(lengths[place])
        yield Piece(int(share[place]), max(0, length - tokens))
        tokens -= length
