"""
What one epoch of a recipe is in tokens: samples, sources, what is learnt, and what is lost on the way.

Exact where the model's tokenizer is read, see docs/forecast.md, but for the padding of rows that
are not packed: which rows share a batch is drawn by torch, so a draw of the same kind stands for it.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.domain.mix_rows import RowCounts, SourceRows
from app.domain.mixes import count_rows, identity_of
from app.domain.models import Model
from app.domain.packing import Packed, pack
from app.domain.prompt_templates import prompt_template
from app.domain.recipes import Mix, Recipe
from app.domain.token_cache import count_mix
from app.domain.token_counts import Cut, Ints, TokenCounts, join_counts
from app.domain.tokenising import load_tokenizer
from app.domain.xtuner_parts import processes_for

BINS = 24  # bars that a phone can tell apart

Longs = NDArray[np.int64]


@dataclass(frozen=True)
class SourceTokens:
    """One source in an epoch, as the trainer sees it."""

    key: str
    """`identity`, `general`, or `files.0` and so on."""
    title: str
    """A saved set's name; empty for the other two."""
    rows: int
    """Before any is left out."""
    tokens: int
    loss_tokens: int
    row_share: float
    token_share: float
    loss_share: float
    """Of all tokens that carry loss: what is really learnt."""


@dataclass(frozen=True)
class HistogramBin:
    """Rows whose uncut length is from `start` to before `stop`, in tokens."""

    start: int
    stop: int
    rows: int


@dataclass(frozen=True)
class SeenSentence:
    """An identity sentence, and how often one epoch shows it."""

    answer: str
    rows: int


@dataclass(frozen=True)
class TokenForecast:
    """One epoch in tokens."""

    samples: int
    """Packs, or rows where packing is off."""
    tokens: int
    """In all samples."""
    loss_tokens: int
    dropped_tokens: int
    """Tokens of rows that no sample has: cut, in rows left out, or thrown away by packing."""
    cut_tokens: int
    """Of these, what the maximum length cuts off."""
    packing_tokens: int
    """Of these, what packing throws away."""
    padding_tokens: int
    """Beside the tokens, in batches of rows of different length; drawn, not exact."""
    cut_rows: int
    rows_without_end: int
    """Rows whose answer is cut before it ends: these teach not to end."""
    rows_without_loss: int
    """Rows that are left out: no token of an answer is left to learn."""
    longest: int
    """Tokens of the longest row, uncut."""
    sources: tuple[SourceTokens, ...]
    histogram: tuple[HistogramBin, ...]
    sentences: tuple[SeenSentence, ...]
    """The most seen one first."""


@dataclass(frozen=True, eq=False)
class Epoch:
    """The rows of one epoch in the order of the file, in tokens."""

    lengths: Ints
    """Uncut."""
    cut: Cut
    source: Ints
    """Number of each row's source."""
    row: Ints
    """Of each row, its place in `counts`."""
    counts: TokenCounts


def forecast_tokens(recipe: Recipe, model: Model, *, waits: bool = True) -> TokenForecast:
    """
    Replay an epoch of a recipe.

    Args:
        waits: for saved sets that were never counted.

    Raises:
        StillCountingError: a saved set is not counted yet, and nobody waits for it.
        UnavailableError: the model's tokenizer or template is not read here, or xtuner would fail on the rows.
    """
    tokenizer, template = load_tokenizer(Path(model.path)), prompt_template(model.template)
    counts = count_mix(recipe.mix, tokenizer=tokenizer, template=template, waits=waits)
    return replay(recipe, counts)


def replay(recipe: Recipe, counts: tuple[TokenCounts, ...]) -> TokenForecast:
    """Replay an epoch whose sources are counted."""
    rows, training = count_rows(recipe.mix), recipe.training
    epoch = lay_out(rows, counts, max_length=training.max_length)
    left = np.flatnonzero(epoch.cut.loss)
    packed = _pack(recipe, epoch, left) if training.packing else None
    tokens, loss = _by_source(epoch, left, packed, sources=len(rows.sources))
    total, kept = int(epoch.lengths.sum()), int(epoch.cut.lengths.sum())
    return TokenForecast(
        samples=packed.samples if packed else len(left),
        tokens=int(tokens.sum()),
        loss_tokens=int(loss.sum()),
        dropped_tokens=total - int(tokens.sum()),
        cut_tokens=total - kept,
        packing_tokens=int(epoch.cut.lengths[left].sum()) - int(tokens.sum()),
        padding_tokens=0 if packed else _padding(epoch.cut.lengths[left], training.batch_size, training.seed),
        cut_rows=int((epoch.lengths > training.max_length).sum()),
        rows_without_end=int(epoch.cut.loses_end[left].sum()),
        rows_without_loss=len(epoch.lengths) - len(left),
        longest=int(epoch.lengths.max(initial=0)),
        sources=_sources(rows, tokens, loss),
        histogram=_histogram(epoch.lengths),
        sentences=_sentences(recipe.mix, rows.sources[0]),
    )


# ── Rows in their order ────────────────────────────────────────────────────


def lay_out(rows: RowCounts, counts: tuple[TokenCounts, ...], *, max_length: int) -> Epoch:
    """Put the rows of all sources in the order of the file."""
    together = join_counts(counts)
    order = order_of(rows.sources)
    cut = together.cut(max_length)
    source = np.repeat(np.arange(len(counts), dtype=np.int32), [len(each.lengths) for each in counts])
    chosen = Cut(cut.lengths[order], cut.loss[order], cut.loses_end[order])
    return Epoch(together.lengths[order], chosen, source[order], order, together)


@lru_cache(maxsize=4)
def order_of(sources: tuple[SourceRows, ...]) -> Ints:
    """Return each row's place among the distinct rows of all sources, as `mixes.row_lines` writes them."""
    offsets = np.cumsum([0, *(source.distinct for source in sources)])
    first, more = [], []
    for source, offset in zip(sources, offsets, strict=False):
        first.append(offset + _spaced(source.first, source.distinct))
        more.append(np.tile(offset + np.arange(source.distinct), source.passes))
        more.append(offset + _spaced(source.rest, source.distinct))
    return np.concatenate([*first, *more]).astype(np.int32)


def _spaced(count: int, distinct: int) -> Longs:
    return np.arange(count, dtype=np.int64) * distinct // max(count, 1)


def _pack(recipe: Recipe, epoch: Epoch, left: Longs) -> Packed:
    training = recipe.training
    return pack(
        epoch.cut.lengths[left],
        max_length=training.max_length,
        processes=processes_for(len(epoch.lengths)),
        seed=training.seed,
    )


# ── Sums ───────────────────────────────────────────────────────────────────


def _by_source(epoch: Epoch, left: Longs, packed: Packed | None, *, sources: int) -> tuple[Longs, Longs]:
    """Return the tokens of each source that are in samples, and those of them with loss."""
    source = epoch.source[left]
    tokens = np.bincount(source, weights=epoch.cut.lengths[left], minlength=sources).astype(np.int64)
    loss = np.bincount(source, weights=epoch.cut.loss[left], minlength=sources).astype(np.int64)
    for piece in packed.dropped if packed else ():
        row = left[piece.row]
        stop = int(epoch.cut.lengths[row])
        tokens[epoch.source[row]] -= stop - piece.start
        loss[epoch.source[row]] -= epoch.counts.loss_from(int(epoch.row[row]), piece.start, stop)
    return tokens, loss


def _sources(rows: RowCounts, tokens: Longs, loss: Longs) -> tuple[SourceTokens, ...]:
    whole = max(rows.total, 1), max(int(tokens.sum()), 1), max(int(loss.sum()), 1)
    return tuple(
        SourceTokens(
            key=source.key,
            title=source.title,
            rows=source.rows,
            tokens=int(tokens[number]),
            loss_tokens=int(loss[number]),
            row_share=source.rows / whole[0],
            token_share=int(tokens[number]) / whole[1],
            loss_share=int(loss[number]) / whole[2],
        )
        for number, source in enumerate(rows.sources)
    )


def _padding(lengths: Ints, batch: int, seed: int) -> int:
    if batch == 1 or not len(lengths):
        return 0
    drawn = lengths[np.random.default_rng(seed).permutation(len(lengths))]
    longest = np.maximum.reduceat(drawn, np.arange(0, len(drawn), batch))
    sizes = np.diff(np.append(np.arange(0, len(drawn), batch), len(drawn)))
    return int((longest.astype(np.int64) * sizes).sum() - drawn.sum(dtype=np.int64))


def _histogram(lengths: Ints) -> tuple[HistogramBin, ...]:
    if not len(lengths):
        return ()
    width = _round_width(int(lengths.max()))
    counted = np.bincount(lengths // width)
    return tuple(HistogramBin(at * width, (at + 1) * width, int(rows)) for at, rows in enumerate(counted))


def _round_width(longest: int) -> int:
    """Return the width of a bin: 1, 2 or 5 times a power of ten, so that there are `BINS` at most."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if longest < BINS * digit * power:
                return digit * power
        power *= 10


def _sentences(mix: Mix, source: SourceRows) -> tuple[SeenSentence, ...]:
    seen: dict[str, int] = defaultdict(int)
    for place, pair in enumerate(identity_of(mix)):
        seen[pair.answer] += source.times(place)
    ordered = sorted(seen.items(), key=lambda entry: -entry[1])
    return tuple(SeenSentence(answer, rows) for answer, rows in ordered)
