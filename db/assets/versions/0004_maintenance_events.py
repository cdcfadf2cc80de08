"""Keep the maintenance log"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "maintenance_events",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("component", sa.Text),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("notes", sa.Text),
        sa.Column("cost", sa.Numeric),
        sa.Column("recorded_by", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_maintenance_events"),
        sa.CheckConstraint("cost >= 0", name="ck_maintenance_events_cost"),
    )
    op.create_index(
        "ix_maintenance_events_device_id_occurred_at_id", "maintenance_events", ["device_id", "occurred_at", "id"]
    )
    op.create_index(
        "ix_maintenance_events_organisation_id_occurred_at_id",
        "maintenance_events",
        ["organisation_id", "occurred_at", "id"],
    )
    op.create_index(
        "ix_maintenance_events_organisation_id_kind_occurred_at_id",
        "maintenance_events",
        ["organisation_id", "kind", "occurred_at", "id"],
    )
    op.create_index(
        "ix_maintenance_events_organisation_id_component",
        "maintenance_events",
        ["organisation_id", "component", "occurred_at", "id", "kind"],
        postgresql_where=sa.text("component IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("maintenance_events")
