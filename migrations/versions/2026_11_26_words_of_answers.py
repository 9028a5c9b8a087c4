"""The words of answers, indexed: each database's own full-text search."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

from app.domain.answer_search import index_checkpoints

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

RUNS_AT_ONCE = 50
CHECKPOINT = sa.table("checkpoint", sa.column("id", sa.Integer()), sa.column("run_id", sa.Integer()))


def upgrade() -> None:
    """Make the index, and fill it from the answers that are there: by the very code that asks it."""
    if op.get_bind().dialect.name == "postgresql":
        _make_vectors()
    else:
        _make_fts()
    last = 0
    while runs := _runs_after(last):
        found = sa.select(CHECKPOINT.c.id).where(CHECKPOINT.c.run_id.in_(runs))
        index_checkpoints(op.get_bind(), list(op.get_bind().execute(found).scalars()))
        last = runs[-1]


def _make_vectors() -> None:
    op.create_table(
        "answer_words",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("words", TSVECTOR(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_answer_words_run_id_run", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "block", "part", name="pk_answer_words"),
    )
    op.create_index("ix_answer_words_words", "answer_words", ["words"], postgresql_using="gin")


def _make_fts() -> None:
    # `ascii` takes every other character as a letter: the words come split and folded already.
    op.execute("CREATE VIRTUAL TABLE answer_words USING fts5(words, tokenize = 'ascii')")
    op.execute(
        "CREATE TRIGGER answer_words_go AFTER DELETE ON run "
        "BEGIN DELETE FROM answer_words WHERE rowid >= old.id << 32 AND rowid < (old.id + 1) << 32; END"
    )


def _runs_after(last: int) -> list[int]:
    found = sa.select(CHECKPOINT.c.run_id).where(CHECKPOINT.c.run_id > last).distinct().order_by(CHECKPOINT.c.run_id)
    return list(op.get_bind().execute(found.limit(RUNS_AT_ONCE)).scalars())


def downgrade() -> None:
    """Drop it; the answers stay."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER answer_words_go")
    op.drop_table("answer_words")
