"""The asset database: what the things of an organisation are."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from repositories.sql import CONSTRAINT_NAMES

metadata = sa.MetaData(naming_convention=CONSTRAINT_NAMES)
TIME = sa.DateTime(timezone=True)

assets = sa.Table(
    "assets",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organisation_id", sa.Uuid, nullable=False),
    sa.Column("device_id", sa.Uuid, unique=True),
    sa.Column("asset_type", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("properties", JSONB, nullable=False),
    sa.Column("capabilities", JSONB, nullable=False),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("updated_at", TIME, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.CheckConstraint("jsonb_typeof(properties) = 'object'", name="properties"),
    sa.CheckConstraint("jsonb_typeof(capabilities) = 'array'", name="capabilities"),
    sa.Index("ix_assets_organisation_id_created_at_id", "organisation_id", "created_at", "id"),
    sa.Index(
        "ix_assets_organisation_id_asset_type_created_at_id", "organisation_id", "asset_type", "created_at", "id"
    ),
    sa.Index(
        "ix_assets_properties", "properties", postgresql_using="gin", postgresql_ops={"properties": "jsonb_path_ops"}
    ),
)

device_types = sa.Table(
    "device_types",
    metadata,
    sa.Column("organisation_id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text(collation="C"), primary_key=True),
    sa.Column("definition", JSONB, nullable=False),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("updated_at", TIME, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("is_removed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.CheckConstraint("jsonb_typeof(definition) = 'object'", name="definition"),
)

maintenance_events = sa.Table(
    "maintenance_events",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organisation_id", sa.Uuid, nullable=False),
    sa.Column("device_id", sa.Uuid, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("component", sa.Text),
    sa.Column("occurred_at", TIME, nullable=False),
    sa.Column("notes", sa.Text),
    sa.Column("cost", sa.Numeric),
    sa.Column("recorded_by", sa.Text, nullable=False),
    sa.Column("recorded_at", TIME, nullable=False),
    sa.CheckConstraint("cost >= 0", name="cost"),
    sa.Index("ix_maintenance_events_device_id_occurred_at_id", "device_id", "occurred_at", "id"),
    sa.Index("ix_maintenance_events_organisation_id_occurred_at_id", "organisation_id", "occurred_at", "id"),
    sa.Index(
        "ix_maintenance_events_organisation_id_kind_occurred_at_id", "organisation_id", "kind", "occurred_at", "id"
    ),
    # The kind at the end, so that events of other kinds are passed over within the index.
    sa.Index(
        "ix_maintenance_events_organisation_id_component",
        "organisation_id",
        "component",
        "occurred_at",
        "id",
        "kind",
        postgresql_where=sa.text("component IS NOT NULL"),
    ),
)
