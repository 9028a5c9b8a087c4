"""
The identity's share of what is learnt, as a function of n and m: loss tokens, not rows.

Counts the tokens that carry loss after the maximum length has cut them. Leaves out what packing throws
away at the end of an epoch, which is less than one pack of a process.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.domain.mixes import count_rows
from app.domain.recipes import MAX_ROWS, Mix
from app.domain.token_counts import TokenCounts

MOST_COPIES = 1_000_000  # of the recipe's own bounds
NEAR = 3  # copies around the exact answer that are tried


@dataclass(frozen=True)
class LossOfSource:
    """One pass of a source: its rows, and their tokens with loss."""

    rows: int
    tokens: int


@dataclass(frozen=True)
class LossOfMix:
    """What n and m weigh against each other."""

    identity: LossOfSource
    general: LossOfSource
    others: LossOfSource
    """All rows of the saved sets, as often as the mix has them."""

    def share(self, *, n: int, m: int) -> float:
        """Return the identity's share of the loss tokens, 0 to 1, for n and m copies."""
        identity = self.identity.tokens * (1 + n)
        whole = identity + self.general.tokens * (1 + m) + self.others.tokens
        return identity / whole if whole else 0.0

    def rows(self, *, n: int, m: int) -> int:
        """Return all rows for n and m copies."""
        return self.identity.rows * (1 + n) + self.general.rows * (1 + m) + self.others.rows


def loss_of(mix: Mix, counts: Sequence[TokenCounts], *, max_length: int) -> LossOfMix:
    """Weigh the sources of a mix; `counts` are those of `token_cache.count_mix`."""
    planned = count_rows(mix).sources
    passes = [
        LossOfSource(source.distinct, int(each.cut(max_length).loss.sum()))
        for source, each in zip(planned, counts, strict=True)
    ]
    others = [
        (source.rows, one.tokens * source.rows / source.distinct)
        for source, one in zip(planned[2:], passes[2:], strict=True)
        if source.distinct
    ]
    rows, tokens = sum(rows for rows, _ in others), sum(tokens for _, tokens in others)
    return LossOfMix(passes[0], passes[1], LossOfSource(rows, round(tokens)))


def share_of_loss(mix: Mix, counts: Sequence[TokenCounts], *, max_length: int) -> float:
    """Return the identity's share of the loss tokens of a mix, 0 to 1, as its rows are planned."""
    identity, *rest = (
        source.rows / source.distinct * int(each.cut(max_length).loss.sum()) if source.distinct else 0.0
        for source, each in zip(count_rows(mix).sources, counts, strict=True)
    )
    whole = identity + sum(rest)
    return identity / whole if whole else 0.0


def mix_for_share(mix: Mix, counts: Sequence[TokenCounts], *, max_length: int, share: float) -> Mix:
    """
    Return the mix whose n and m come nearest to a share of the loss tokens, with about as many rows.

    A mix with nothing beside the identity, or without one, is returned as it is: no n gives it another
    share.

    Args:
        share: of the identity, above 0 and below 1.
    """
    loss = loss_of(mix, counts, max_length=max_length)
    if not loss.identity.tokens or not (loss.general.tokens or loss.others.tokens):
        return mix
    rows = min(count_rows(mix).total, MAX_ROWS)
    n, m = min(_candidates(loss, rows, share), key=lambda pair: _cost(loss, rows, share, pair))
    return mix.model_copy(
        update={"identity_count": n, "general_count": m, "identity_share": None, "general_share": None}
    )


def _candidates(loss: LossOfMix, rows: int, share: float) -> Iterator[tuple[int, int]]:
    """Yield pairs of n and m around the one that meets share and rows exactly."""
    # Of identity passes a and general passes b: a i (1 - s) = s (b g + f), and a p + b q = rows.
    weight = share / (1 - share) / loss.identity.tokens
    per_general, fixed = weight * loss.general.tokens, weight * loss.others.tokens
    left = rows - loss.others.rows - fixed * loss.identity.rows
    exact = left / (per_general * loss.identity.rows + loss.general.rows) if loss.general.rows else 0.0
    for general in _around(exact) if loss.general.rows else (1,):
        for identity in _around(per_general * (general if loss.general.rows else 0) + fixed):
            yield identity - 1, general - 1


def _around(exact: float) -> Iterator[int]:
    middle = min(max(round(exact), 1), MOST_COPIES)
    yield from range(max(1, middle - NEAR), min(middle + NEAR, MOST_COPIES) + 1)


def _cost(loss: LossOfMix, rows: int, share: float, pair: tuple[int, int]) -> float:
    """Weigh how far two numbers of copies are off: a hundredth of the share counts as much as one of the rows."""
    n, m = pair
    if loss.rows(n=n, m=m) > MAX_ROWS:
        return math.inf
    off = abs(loss.share(n=n, m=m) - share) / min(share, 1 - share)
    return off + abs(loss.rows(n=n, m=m) - rows) / max(rows, 1)
