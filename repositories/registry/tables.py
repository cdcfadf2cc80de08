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
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("expires_at", TIME, nullable=False),
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
    sa.Index("ix_credentials_device_id_created_at_id", "device_id", "created_at", "id"),
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
