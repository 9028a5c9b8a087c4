"""The kind of device that an attempt trained on."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add the column; of what is there already nothing says it."""
    op.add_column("attempt", sa.Column("device", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    """Take it away."""
    op.drop_column("attempt", "device")
