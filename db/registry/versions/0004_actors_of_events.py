"""Who made happen what the other stores are told of."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Unknown where it was added before, or by a process that does not tell yet.
    op.add_column("outbox", sa.Column("actor", sa.Text, nullable=False, server_default="unknown"))


def downgrade() -> None:
    op.drop_column("outbox", "actor")
