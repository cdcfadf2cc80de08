"""Keep assets"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "assets",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("device_id", sa.Uuid),
        sa.Column("asset_type", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("properties", JSONB, nullable=False),
        sa.Column("capabilities", JSONB, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_assets"),
        sa.UniqueConstraint("device_id", name="uq_assets_device_id"),
        sa.CheckConstraint("jsonb_typeof(properties) = 'object'", name="ck_assets_properties"),
        sa.CheckConstraint("jsonb_typeof(capabilities) = 'array'", name="ck_assets_capabilities"),
    )
    op.create_index("ix_assets_organisation_id_created_at_id", "assets", ["organisation_id", "created_at", "id"])
    op.create_index(
        "ix_assets_organisation_id_asset_type_created_at_id",
        "assets",
        ["organisation_id", "asset_type", "created_at", "id"],
    )
    op.create_index(
        "ix_assets_properties",
        "assets",
        ["properties"],
        postgresql_using="gin",
        postgresql_ops={"properties": "jsonb_path_ops"},
    )


def downgrade() -> None:
    op.drop_table("assets")
