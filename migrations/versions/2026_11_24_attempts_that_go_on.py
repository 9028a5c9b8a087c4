"""Attempts that go on: a queue with an order, claims without clocks, checkpoints that can be resumed."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

CLAIMED = ("model", "run", "artifact")


def upgrade() -> None:
    """Add the columns; the runs that wait keep their order."""
    for table in CLAIMED:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN lease_until TO renewed_at")
    op.add_column("run", sa.Column("rank", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("not_before", sa.DateTime(timezone=True), nullable=True))
    op.add_column("run", sa.Column("request_key", sa.String(), nullable=True))
    op.add_column("run", sa.Column("restarts", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("stop_keeps", sa.Boolean(), nullable=False, server_default=sa.false()))
    # SQLite adds a reference with its column or not at all, and Postgres reads the same words.
    op.execute("ALTER TABLE run ADD COLUMN after_run_id INTEGER CONSTRAINT fk_run_after_run_id_run REFERENCES run (id)")
    op.execute("UPDATE run SET rank = id")
    op.create_index(op.f("ix_run_rank"), "run", ["rank"], unique=False)
    op.create_index(op.f("ix_run_request_key"), "run", ["request_key"], unique=True)
    op.add_column("attempt", sa.Column("supervisor", sa.String(), nullable=False, server_default=""))
    op.add_column("attempt", sa.Column("resumed_from", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("attempt", sa.Column("reason", sa.String(length=32), nullable=True))
    op.add_column("attempt", sa.Column("reason_detail", sa.String(), nullable=False, server_default=""))
    op.add_column("checkpoint", sa.Column("state_file", sa.String(), nullable=False, server_default=""))
    op.add_column("checkpoint", sa.Column("sha256", sa.String(), nullable=False, server_default=""))
    op.add_column("checkpoint", sa.Column("is_pinned", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("artifact", sa.Column("attempt", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Take them away; what they held is lost."""
    op.drop_column("artifact", "attempt")
    for name in ("is_pinned", "sha256", "state_file"):
        op.drop_column("checkpoint", name)
    for name in ("reason_detail", "reason", "resumed_from", "supervisor"):
        op.drop_column("attempt", name)
    op.drop_index(op.f("ix_run_request_key"), table_name="run")
    op.drop_index(op.f("ix_run_rank"), table_name="run")
    op.drop_column("run", "after_run_id")
    for name in ("stop_keeps", "restarts", "request_key", "not_before", "rank"):
        op.drop_column("run", name)
    for table in CLAIMED:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN renewed_at TO lease_until")
