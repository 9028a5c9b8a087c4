"""
How many tokens the rows of a source have, and which of them carry loss, for any maximum length.

A row is counted once, uncut; what a maximum length leaves of all rows is then arithmetic on arrays.
The tokens are those of xtuner's `template_map_fn` and `encode_fn`, in their order: the beginning,
the question in its template, the answer with its end, which is learnt, and the separator.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.domain.datasets.rows import Row
from app.domain.errors import UnavailableError
from app.domain.messages import message
from app.domain.prompt_templates import PromptTemplate
from app.domain.tokenising import TextTokenizer, TokenTexts

LOT_ROWS = 4_000  # whose texts are tokenised at once: all cores work, and little is held
LOT_BYTES = 1 << 20  # of these texts; a token takes 80 bytes meanwhile, and a byte may be one
SHOWN_BEYOND = 200  # tokens of a row after its maximum length that are shown: enough to see that it is cut
MOST_CHARACTERS = 20_000  # of a row that are shown; the tokens after these are only counted

Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Cut:
    """What a maximum length leaves of each row."""

    lengths: Ints
    loss: Ints
    """Tokens that carry loss; a row without any is left out of the training."""
    loses_end: Bools
    """The end of its last answer is cut off, or all of that answer."""


@dataclass(frozen=True, eq=False)
class TokenCounts:
    """Uncut rows, and their answers: each a span of tokens, in the order of rows and of places."""

    lengths: Ints
    span_rows: Ints
    span_starts: Ints
    span_lengths: Ints
    span_learnt: Bools

    def cut(self, max_length: int) -> Cut:
        """Cut every row to a maximum length."""
        ends = self.span_starts + self.span_lengths
        kept = np.where(self.span_learnt, np.clip(np.minimum(ends, max_length) - self.span_starts, 0, None), 0)
        loss = np.bincount(self.span_rows, weights=kept, minlength=len(self.lengths)).astype(np.int32)
        last = np.zeros(len(self.lengths), np.int32)
        last[self.span_rows[self.span_learnt]] = ends[self.span_learnt]  # of several, the last one stays
        return Cut(np.minimum(self.lengths, max_length), loss, last > max_length)

    def loss_from(self, row: int, start: int, stop: int) -> int:
        """Count the tokens of one row with loss, from one place to before another."""
        spans = slice(*np.searchsorted(self.span_rows, (row, row + 1)))
        begins, lengths = self.span_starts[spans], self.span_lengths[spans]
        inside = np.clip(np.minimum(begins + lengths, stop) - np.maximum(begins, start), 0, None)
        return int(inside[self.span_learnt[spans]].sum())


def join_counts(parts: Sequence[TokenCounts]) -> TokenCounts:
    """Put counts of several lots of rows behind each other."""
    offsets = np.cumsum([0, *(len(part.lengths) for part in parts)])
    rows = [part.span_rows + offset for part, offset in zip(parts, offsets, strict=False)]
    return TokenCounts(
        np.concatenate([_NONE, *(part.lengths for part in parts)]),
        np.concatenate([_NONE, *rows]).astype(np.int32),
        np.concatenate([_NONE, *(part.span_starts for part in parts)]),
        np.concatenate([_NONE, *(part.span_lengths for part in parts)]),
        np.concatenate([_NONE.astype(np.bool_), *(part.span_learnt for part in parts)]),
    )


_NONE: Ints = np.zeros(0, np.int32)


def count_tokens(rows: Iterable[Row], *, tokenizer: TextTokenizer, template: PromptTemplate) -> TokenCounts:
    """
    Count the tokens of rows.

    Raises:
        UnavailableError: xtuner would fail on them with this template or this tokenizer.
    """
    return join_counts([_count_lot(lot, tokenizer, template) for lot in _lots(rows, template)])


_Laid = tuple[Row, Sequence[str]]


def _lots(rows: Iterable[Row], template: PromptTemplate) -> Iterator[Sequence[_Laid]]:
    """Yield rows with their texts, as many as are tokenised at once."""
    lot: list[_Laid] = []
    held = 0
    for row in rows:
        texts = list(_texts_of(row, template))
        size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        if lot and (held + size > LOT_BYTES or len(lot) == LOT_ROWS):
            yield lot
            lot, held = [], 0
        lot.append((row, texts))
        held += size
    if lot:
        yield lot


def ends_of_turn(tokenizer: TextTokenizer, template: PromptTemplate) -> tuple[int, ...]:
    """
    Return the tokens that end a turn beside the template's own suffix.

    Raises:
        UnavailableError: the template needs the tokenizer's own end, and there is none.
    """
    if template.suffix_ends:
        return ()
    if tokenizer.end is None:
        raise UnavailableError(
            message(
                "This tokenizer has no token that ends a text, and the template {name} needs one: xtuner fails.",
                name=template.name,
            )
        )
    return tokenizer.end


def _count_lot(lot: Sequence[_Laid], tokenizer: TextTokenizer, template: PromptTemplate) -> TokenCounts:
    counted = iter(tokenizer.lengths([text for _, texts in lot for text in texts]))
    (separator,) = tokenizer.lengths([template.separator])
    begin, end = len(tokenizer.begin), len(ends_of_turn(tokenizer, template))
    lengths, spans = [], []
    for number, (row, _) in enumerate(lot):
        place = begin
        for turn, said in enumerate(row["conversation"]):
            if turn and not template.suffix_ends:
                place += begin  # each turn that ended begins anew
            place += next(counted)
            answer = next(counted) + end
            spans.append((number, place, answer, said["output_with_loss"]))
            place += answer + separator
        lengths.append(place if row["conversation"] else 0)
    columns = np.array(spans, np.int32).reshape(-1, 4).T
    return TokenCounts(np.array(lengths, np.int32), columns[0], columns[1], columns[2], columns[3].astype(np.bool_))


def _texts_of(row: Row, template: PromptTemplate) -> Iterator[str]:
    for turn, said in enumerate(row["conversation"]):
        yield template.lay_out(said["input"], system=said["system"], turn=turn)
        yield said["output"] + template.suffix


# ── As the model reads them ────────────────────────────────────────────────


@dataclass(frozen=True)
class TokenPiece:
    """Tokens in a row that are alike, as one text; a special token is alone."""

    text: str
    is_special: bool
    has_loss: bool
    is_cut: bool
    """Beyond the maximum length: the model never sees it."""
    tokens: int


@dataclass(frozen=True)
class RowAsRead:
    """One row as the model reads it."""

    pieces: tuple[TokenPiece, ...]
    """Its beginning: at most `MOST_CHARACTERS`, and `SHOWN_BEYOND` tokens after the maximum length."""
    tokens: int
    """Before it is cut."""
    loss_tokens: int
    """After."""
    loses_end: bool

    @property
    def more_tokens(self) -> int:
        """How many tokens come after the pieces."""
        return self.tokens - sum(piece.tokens for piece in self.pieces)


def read_row(row: Row, *, tokenizer: TextTokenizer, template: PromptTemplate, max_length: int) -> RowAsRead:
    """Return one row token by token, those that are alike put together, and no more of it than anybody reads."""
    tokens, loss, loses_end = 0, 0, False
    shown: list[_Shown] = []
    for part, has_loss in _parts_of(row, tokenizer, template, most=max_length + SHOWN_BEYOND):
        wanted = part.first[: max(0, max_length + SHOWN_BEYOND - tokens)]
        shown += [_Shown(*token, has_loss, place >= max_length) for place, token in enumerate(wanted, tokens)]
        if has_loss:
            loss += min(max(0, max_length - tokens), part.total)
            loses_end |= tokens + part.total > max_length
        tokens += part.total
    return RowAsRead(tuple(_pieces(shown)), tokens, loss, loses_end)


class _Shown(NamedTuple):
    """One token as it is shown, named as in a piece."""

    text: str
    is_special: bool
    has_loss: bool
    is_cut: bool


def _pieces(tokens: Sequence[_Shown]) -> Iterator[TokenPiece]:
    """Put tokens that are alike together, special ones apart, until a row's characters are used up."""
    left = MOST_CHARACTERS
    for (marks, _), numbered in groupby(enumerate(tokens), key=_alike):
        texts = []
        for _, token in numbered:
            if left <= 0:
                break
            texts.append(token.text[:left])  # a word that a tokenizer does not know may be as long as a row
            left -= len(token.text)
        if texts:
            is_special, has_loss, is_cut = marks
            yield TokenPiece("".join(texts), is_special, has_loss, is_cut, len(texts))


def _alike(numbered: tuple[int, _Shown]) -> tuple[tuple[bool, bool, bool], int]:
    """Return what tokens of one piece have in common; a special one has its place for itself."""
    place, token = numbered
    return (token.is_special, token.has_loss, token.is_cut), place if token.is_special else -1


def _parts_of(
    row: Row, tokenizer: TextTokenizer, template: PromptTemplate, *, most: int
) -> Iterator[tuple[TokenTexts, bool]]:
    """Yield the texts of a row, of each the first tokens, and whether they carry loss."""
    texts, end = _texts_of(row, template), ends_of_turn(tokenizer, template)
    for turn, said in enumerate(row["conversation"]):
        learnt = said["output_with_loss"]
        begin = tokenizer.begin if turn == 0 or not template.suffix_ends else ()
        yield tokenizer.names(begin), False
        yield tokenizer.tokens(next(texts), most=most), False
        yield tokenizer.tokens(next(texts), most=most), learnt
        yield tokenizer.names(end), learnt
        yield tokenizer.tokens(template.separator), False
