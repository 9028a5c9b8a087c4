"""What an admin has approved of model folders."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from app.domain.columns import UtcDateTime

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Make the table; models that are registered already have to be approved where they hold what needs it."""
    op.create_table(
        "model_approval",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=False),
        sa.Column("approved_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_model_approval"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("model_approval")
