"""Know of which devices there are readings in the archive, and of which days"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import DATEMULTIRANGE

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# What the files hold is not known here: each device that there is by now may have readings in each of them.
FILL = """
INSERT INTO archived_devices (device_id, number, days)
SELECT sources.device_id, archived.number, archived.days
FROM sources
CROSS JOIN (
    SELECT number, range_agg(daterange(day, day + 1)) AS days FROM archived_days GROUP BY number
) AS archived
"""


def upgrade() -> None:
    op.create_table(
        "archived_devices",
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("days", DATEMULTIRANGE, nullable=False),
        sa.PrimaryKeyConstraint("device_id", "number", name="pk_archived_devices"),
    )
    op.execute(FILL)


def downgrade() -> None:
    op.drop_table("archived_devices")
