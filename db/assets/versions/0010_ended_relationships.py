"""Keep which versions relationships have had that are there no more"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ended_relationships",
        sa.Column("asset_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("asset_id", name="pk_ended_relationships"),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name="fk_ended_relationships_asset_id", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("ended_relationships")
