"""
Search a stored dataset, a million rows in seconds: for the child process, since it needs memory.

Reads the file once in blocks. What stays is some 60 bytes a turn, the normalised questions, and
the texts that a sieve let through; rows that are shown are read again by their place in the file.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl

from app.domain.findings.ahead import ahead
from app.domain.findings.blocks import Block, read_answers, read_blocks
from app.domain.findings.hits import Hits, find_hits, find_taught
from app.domain.findings.keys import Keys
from app.domain.findings.kinds import Findings
from app.domain.findings.near import ALL_PAIRS_UP_TO, MOST_QUESTIONS, NearQuestions, sketch_orders
from app.domain.findings.orders import text_orders
from app.domain.findings.sentences import Conversation, findings_of
from app.domain.findings.table import Numbers, Table
from app.domain.findings.taught_runs import TaughtRuns


@dataclass(frozen=True)
class StoredRows:
    """Rows that are read again one by one, to be shown."""

    path: Path
    starts: Numbers
    """Byte of the file at which each row begins."""

    def row_at(self, row: int) -> Conversation:
        """Read a row, counted from 0."""
        with self.path.open("rb") as file:
            file.seek(int(self.starts[row]))
            conversation: Conversation = json.loads(file.readline()).get("conversation") or ()
            return conversation

    def findings(self, hits: Hits, source: str = "") -> Findings:
        """Put into words what was found."""
        return findings_of(hits, self.row_at, rows=len(self.starts), place_of=lambda row: (source, row))


@dataclass(frozen=True)
class SearchedFile:
    """A stored dataset as a table, and what is wrong with it."""

    rows: StoredRows
    table: Table
    hits: Hits

    def findings(self, source: str = "") -> Findings:
        """Put into words what was found."""
        return self.rows.findings(self.hits, source)


def find_in_file(path: Path, *, source: str = "") -> Findings:
    """
    Search a stored dataset in this process.

    Args:
        path: JSON Lines of xtuner conversations, as the store writes them.
        source: what the findings call it.
    """
    return search_file(path).findings(source)


def find_taught_in_file(path: Path, answers: Iterable[str], *, source: str = "") -> Findings:
    """Search a stored dataset for answers that hold one of the identity answers."""
    runs = TaughtRuns(answers)
    parts = list(ahead(read_answers(path, runs.pieces)))
    hits = find_taught(chain.from_iterable(found for found, _ in parts), runs)
    starts = _joined((starts for _, starts in parts), np.int64)
    return StoredRows(path, starts).findings(hits, source)


def search_file(path: Path) -> SearchedFile:
    """Search a stored dataset for all that is wrong with it alone; the table is for its index."""
    blocks = list(read_blocks(path))
    table = _table(blocks)
    rows = StoredRows(path, _joined((block.starts for block in blocks), np.int64))
    return SearchedFile(rows, table, find_hits(table, find_near))


def _table(blocks: Sequence[Block]) -> Table:
    questions = pl.concat([pl.Series([], dtype=pl.String), *(block.questions for block in blocks)], rechunk=True)
    return Table(
        row=_joined((block.row for block in blocks), np.uint32),
        turn=_joined((block.turn for block in blocks), np.uint32),
        has_loss=_joined((block.has_loss for block in blocks), np.bool_),
        system=_joined((block.system for block in blocks), np.uint64),
        question=_joined((block.question for block in blocks), np.uint64),
        answer=_joined((block.answer for block in blocks), np.uint64),
        questions_at=lambda places: questions.gather(places).to_list(),
        suspects=list(chain.from_iterable(block.suspects for block in blocks)),
    )


def _joined(parts: Iterable[Numbers], kind: type[np.generic]) -> Numbers:
    return np.concatenate([np.empty(0, kind), *parts])


def find_near(questions: list[str], contexts: Keys) -> Numbers:
    """Search for near questions: all pairs of few, neighbours in six orders of many."""
    texts = pl.Series(questions[:MOST_QUESTIONS], dtype=pl.String)
    contexts = contexts[:MOST_QUESTIONS]
    near = NearQuestions(questions[:MOST_QUESTIONS], contexts, _numbers_in(texts))
    if len(texts) <= ALL_PAIRS_UP_TO:
        near.compare_all()
    else:
        for order in ahead(chain(text_orders(near.texts, contexts, near.lengths), sketch_orders(near))):
            near.compare_in(order)
    return np.append(near.earlier, np.full(len(questions) - len(texts), -1))


def _numbers_in(questions: pl.Series) -> Keys:
    """Return the key of the numbers in each question; holds for this process alone."""
    return questions.str.replace_all(r"\D+", " ").str.strip_chars().hash().to_numpy()
