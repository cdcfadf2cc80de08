"""Keep device types"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "device_types",
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        # In the order of the bytes, as the double and the cursors have it.
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("definition", JSONB, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "name", name="pk_device_types"),
        sa.CheckConstraint("jsonb_typeof(definition) = 'object'", name="ck_device_types_definition"),
    )


def downgrade() -> None:
    op.drop_table("device_types")
