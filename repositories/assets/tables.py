"""The asset database: what the things of an organisation are."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

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
    # In the order of the bytes, whatever the locale.
    sa.Column("name", sa.Text(collation="C"), nullable=False),
    sa.Column("properties", JSONB, nullable=False),
    sa.Column("capabilities", JSONB, nullable=False),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("updated_at", TIME, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    # Stands for the asset in narrow tables, and in their order; never shown.
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
    sa.Column("parent_id", sa.Uuid, sa.ForeignKey("assets.id")),
    sa.CheckConstraint("jsonb_typeof(properties) = 'object'", name="properties"),
    sa.CheckConstraint("jsonb_typeof(capabilities) = 'array'", name="capabilities"),
    sa.Index("ix_assets_parent_id_number", "parent_id", "number", postgresql_where=sa.text("parent_id IS NOT NULL")),
    sa.Index("ix_assets_organisation_id_created_at_id", "organisation_id", "created_at", "id"),
    # The trees, by what is at the top of each.
    sa.Index("ix_assets_roots", "organisation_id", "created_at", "id", postgresql_where=sa.text("parent_id IS NULL")),
    sa.Index(
        "ix_assets_organisation_id_asset_type_created_at_id", "organisation_id", "asset_type", "created_at", "id"
    ),
    sa.Index("ix_assets_organisation_id_name_id", "organisation_id", "name", "id"),
    sa.Index(
        "ix_assets_organisation_id_properties",
        "organisation_id",
        "properties",
        postgresql_using="gin",
        postgresql_ops={"properties": "jsonb_path_ops"},
        postgresql_with={"fastupdate": "off"},
    ),
    # Contains ``name_words(what is sought)`` where each of these words begins one of the name.
    sa.Index(
        "ix_assets_organisation_id_name_prefixes",
        "organisation_id",
        sa.text("name_prefixes(name)"),
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    ),
)

# Where an asset stands: the numbers of its ancestors from the root down, then its own, eight bytes each, the most
# significant first. Below X is what lies between the path of X and the same followed by the byte ff. A table of its
# own, since a move writes it for all that is moved.
places = sa.Table(
    "places",
    metadata,
    sa.Column(
        "number",
        sa.BigInteger,
        sa.ForeignKey("assets.number", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("path", sa.LargeBinary, nullable=False),
    sa.CheckConstraint("length(path) BETWEEN 8 AND 512", name="path"),
    sa.Index("uq_places_path", "path", unique=True, postgresql_include=["number"]),
)

# The paths at which assets of an organisation have scalars: the keys from the top of the properties down. Not all of
# them where there are more than 256; one that is there has the values of every asset. Kept by the database itself.
property_paths = sa.Table(
    "property_paths",
    metadata,
    sa.Column("organisation_id", sa.Uuid, primary_key=True),
    sa.Column("name", ARRAY(sa.Text(collation="C")), primary_key=True),
    sa.Column("path", sa.Integer, sa.Identity(always=True), nullable=False),
)

# The scalars of properties in their order, which is that of ``kind`` first: 0 is a number, 1 a text (its first 64
# characters), 2 a boolean (``txt`` is true or false), and 3 is no value: it says that numbers of the asset are in an
# array on the way. ``num`` is 0 where it is no number, ``txt`` empty where it is one. Kept by the database itself.
property_values = sa.Table(
    "property_values",
    metadata,
    sa.Column("path", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("num", sa.Double, primary_key=True),
    sa.Column("txt", sa.Text(collation="C"), primary_key=True),
    sa.Column("asset", sa.BigInteger, primary_key=True, autoincrement=False),
)

# A version of an asset: who made it, and the merge patch that makes it of the one before. Where there is none, and of
# every 20th, all that the asset was is kept whole; not of the last version, which the asset itself is.
asset_changes = sa.Table(
    "asset_changes",
    metadata,
    sa.Column(
        "asset",
        sa.BigInteger,
        sa.ForeignKey("assets.number", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("changed_at", TIME, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("patch", JSONB),
    sa.Column("whole", JSONB),
    sa.Index("ix_asset_changes_asset_changed_at_version", "asset", "changed_at", "version"),
)

relationships = sa.Table(
    "relationships",
    metadata,
    sa.Column("organisation_id", sa.Uuid, nullable=False),
    sa.Column("asset_id", sa.Uuid, sa.ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("type", sa.Text(collation="C"), primary_key=True),
    sa.Column("other_id", sa.Uuid, sa.ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("properties", JSONB, nullable=False),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("updated_at", TIME, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.CheckConstraint("asset_id <> other_id", name="other_id"),
    sa.CheckConstraint("jsonb_typeof(properties) = 'object'", name="properties"),
    sa.Index("ix_relationships_other_id_type_asset_id", "other_id", "type", "asset_id"),
)

# The highest version that a relationship had which led from the asset, and was ended. One that is made later begins
# behind it, so that no version of a relationship is ever another one's.
ended_relationships = sa.Table(
    "ended_relationships",
    metadata,
    sa.Column("asset_id", sa.Uuid, sa.ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
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
