"""Migrations of a Temper that is one version ahead of this one."""

import shutil
from pathlib import Path

from alembic.script import ScriptDirectory

from app.domain import migrate

AHEAD = "9000"
NEXT_VERSION = '''"""What a later version changes."""
import time
from pathlib import Path
from alembic import op
import sqlalchemy as sa

revision, down_revision, branch_labels, depends_on = "{revision}", "{before}", None, None


def upgrade():
    """Make a table, then do what the test asks for."""
    op.create_table("extra", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("data", sa.JSON()),
                    sa.Column("amount", sa.Float()))
    with op.batch_alter_table("model") as table:
        table.add_column(sa.Column("colour", sa.String(), server_default="red"))
    {then}


def downgrade():
    """Take it back."""
    op.drop_table("extra")
'''


def one_ahead(folder: Path, *, then: str = "") -> Path:
    """Write the migrations of this version and one more into a folder; `then` is what that does at its end."""
    before = ScriptDirectory(str(migrate.MIGRATIONS)).get_current_head()
    scripts = folder / "migrations ahead"
    shutil.rmtree(scripts, ignore_errors=True)
    shutil.copytree(migrate.MIGRATIONS, scripts)
    text = NEXT_VERSION.format(revision=AHEAD, before=before, then=then)
    (scripts / "versions" / "ahead.py").write_text(text)
    return scripts
