"""The replay of shuffling and packing, against the same done with lists of tokens."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.packing import LOT_ROWS, pack, shuffled


def packed_lists(lengths: list[int], max_length: int, processes: int, seed: int) -> tuple[list[int], list[int]]:
    """Return the length of each sample, and the row of each token that none has, as xtuner's Packer works."""
    order = np.random.default_rng(seed).permutation(len(lengths)).tolist()
    samples: list[int] = []
    lost: list[int] = []
    size, more = divmod(len(order), processes)
    start = 0
    for process in range(processes):
        share = order[start : start + size + (process < more)]
        start += len(share)
        rest: list[int] = []
        for at in range(0, len(share), LOT_ROWS):
            tokens = rest + [row for row in share[at : at + LOT_ROWS] for _ in range(lengths[row])]
            if len(tokens) < max_length:
                samples.append(len(tokens))
                rest = []
                continue
            whole = len(tokens) // max_length * max_length
            samples += [max_length] * (whole // max_length)
            rest = tokens[whole:]
        lost += rest
    return samples, lost


@given(
    rows=st.integers(1, 2_500),
    longest=st.integers(1, 60),
    max_length=st.integers(16, 700),
    processes=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_samples_are_those_of_the_tokens_themselves(  # noqa: PLR0917 - hypothesis gives them by name
    rows: int, longest: int, max_length: int, processes: int, seed: int
) -> None:
    """Their number, their tokens, and which tokens of which row are thrown away."""
    lengths = np.random.default_rng(seed ^ 1).integers(1, longest + 1, rows).astype(np.int32)
    samples, lost = packed_lists(lengths.tolist(), max_length, min(processes, rows), seed)

    packed = pack(lengths, max_length=max_length, processes=processes, seed=seed)

    assert (packed.samples, packed.tokens) == (len(samples), sum(samples))
    thrown = {piece.row: int(lengths[piece.row]) - piece.start for piece in packed.dropped}
    assert thrown == {row: lost.count(row) for row in set(lost)}


def test_the_tutorial_has_as_many_packs_as_its_readers_saw() -> None:
    """10,001 rows of 41 tokens, 1,024 in a pack: 384 an epoch, 768 in two."""
    assert pack(np.full(10_001, 41, np.int32), max_length=1_024, processes=32, seed=1).samples == 384


def test_no_row_makes_no_sample() -> None:
    """Every row may have lost its answer."""
    assert pack(np.zeros(0, np.int32), max_length=64, processes=None, seed=1).samples == 0


def test_the_same_seed_is_the_same_order() -> None:
    """The order is that of numpy's default generator."""
    assert shuffled(5, 7).tolist() == np.random.default_rng(7).permutation(5).tolist()
