"""
The words of answers, indexed: which runs said something, found without reading what they said.

A checkpoint's answers are one document, so that a word that stands in every answer of 10,000 runs
is still found at once. The index holds words as `texts.words` splits them, Chinese by characters: a
search word is looked for as its pieces one after another, the last of which may go on. Part of a
word that is not its beginning is not found. SQLite keeps the index as FTS5, Postgres as `tsvector`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, Integer, Select, Text, bindparam, cast, column, delete, insert, table
from sqlalchemy import select as sa_select
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlmodel import Session, col

from app.domain.models import Answer, Checkpoint
from app.domain.texts import words

TABLE = "answer_words"
LONGEST_PIECE = 64  # characters; Postgres takes no word of more than 2 KB
PIECES_A_PART = 2_000  # Postgres remembers 256 places of a word in a part, and nothing beyond place 16,383
CHECKPOINTS_AT_ONCE = 500
BETWEEN_ANSWERS = "\ue000"  # of no language: no phrase goes from one answer into the next

Row = TypeVar("Row", bound=tuple[int, ...])

_FTS = table(TABLE, column("rowid", Integer), column("words", Text))
_PARTS = table(TABLE, column("checkpoint_id", Integer), column("part", Integer), column("words", TSVECTOR))


def is_of_models(name: str | None, _kind: str, _parents: Mapping[str, str | None]) -> bool:
    """Whether something of the database is the models' business: Alembic asks, and must not miss this index in them."""
    return name is None or TABLE not in name


# ── Into the index ─────────────────────────────────────────────────────────


def index_answers(session: Session, checkpoint_ids: Sequence[int]) -> None:
    """Index what some checkpoints answer now, in place of what they did: whoever stores or deletes answers calls it."""
    session.flush()  # the index is made from the rows
    index_checkpoints(session.connection(), checkpoint_ids)


def index_checkpoints(connection: Connection, checkpoint_ids: Sequence[int]) -> None:
    """Index what some checkpoints answer, a bounded number of them at once."""
    is_postgres = connection.dialect.name == "postgresql"
    for start in range(0, len(checkpoint_ids), CHECKPOINTS_AT_ONCE):
        ids = checkpoint_ids[start : start + CHECKPOINTS_AT_ONCE]
        said = _answers_of(connection, ids)
        (_write_parts if is_postgres else _write_fts)(connection, ids, said)


def _answers_of(connection: Connection, ids: Sequence[int]) -> dict[int, list[list[str]]]:
    statement = sa_select(col(Answer.checkpoint_id), col(Answer.text)).where(col(Answer.checkpoint_id).in_(ids))
    said: dict[int, list[list[str]]] = defaultdict(list)
    for checkpoint_id, text in connection.execute(statement.order_by(col(Answer.id))):
        said[checkpoint_id].append(pieces_of(text))
    return said


def pieces_of(text: str) -> list[str]:
    """Split a text, or a search word, as the index holds it."""
    return [piece[:LONGEST_PIECE] for piece in words(text).text]


def _write_fts(connection: Connection, ids: Sequence[int], said: dict[int, list[list[str]]]) -> None:
    connection.execute(delete(_FTS).where(_FTS.c.rowid.in_(ids)))
    between = f" {BETWEEN_ANSWERS} "
    rows = [{"rowid": each, "words": between.join(map(" ".join, answers))} for each, answers in said.items()]
    if rows:
        connection.execute(insert(_FTS), rows)


def _write_parts(connection: Connection, ids: Sequence[int], said: dict[int, list[list[str]]]) -> None:
    connection.execute(delete(_PARTS).where(_PARTS.c.checkpoint_id.in_(ids)))
    rows = [
        {"checkpoint_id": each, "part": number, "words": part}
        for each, answers in said.items()
        for number, part in enumerate(_parts(answers))
    ]
    if rows:
        vector = cast(bindparam("words", type_=Text), TSVECTOR)
        connection.execute(insert(_PARTS).values(words=vector), rows)


def _parts(answers: Iterable[list[str]]) -> Iterator[str]:
    """Write answers as Postgres' vectors; one that is longer than a part is cut."""
    words_of_part: list[str] = []
    place = 0
    for answer in answers:
        for start in range(0, len(answer), PIECES_A_PART):
            cut = answer[start : start + PIECES_A_PART]
            if place + len(cut) > PIECES_A_PART and words_of_part:
                yield " ".join(words_of_part)
                words_of_part, place = [], 0
            words_of_part += [f"{_quoted(piece)}:{place + at}" for at, piece in enumerate(cut, 1)]
            place += len(cut) + 1  # a place is left empty between two answers
    if words_of_part:
        yield " ".join(words_of_part)


def _quoted(piece: str) -> str:
    return "'" + piece.replace("\\", "\\\\").replace("'", "''") + "'"


# ── Out of it ──────────────────────────────────────────────────────────────


def runs_that_said(dialect: str, word: str) -> Select[tuple[int]]:
    """
    Select the runs that have an answer with a word in it, or with its beginning.

    Args:
        dialect: `sqlite` or `postgresql`.
    """
    return _documents(sa_select(col(Checkpoint.run_id)), dialect).where(has_word(dialect, word))


def checkpoints_that_said(dialect: str, word: str, run_ids: Sequence[int]) -> Select[tuple[int, int]]:
    """Select the checkpoints of some runs that have an answer with a word in it, the earliest of each run first."""
    found = _documents(sa_select(col(Checkpoint.run_id), col(Checkpoint.id)), dialect)
    found = found.where(has_word(dialect, word), col(Checkpoint.run_id).in_(run_ids))
    return found.order_by(col(Checkpoint.run_id), col(Checkpoint.iteration))


def _documents(selected: Select[Row], dialect: str) -> Select[Row]:
    key = _PARTS.c.checkpoint_id if dialect == "postgresql" else _FTS.c.rowid
    return selected.join_from(key.table, Checkpoint, col(Checkpoint.id) == key)


def has_word(dialect: str, word: str) -> ColumnElement[bool]:
    """Whether a document holds a word's pieces one after another."""
    pieces = pieces_of(word)
    if dialect == "postgresql":
        phrase = " <-> ".join(map(_quoted, pieces)) + (":*" if pieces else "")
        return _PARTS.c.words.bool_op("@@")(cast(phrase, TSQUERY))
    phrase = " ".join(pieces).replace('"', '""')
    return _FTS.c.words.bool_op("MATCH")(f'"{phrase}"*')
