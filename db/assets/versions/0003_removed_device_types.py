"""Keep the versions of removed device types"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a default that stays: an earlier release that still runs removes nothing and says nothing of it.
    op.add_column("device_types", sa.Column("is_removed", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.execute("DELETE FROM device_types WHERE is_removed")
    op.drop_column("device_types", "is_removed")
