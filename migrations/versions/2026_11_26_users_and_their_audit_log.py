"""What users and credentials need beyond one admin, and the audit log, which only grows."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Change the tables; every user and credential that is there goes on as it was."""
    with op.batch_alter_table("user_account") as table:
        table.add_column(sa.Column("subject", sa.String(), nullable=True))
        table.add_column(sa.Column("is_provided", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True))
        table.create_unique_constraint("uq_user_account_subject", ["subject"])
    with op.batch_alter_table("credential") as table:
        table.add_column(sa.Column("scope", sa.String(length=32), nullable=True))
        table.add_column(sa.Column("made_by_id", sa.Integer(), nullable=True))
        table.add_column(sa.Column("address", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("agent", sa.String(), nullable=False, server_default=""))
        table.create_foreign_key("fk_credential_made_by_id_credential", "credential", ["made_by_id"], ["id"])
    _make_audit_log()
    _let_it_only_grow()


def _make_audit_log() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("user_name", sa.String(), nullable=False),
        sa.Column("means", sa.String(length=32), nullable=False),
        sa.Column("credential_id", sa.Integer(), nullable=True),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("object_kind", sa.String(), nullable=False),
        sa.Column("object_id", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entry"),
    )
    op.create_index("ix_audit_entry_at", "audit_entry", ["at"])
    op.create_index("ix_audit_entry_user_name", "audit_entry", ["user_name"])
    op.create_index("ix_audit_entry_action", "audit_entry", ["action"])
    op.create_index("ix_audit_entry_object", "audit_entry", ["object_kind", "object_id"])


def _let_it_only_grow() -> None:
    for word in ("UPDATE", "DELETE"):
        name = f"audit_entry_no_{word.lower()}"
        if op.get_bind().dialect.name == "postgresql":
            # A rule and no trigger: it moves to another schema with its table, as a restored backup does,
            # while a trigger's function would stay behind.
            op.execute(f"CREATE RULE {name} AS ON {word} TO audit_entry DO INSTEAD NOTHING")
        else:
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {word} ON audit_entry "
                "BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END"
            )


def downgrade() -> None:
    """Change them back; the log is gone then."""
    op.drop_table("audit_entry")
    with op.batch_alter_table("credential") as table:
        table.drop_constraint("fk_credential_made_by_id_credential", type_="foreignkey")
        for name in ("agent", "address", "made_by_id", "scope"):
            table.drop_column(name)
    with op.batch_alter_table("user_account") as table:
        table.drop_constraint("uq_user_account_subject", type_="unique")
        for name in ("disabled_at", "is_provided", "subject"):
            table.drop_column(name)
