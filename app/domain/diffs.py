"""
What changed from one answer to another, for the eye.

Words are compared, characters in Chinese and Japanese. Not a shortest edit script: changes
that only a space or a comma separates are shown as one, because that is how they are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise

from rapidfuzz.distance import Indel

from app.domain.texts import has_words, pieces

MAX_PIECES = 8_000  # 2,048 new tokens are at most about 4,000 pieces; two such take 20 ms, and memory grows squared
REMEMBERED = 8_192  # pairs of texts: eight pages of 50 columns and 20 rows


class Change(StrEnum):
    """What became of a piece of text."""

    SAME = "same"
    NEW = "new"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Piece:
    """Adjoining text with one fate. Without the gone pieces it is the new text, without the new ones the old."""

    change: Change
    text: str


@lru_cache(maxsize=REMEMBERED)
def diff(old: str, new: str) -> tuple[Piece, ...]:
    """Compare two texts; where something was replaced, the gone piece stands before the new one."""
    if old == new:
        return (Piece(Change.SAME, new),) if new else ()
    before, after = pieces(old), pieces(new)
    if len(before) + len(after) > MAX_PIECES:
        return _changed(old, new)
    blocks = _join_close_changes(_blocks(before, after))
    return tuple(
        piece
        for is_same, gone, added in blocks
        for piece in ((Piece(Change.SAME, added),) if is_same else _changed(gone, added))
    )


Block = tuple[bool, str, str]  # whether it is the same in both, its old text, its new text


def _blocks(before: list[str], after: list[str]) -> list[Block]:
    blocks: list[Block] = []
    for step in Indel.opcodes(before, after):
        old = "".join(before[step.src_start : step.src_end])
        new = "".join(after[step.dest_start : step.dest_end])
        blocks.append((step.tag == "equal", old, new))
    return _merge(blocks)


def _merge(blocks: list[Block]) -> list[Block]:
    merged: list[Block] = []
    for block in blocks:
        if merged and merged[-1][0] == block[0]:
            is_same, old, new = merged[-1]
            merged[-1] = (is_same, old + block[1], new + block[2])
        else:
            merged.append(block)
    return merged


def _join_close_changes(blocks: list[Block]) -> list[Block]:
    joined = [
        (is_same and (index in {0, len(blocks) - 1} or has_words(new)), old, new)
        for index, (is_same, old, new) in enumerate(blocks)
    ]
    return _merge(joined)


def _changed(old: str, new: str) -> tuple[Piece, ...]:
    return tuple(Piece(change, text) for change, text in ((Change.GONE, old), (Change.NEW, new)) if text)


@lru_cache(maxsize=REMEMBERED)
def diff_for_display(old: str, new: str) -> tuple[Piece, ...]:
    """Compare two texts as `diff` does, with the spaces around new words taken out of their marks."""
    return tuple(part for piece in diff(old, new) for part in _without_outer_spaces(piece))


def split_at(parts: Sequence[Piece], span: tuple[int, int]) -> list[tuple[Piece, bool]]:
    """
    Cut pieces where a part of the new text begins and ends, and say of each whether it is in that part.

    Args:
        span: two places in the new text; what is gone has none, and is in no part.
    """
    start, end = span
    split: list[tuple[Piece, bool]] = []
    place = 0
    for piece in parts:
        if piece.change is Change.GONE:
            split.append((piece, False))
            continue
        cuts = sorted({0, len(piece.text), *(min(max(cut - place, 0), len(piece.text)) for cut in span)})
        split += [
            (Piece(piece.change, piece.text[left:right]), start <= place + left and place + right <= end)
            for left, right in pairwise(cuts)
        ]
        place += len(piece.text)
    return split


def _without_outer_spaces(piece: Piece) -> tuple[Piece, ...]:
    words = piece.text.strip()
    if piece.change is not Change.NEW or not words:
        return (piece,)
    before, _, after = piece.text.partition(words)
    parts = (Piece(Change.SAME, before), Piece(Change.NEW, words), Piece(Change.SAME, after))
    return tuple(part for part in parts if part.text)
