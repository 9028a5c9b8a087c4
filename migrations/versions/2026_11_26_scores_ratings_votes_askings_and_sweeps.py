"""Scores, ratings, votes, askings and sweeps."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Make the tables, and the columns that point to them."""
    op.create_table(
        "sweep",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("axes", sa.JSON(), nullable=False),
        sa.Column("at_once", sa.Integer(), nullable=False),
        sa.Column("stops_parrots", sa.Boolean(), nullable=False),
        sa.Column("request_key", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sweep")),
    )
    op.create_index(op.f("ix_sweep_request_key"), "sweep", ["request_key"], unique=True)

    op.create_table(
        "thresholdsetting",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_thresholdsetting")),
    )
    op.create_table(
        "asking",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("reason_detail", sa.String(), nullable=False),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("dtype", sa.String(), nullable=False),
        sa.Column("quantised", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_asking_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asking")),
    )
    op.create_index(op.f("ix_asking_run_id"), "asking", ["run_id"], unique=False)

    op.create_table(
        "storedscore",
        sa.Column("checkpoint_id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoint.id"], name=op.f("fk_storedscore_checkpoint_id_checkpoint")
        ),
        sa.PrimaryKeyConstraint("checkpoint_id", name=op.f("pk_storedscore")),
    )
    op.create_index(op.f("ix_storedscore_verdict"), "storedscore", ["verdict"], unique=False)

    op.create_table(
        "rating",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("answer_id", sa.Integer(), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=True),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["answer_id"], ["answer.id"], name=op.f("fk_rating_answer_id_answer")),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_rating_user_id_user_account")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rating")),
        sa.UniqueConstraint("user_id", "answer_id", name=op.f("uq_rating_user_id_answer_id")),
    )
    op.create_index(op.f("ix_rating_answer_id"), "rating", ["answer_id"], unique=False)

    op.create_table(
        "vote",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("first_answer_id", sa.Integer(), nullable=False),
        sa.Column("second_answer_id", sa.Integer(), nullable=False),
        sa.Column("preferred_answer_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["first_answer_id"], ["answer.id"], name=op.f("fk_vote_first_answer_id_answer")),
        sa.ForeignKeyConstraint(
            ["preferred_answer_id"], ["answer.id"], name=op.f("fk_vote_preferred_answer_id_answer")
        ),
        sa.ForeignKeyConstraint(["second_answer_id"], ["answer.id"], name=op.f("fk_vote_second_answer_id_answer")),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_vote_user_id_user_account")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vote")),
        sa.UniqueConstraint(
            "user_id",
            "first_answer_id",
            "second_answer_id",
            name=op.f("uq_vote_user_id_first_answer_id_second_answer_id"),
        ),
    )
    op.create_index(op.f("ix_vote_first_answer_id"), "vote", ["first_answer_id"], unique=False)
    op.create_index(op.f("ix_vote_second_answer_id"), "vote", ["second_answer_id"], unique=False)

    # A batch would make these tables anew, row by row; a column with its reference in it needs no such thing.
    op.execute(
        "ALTER TABLE answer ADD COLUMN asking_id INTEGER CONSTRAINT fk_answer_asking_id_asking REFERENCES asking (id)"
    )
    op.create_index(op.f("ix_answer_asking_id"), "answer", ["asking_id"], unique=False)
    op.execute("ALTER TABLE run ADD COLUMN sweep_id INTEGER CONSTRAINT fk_run_sweep_id_sweep REFERENCES sweep (id)")
    op.create_index(op.f("ix_run_sweep_id"), "run", ["sweep_id"], unique=False)
    op.add_column("run", sa.Column("stopped_by", sa.String(length=32), nullable=True))
    op.add_column("checkpoint", sa.Column("identity_nll", sa.Float(), nullable=True))
    op.add_column("checkpoint", sa.Column("general_nll", sa.Float(), nullable=True))
    op.add_column("runprobe", sa.Column("added_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Take them away; answers that were asked for later stay."""
    op.drop_column("runprobe", "added_at")
    op.drop_column("checkpoint", "general_nll")
    op.drop_column("checkpoint", "identity_nll")
    op.drop_column("run", "stopped_by")
    op.drop_index(op.f("ix_run_sweep_id"), table_name="run")
    op.drop_column("run", "sweep_id")
    op.drop_index(op.f("ix_answer_asking_id"), table_name="answer")
    op.drop_column("answer", "asking_id")
    for table in ("vote", "rating", "storedscore", "asking", "thresholdsetting", "sweep"):
        op.drop_table(table)
