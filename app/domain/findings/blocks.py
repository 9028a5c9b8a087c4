"""
The turns of rows as columns: keys of their texts, and those texts that may be wrong by themselves.

A file is read in blocks, so that its text is never whole in memory; what stays is 60 bytes a turn
and the normalised questions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from app.domain.findings.ahead import ahead
from app.domain.findings.damage import LOOKS_DAMAGED, LOOKS_ODD
from app.domain.findings.keys import Keys, RememberedKeys, normalised, text_keys
from app.domain.findings.kinds import Field
from app.domain.findings.table import Numbers, Suspect

BLOCK_BYTES = 32 << 20
_TURN = {"system": pl.String, "input": pl.String, "output": pl.String, "output_with_loss": pl.Boolean}
_SCHEMA = pl.Struct({"conversation": pl.List(pl.Struct(_TURN))})
_LOOKS_BLANK = r"^[\s\u{feff}\u{2060}\u{200b}-\u{200d}\u{ad}]*$"


@dataclass(frozen=True)
class Block:
    """One block of turns; rows and turns are counted from 0."""

    row: Numbers
    turn: Numbers
    has_loss: Numbers
    system: Keys
    question: Keys
    answer: Keys
    questions: pl.Series
    """Normalised."""
    starts: Numbers
    """Byte of the file at which each row begins."""
    suspects: list[Suspect]
    """Texts that may be blank, damaged or odd."""


def read_blocks(path: Path) -> Iterator[Block]:
    """Yield the turns of a stored dataset."""
    systems = RememberedKeys()
    for part in ahead(_read_parts(path)):
        yield _block_of(part, systems)


def read_answers(path: Path, pieces: Sequence[str]) -> Iterator[tuple[list[Suspect], Numbers]]:
    """
    Yield the answers that hold one of some pieces, and where the rows around them begin.

    Args:
        path: a stored dataset.
        pieces: letters and digits without case, as `TaughtRuns` makes them.
    """
    squeezed = pl.col("output").str.normalize("NFKC").str.to_lowercase().str.replace_all(r"[\W_]+", "")
    holds_one = squeezed.str.contains_any(list(pieces))
    first_row = 0
    for block, start in _lines(path):
        turns, turn = _turns(block, first_row)
        starts = _row_starts(block) + start
        yield list(_taken(turns, turn, Field.OUTPUT, holds_one)), starts
        first_row += len(starts)


@dataclass(frozen=True)
class _Part:
    """What polars makes of a block, in a thread of its own."""

    turns: pl.DataFrame
    turn: Numbers
    starts: Numbers
    suspects: list[Suspect]


def _read_parts(path: Path) -> Iterator[_Part]:
    first_row = 0
    for block, start in _lines(path):
        turns, turn = _turns(block, first_row)
        starts = _row_starts(block) + start
        yield _Part(turns, turn, starts, list(_suspects(turns, turn)))
        first_row += len(starts)


def _turns(block: bytes, first_row: int) -> tuple[pl.DataFrame, Numbers]:
    """Return the turns of a block, and the number of each in its row."""
    rows = _decoded(block).with_row_index("row", offset=first_row)
    turns = rows.explode("conversation").unnest("conversation").with_columns(pl.col(pl.String).fill_null(""))
    row = turns["row"].to_numpy()
    return turns, np.arange(len(row)) - np.searchsorted(row, row)


def _lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield whole lines, and the byte at which they begin."""
    with path.open("rb") as file:
        start = 0
        while block := _whole_lines(file):
            yield block, start
            start += len(block)


def _whole_lines(file: BinaryIO) -> bytes:
    return file.read(BLOCK_BYTES) + file.readline()


def _block_of(part: _Part, systems: RememberedKeys) -> Block:
    turns, place = part.turns, np.arange(len(part.turn))
    questions = [normalised(text) for text in turns["input"].to_list()]
    return Block(
        row=turns["row"].to_numpy(),
        turn=part.turn.astype(np.uint32),
        has_loss=turns["output_with_loss"].fill_null(value=False).to_numpy(),
        system=systems.of(turns["system"].to_list())[place - part.turn],
        question=text_keys(questions),
        answer=text_keys(map(normalised, turns["output"].to_list())),
        questions=pl.Series(questions, dtype=pl.String),
        starts=part.starts,
        suspects=part.suspects,
    )


def _decoded(block: bytes) -> pl.DataFrame:
    lines = pl.Series([block], dtype=pl.Binary).cast(pl.String).str.split("\n").explode()
    # `read_ndjson` takes seven times as long for the same
    return lines.filter(lines.str.len_bytes() > 0).str.json_decode(_SCHEMA).struct.unnest()


def _row_starts(block: bytes) -> Numbers:
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == ord("\n")) + 1
    starts = np.concatenate([np.zeros(1, np.int64), ends[ends < len(data)]])
    rows: Numbers = starts[data[starts] != ord("\n")]  # a blank line is no row
    return rows


def _suspects(turns: pl.DataFrame, turn: Numbers) -> Iterator[Suspect]:
    for name in Field:
        text = pl.col(name)
        looks_wrong = text.str.contains(LOOKS_DAMAGED) | text.str.contains(LOOKS_ODD)
        if name is not Field.SYSTEM:
            looks_wrong |= text.str.contains(_LOOKS_BLANK)
        yield from _taken(turns, turn, name, looks_wrong)


def _taken(turns: pl.DataFrame, turn: Numbers, name: Field, condition: pl.Expr) -> Iterator[Suspect]:
    found = turns.with_row_index("place").filter(condition).select("place", "row", name)
    for place, row, text in found.iter_rows():
        yield Suspect(row, int(turn[place]), name, text)
