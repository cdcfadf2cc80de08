"""Archive what is kept by its retention class: a file for each day and class"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("archived_days", "archive_removals"):
        # Until now it was of the default class.
        op.add_column(table, sa.Column("number", sa.Integer, server_default="0", nullable=False))
        op.alter_column(table, "number", server_default=None)
    op.drop_constraint("pk_archived_days", "archived_days")
    op.create_primary_key("pk_archived_days", "archived_days", ["day", "number"])


def downgrade() -> None:
    raise NotImplementedError(
        "Restore the backup that was made before: days of several classes are not put together."
    )
