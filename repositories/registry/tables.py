"""The registry database: who there is, which devices, and what the other stores have yet to hear of."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from repositories.sql import CONSTRAINT_NAMES

metadata = sa.MetaData(naming_convention=CONSTRAINT_NAMES)
TIME = sa.DateTime(timezone=True)

organisations = sa.Table(
    "organisations",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organisation_id", sa.Uuid, sa.ForeignKey("organisations.id"), nullable=False),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.SmallInteger, nullable=False),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("is_platform_administrator", sa.Boolean, nullable=False),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.CheckConstraint("role BETWEEN 1 AND 4", name="role"),
    sa.Index("ix_users_organisation_id_created_at_id", "organisation_id", "created_at", "id"),
)
sa.Index("uq_users_email", sa.func.lower(users.c.email), unique=True)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    # Of the cookie, where the session is a browser's.
    sa.Column("secret_hash", sa.LargeBinary, unique=True),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("expires_at", TIME, nullable=False, index=True),
    sa.Column("revoked_at", TIME),
)

refresh_tokens = sa.Table(
    "refresh_tokens",
    metadata,
    sa.Column("token_hash", sa.LargeBinary, primary_key=True),
    sa.Column("session_id", sa.Uuid, sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("used_at", TIME),
)

devices = sa.Table(
    "devices",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organisation_id", sa.Uuid, sa.ForeignKey("organisations.id"), nullable=False),
    sa.Column("serial_number", sa.Text, nullable=False),
    sa.Column("device_type", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("labels", JSONB, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("last_seen_at", TIME),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("updated_at", TIME, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.CheckConstraint("status IN ('provisioned', 'active', 'suspended', 'retired')", name="status"),
    sa.Index("ix_devices_organisation_id_created_at_id", "organisation_id", "created_at", "id"),
    sa.Index(
        "ix_devices_organisation_id_device_type_created_at_id", "organisation_id", "device_type", "created_at", "id"
    ),
    sa.Index("ix_devices_organisation_id_status_created_at_id", "organisation_id", "status", "created_at", "id"),
    sa.Index("ix_devices_labels", "labels", postgresql_using="gin", postgresql_ops={"labels": "jsonb_path_ops"}),
    # A retired device keeps its row, not its claim to the serial number.
    sa.Index(
        "uq_devices_organisation_id_serial_number",
        "organisation_id",
        "serial_number",
        unique=True,
        postgresql_where=sa.text("status <> 'retired'"),
    ),
)

credentials = sa.Table(
    "credentials",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("device_id", sa.Uuid, sa.ForeignKey("devices.id"), nullable=False),
    sa.Column("label", sa.Text),
    sa.Column("secret_hash", sa.LargeBinary, nullable=False),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("expires_at", TIME),
    sa.Column("revoked_at", TIME),
    # When another took its place: with a grace, it works on for a while.
    sa.Column("rotated_at", TIME),
    sa.Index("ix_credentials_device_id_created_at_id", "device_id", "created_at", "id"),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organisation_id", sa.Uuid, sa.ForeignKey("organisations.id"), nullable=False),
    # A key may never do more than who made it may, so it ends with them.
    sa.Column("made_by", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("role", sa.SmallInteger, nullable=False),
    sa.Column("secret_hash", sa.LargeBinary, nullable=False),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("expires_at", TIME),
    sa.Column("revoked_at", TIME),
    sa.CheckConstraint("role BETWEEN 1 AND 4", name="role"),
    sa.Index("ix_api_keys_organisation_id_created_at_id", "organisation_id", "created_at", "id"),
)

provisioning_keys = sa.Table(
    "provisioning_keys",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organisation_id", sa.Uuid, sa.ForeignKey("organisations.id"), nullable=False),
    sa.Column("device_type", sa.Text, nullable=False),
    sa.Column("max_devices", sa.Integer, nullable=False),
    sa.Column("provisioned", sa.Integer, nullable=False),
    sa.Column("secret_hash", sa.LargeBinary, nullable=False),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("expires_at", TIME, nullable=False),
    sa.Column("revoked_at", TIME),
    sa.CheckConstraint("provisioned BETWEEN 0 AND max_devices", name="provisioned"),
    sa.Index("ix_provisioning_keys_organisation_id_created_at_id", "organisation_id", "created_at", "id"),
)

signing_keys = sa.Table(
    "signing_keys",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    # Encrypted under the platform's secret key.
    sa.Column("secret", sa.LargeBinary, nullable=False),
    sa.Column("created_at", TIME, nullable=False),
)

audit_entries = sa.Table(
    "audit_entries",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("at", TIME, nullable=False),
    # No foreign keys: the trail outlives what it speaks of.
    sa.Column("organisation_id", sa.Uuid),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("target", sa.Text),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("correlation_id", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("code", sa.Text),
    sa.Column("details", JSONB, nullable=False),
    # Its place in the chain and the hash that ties it to the entry before; absent until the worker has sealed it.
    sa.Column("position", sa.BigInteger, unique=True),
    sa.Column("seal", sa.LargeBinary),
    sa.CheckConstraint("outcome IN ('done', 'refused')", name="outcome"),
    sa.CheckConstraint("(position IS NULL) = (seal IS NULL)", name="seal"),
    sa.Index("ix_audit_entries_organisation_id_at_id", "organisation_id", "at", "id"),
    sa.Index("ix_audit_entries_organisation_id_action", "organisation_id", "action", "at", "id"),
    sa.Index("ix_audit_entries_correlation_id", "correlation_id"),
    sa.Index("ix_audit_entries_at_unsealed", "at", postgresql_where=sa.text("position IS NULL")),
)

# What follows the kind in ``<kind>:<id>``, or all of a text that names no kind.
ID_OF_ACTOR = sa.func.regexp_replace(audit_entries.c.actor, sa.text("'^[^:]*:'"), sa.text("''"))
ID_OF_TARGET = sa.func.regexp_replace(audit_entries.c.target, sa.text("'^[^:]*:'"), sa.text("''"))
for _name, _id in (("actor", ID_OF_ACTOR), ("target", ID_OF_TARGET)):
    sa.Index(
        f"ix_audit_entries_organisation_id_{_name}",
        audit_entries.c.organisation_id,
        _id,
        audit_entries.c.at,
        audit_entries.c.id,
    )

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("organisation_id", sa.Uuid, nullable=False),
    sa.Column("device_id", sa.Uuid, nullable=False),
    sa.Column("payload", JSONB, nullable=False),
    sa.Column("correlation_id", sa.Text, nullable=False),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("due_at", TIME, nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("actor", sa.Text, nullable=False, server_default="unknown"),
)

idempotency_records = sa.Table(
    "idempotency_records",
    metadata,
    sa.Column("actor", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("started_at", TIME, nullable=False, index=True),
    # The answer, encrypted, since it may show a key; absent while the first request is still at work.
    sa.Column("answer", sa.LargeBinary),
)
