"""The words of answers, indexed: each database's own full-text search."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

from app.domain.answer_search import CHECKPOINTS_AT_ONCE, index_checkpoints

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

CHECKPOINT = sa.table("checkpoint", sa.column("id", sa.Integer()))


def upgrade() -> None:
    """Make the index, and fill it from the answers that are there: by the very code that asks it."""
    if op.get_bind().dialect.name == "postgresql":
        _make_vectors()
    else:
        _make_fts()
    last = 0
    while ids := _checkpoints_after(last):
        index_checkpoints(op.get_bind(), ids)
        last = ids[-1]


def _make_vectors() -> None:
    op.create_table(
        "answer_words",
        sa.Column("checkpoint_id", sa.Integer(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("words", TSVECTOR(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoint.id"], name="fk_answer_words_checkpoint_id_checkpoint", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("checkpoint_id", "part", name="pk_answer_words"),
    )
    op.create_index("ix_answer_words_words", "answer_words", ["words"], postgresql_using="gin")


def _make_fts() -> None:
    # `ascii` takes every other character as a letter: the words come split and folded already.
    op.execute("CREATE VIRTUAL TABLE answer_words USING fts5(words, tokenize = 'ascii')")
    op.execute(
        "CREATE TRIGGER answer_words_go AFTER DELETE ON checkpoint "
        "BEGIN DELETE FROM answer_words WHERE rowid = old.id; END"
    )


def _checkpoints_after(last: int) -> list[int]:
    found = sa.select(CHECKPOINT.c.id).where(CHECKPOINT.c.id > last).order_by(CHECKPOINT.c.id)
    return list(op.get_bind().execute(found.limit(CHECKPOINTS_AT_ONCE)).scalars())


def downgrade() -> None:
    """Drop it; the answers stay."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER answer_words_go")
    op.drop_table("answer_words")
