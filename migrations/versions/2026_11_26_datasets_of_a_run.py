"""Which saved sets the recipe of a run names."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

RUN = sa.table("run", sa.column("id", sa.Integer()), sa.column("recipe", sa.JSON()))


def upgrade() -> None:
    """Make the table, and fill it from the recipes of the runs that are there."""
    made = op.create_table(
        "rundataset",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_rundataset_run_id_run")),
        sa.PrimaryKeyConstraint("run_id", "sha256", name=op.f("pk_rundataset")),
    )
    op.create_index(op.f("ix_rundataset_sha256"), "rundataset", ["sha256"], unique=False)
    if rows := [{"run_id": run_id, "sha256": sha256} for run_id, sha256 in _named()]:
        op.bulk_insert(made, rows)


def _named() -> Iterator[tuple[int, str]]:
    """Yield each run with each hash that its recipe names; a recipe of an earlier version names none."""
    found = op.get_bind().execute(sa.select(RUN.c.id, RUN.c.recipe), execution_options={"yield_per": 100})
    for run_id, recipe in found:
        files = recipe.get("mix", {}).get("files", ())
        yield from ((run_id, sha256) for sha256 in sorted({file["sha256"] for file in files}))


def downgrade() -> None:
    """Drop it; the recipes say the same."""
    op.drop_index(op.f("ix_rundataset_sha256"), table_name="rundataset")
    op.drop_table("rundataset")
