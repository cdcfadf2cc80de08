"""Count the epochs of the latest values that are kept in Redis"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "latest_epoch",
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_latest_epoch"),
    )
    op.execute("INSERT INTO latest_epoch VALUES (1)")


def downgrade() -> None:
    op.drop_table("latest_epoch")
