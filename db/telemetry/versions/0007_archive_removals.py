"""Remember which points were removed, until they are in no file of the archive"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "archive_removals",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("metrics", ARRAY(sa.Text(collation="C"))),
        sa.Column("start", TIME, nullable=False),
        sa.Column("end", TIME, nullable=False),
        sa.Column("removed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_archive_removals"),
    )
    op.create_index("ix_archive_removals_device_id", "archive_removals", ["device_id"])


def downgrade() -> None:
    op.drop_table("archive_removals")
