"""Find the figures of an hour or a day of a device, whichever metrics they are of"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = ("rollups_1h", "rollups_1d")


def upgrade() -> None:
    for table in TABLES:
        op.create_index(f"ix_{table}_source_start", table, ["source", sa.text("(start AT TIME ZONE 'UTC')")])


def downgrade() -> None:
    for table in TABLES:
        op.drop_index(f"ix_{table}_source_start", table)
