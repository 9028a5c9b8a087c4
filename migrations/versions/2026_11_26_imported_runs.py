"""Where a run comes from that was made by hand with xtuner."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add the column; all that is there was made here."""
    op.add_column("run", sa.Column("imported_from", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    """Take it away; an imported run then looks like any other."""
    op.drop_column("run", "imported_from")
