"""Say for how long readings are kept, for ever until somebody says otherwise, and which days are in the archive"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "retention_classes",
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("raw_days", sa.Integer),
        sa.Column("archive_days", sa.Integer),
        sa.Column("dropped_before", TIME, nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_retention_classes"),
    )
    op.execute(
        "INSERT INTO retention_classes (name, dropped_before, changed_at, version) "
        "VALUES ('default', '2000-01-01T00:00Z', now(), 1)"
    )
    op.create_table(
        "archived_days",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("readings", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("archived_at", TIME, nullable=False),
        sa.Column("restored_until", TIME),
        sa.PrimaryKeyConstraint("day", name="pk_archived_days"),
    )


def downgrade() -> None:
    op.drop_table("archived_days")
    op.drop_table("retention_classes")
