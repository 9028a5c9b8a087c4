"""
The words of answers, indexed: which runs said something, found without reading what they said.

What a run answered at some neighbouring checkpoints is one document, so that a word of every answer
of 10,000 runs is found in 10,000 documents and not in a million. The index holds words as
`texts.words` splits them, Chinese by characters: a search word is looked for as its pieces one after
another, the last of which may go on. Part of a word that is not its beginning is not found, and a
word of one or two letters only whole. SQLite keeps the index as FTS5, Postgres as `tsvector`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    table,
)
from sqlalchemy import select as sa_select
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlmodel import Session, col

from app.domain.models import Answer, Checkpoint
from app.domain.texts import words

TABLE = "answer_words"
BLOCK = 32  # checkpoint ids of a document: more make it slow to write, at every save of a run; fewer, slow to find
RUN_BITS = 32  # a document of FTS5 has a number and no more: the run, and below it the block
SHORTEST_BEGINNING = 3  # letters; what begins with one or two of them is every other answer
LONGEST_PIECE = 64  # characters; Postgres takes no word of more than 2 KB
PIECES_A_PART = 4_000  # Postgres remembers 256 places of a word in a part, and nothing beyond place 16,383
DOCUMENTS_AT_ONCE = 100
BETWEEN_ANSWERS = "\ue000"  # of no language: no phrase goes from one answer into the next

Document = tuple[int, int]
"""A run, and a block of ids: the document of those checkpoints of the run that have them."""

_FTS = table(TABLE, column("rowid", Integer), column("words", Text))
_PARTS = table(
    TABLE, column("run_id", Integer), column("block", Integer), column("part", Integer), column("words", TSVECTOR)
)


def is_of_models(name: str | None, _kind: object = None, _parents: object = None) -> bool:
    """Whether something of the database is the models' business: Alembic asks, and must not miss this index in them."""
    return name is None or TABLE not in name


# ── Into the index ─────────────────────────────────────────────────────────


def index_answers(session: Session, checkpoint_ids: Sequence[int]) -> None:
    """Index what some checkpoints answer now, in place of what they did: whoever stores or deletes answers calls it."""
    session.flush()  # the index is made from the rows
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        _hold(connection, _documents_of(connection, checkpoint_ids))
    index_checkpoints(connection, checkpoint_ids)


def _hold(connection: Connection, documents: Iterable[Document]) -> None:
    """
    Let nobody else write some documents until this transaction ends; SQLite has one writer anyway.

    Two that wrote one at once would each leave out what the other one stores. The order of those that are held is
    the same for everybody. A migration writes alone, and would hold more of them than Postgres has room for.
    """
    for run_id, block in documents:
        connection.execute(sa_select(func.pg_advisory_xact_lock(cast(run_id, Integer), cast(block, Integer))))


def index_checkpoints(connection: Connection, checkpoint_ids: Sequence[int]) -> None:
    """Write the documents anew that some checkpoints are in."""
    documents = _documents_of(connection, checkpoint_ids)
    write = _write_parts if connection.dialect.name == "postgresql" else _write_fts
    for start in range(0, len(documents), DOCUMENTS_AT_ONCE):
        some = documents[start : start + DOCUMENTS_AT_ONCE]
        write(connection, some, _answers_of(connection, some))


def _documents_of(connection: Connection, checkpoint_ids: Sequence[int]) -> list[Document]:
    owners = sa_select(col(Checkpoint.run_id), col(Checkpoint.id)).where(col(Checkpoint.id).in_(checkpoint_ids))
    return sorted({(run_id, (each or 0) // BLOCK) for run_id, each in connection.execute(owners)})


def _answers_of(connection: Connection, documents: Sequence[Document]) -> dict[Document, list[list[str]]]:
    columns = col(Checkpoint.run_id), col(Checkpoint.id), col(Answer.text)
    statement = sa_select(*columns).join_from(Checkpoint, Answer).order_by(col(Answer.id))
    run_ids, blocks = map(set, zip(*documents, strict=True))
    statement = statement.where(col(Checkpoint.run_id).in_(run_ids), (col(Checkpoint.id) // BLOCK).in_(blocks))
    said: dict[Document, list[list[str]]] = {document: [] for document in documents}
    for run_id, checkpoint_id, text in connection.execute(statement):
        if (answers := said.get((run_id, (checkpoint_id or 0) // BLOCK))) is not None:
            answers.append(pieces_of(text))
    return said


def pieces_of(text: str) -> list[str]:
    """Split a text, or a search word, as the index holds it."""
    return [piece[:LONGEST_PIECE] for piece in words(text).text]


def _write_fts(connection: Connection, documents: Sequence[Document], said: dict[Document, list[list[str]]]) -> None:
    numbers = {document: (document[0] << RUN_BITS) + document[1] for document in documents}
    connection.execute(delete(_FTS).where(_FTS.c.rowid.in_(numbers.values())))
    between = f" {BETWEEN_ANSWERS} "
    rows = [
        {"rowid": numbers[document], "words": between.join(map(" ".join, answers))}
        for document, answers in said.items()
        if answers
    ]
    if rows:
        connection.execute(insert(_FTS), rows)


def _write_parts(connection: Connection, documents: Sequence[Document], said: dict[Document, list[list[str]]]) -> None:
    for run_id, block in documents:
        connection.execute(delete(_PARTS).where(_PARTS.c.run_id == run_id, _PARTS.c.block == block))
    rows = [
        {"run_id": run_id, "block": block, "part": number, "words": part}
        for (run_id, block), answers in said.items()
        for number, part in enumerate(_parts(answers))
    ]
    if rows:
        vector = cast(bindparam("words", type_=Text), TSVECTOR)
        connection.execute(insert(_PARTS).values(words=vector), rows)


def _parts(answers: Iterable[list[str]]) -> Iterator[str]:
    """Write answers as Postgres' vectors; one that is longer than a part is cut."""
    part: dict[str, list[int]] = defaultdict(list)
    place = 0
    for answer in answers:
        for start in range(0, len(answer), PIECES_A_PART):
            cut = answer[start : start + PIECES_A_PART]
            if place + len(cut) > PIECES_A_PART and part:
                yield _vector(part)
                part, place = defaultdict(list), 0
            for at, piece in enumerate(cut, place + 1):
                part[piece].append(at)
            place += len(cut) + 1  # a place is left empty between two answers
    if part:
        yield _vector(part)


def _vector(part: Mapping[str, Sequence[int]]) -> str:
    return " ".join(f"{_quoted(piece)}:{','.join(map(str, places))}" for piece, places in part.items())


def _quoted(piece: str) -> str:
    return "'" + piece.replace("\\", "\\\\").replace("'", "''") + "'"


# ── Out of it ──────────────────────────────────────────────────────────────


def runs_that_said(dialect: str, word: str) -> Select[tuple[int]]:
    """
    Select the runs that have an answer with a word in it, or with its beginning; each once or more.

    Args:
        dialect: `sqlite` or `postgresql`.
    """
    run_id = _PARTS.c.run_id if dialect == "postgresql" else _FTS.c.rowid.bitwise_rshift(RUN_BITS)
    return sa_select(run_id).where(_has_word(dialect, word))


def begins_word(word: str, piece: str) -> bool:
    """Whether the last piece of a search word finds a word of an answer."""
    return word == piece or (len(piece) >= SHORTEST_BEGINNING and word.startswith(piece))


def _has_word(dialect: str, word: str) -> ColumnElement[bool]:
    """Whether a document holds a word's pieces one after another."""
    pieces = pieces_of(word)
    goes_on = bool(pieces) and len(pieces[-1]) >= SHORTEST_BEGINNING
    if dialect == "postgresql":
        phrase = " <-> ".join(map(_quoted, pieces)) + (":*" if goes_on else "")
        return _PARTS.c.words.bool_op("@@")(cast(phrase, TSQUERY))
    phrase = '"' + " ".join(pieces).replace('"', '""') + '"'
    return _FTS.c.words.bool_op("MATCH")(phrase + ("*" if goes_on else ""))
