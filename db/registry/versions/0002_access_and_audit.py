"""Integration and provisioning keys, signing keys, browser sessions, the audit trail, and word of changed keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)

# Processes remember the keys that they have seen. What ends or changes one tells them, in the same transaction,
# whoever makes the change and by whatever means.
WORD_OF_CHANGED_KEYS = """
CREATE FUNCTION tell_of_changed_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('iotsphere_keys', OLD.id::text);
    RETURN NULL;
END $$;

CREATE FUNCTION tell_of_keys_of_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('iotsphere_keys', credentials.id::text) FROM credentials WHERE device_id = OLD.id;
    RETURN NULL;
END $$;

CREATE FUNCTION tell_of_keys_of_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('iotsphere_keys', api_keys.id::text) FROM api_keys WHERE made_by = OLD.id;
    RETURN NULL;
END $$;

CREATE TRIGGER credential_changed AFTER UPDATE OR DELETE ON credentials
    FOR EACH ROW EXECUTE FUNCTION tell_of_changed_key();
CREATE TRIGGER api_key_changed AFTER UPDATE OR DELETE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION tell_of_changed_key();
CREATE TRIGGER device_status_changed AFTER UPDATE ON devices
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION tell_of_keys_of_device();
CREATE TRIGGER user_role_changed AFTER UPDATE ON users
    FOR EACH ROW WHEN (OLD.role IS DISTINCT FROM NEW.role) EXECUTE FUNCTION tell_of_keys_of_user();
"""

# Entries are added, and once sealed: nothing else. An owner of the table can still get round this; the seals show it.
APPEND_ONLY = """
CREATE FUNCTION refuse_to_change_the_audit_trail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The audit trail is append-only.' USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER audit_entry_changed BEFORE UPDATE ON audit_entries
    FOR EACH ROW WHEN (
        OLD.position IS NOT NULL
        OR (to_jsonb(OLD) - 'position' - 'seal') IS DISTINCT FROM (to_jsonb(NEW) - 'position' - 'seal')
    )
    EXECUTE FUNCTION refuse_to_change_the_audit_trail();
CREATE TRIGGER audit_entry_removed BEFORE DELETE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_the_audit_trail();
CREATE TRIGGER audit_trail_emptied BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_the_audit_trail();
"""


def upgrade() -> None:
    op.add_column("sessions", sa.Column("secret_hash", sa.LargeBinary(), nullable=True))
    op.create_unique_constraint(op.f("uq_sessions_secret_hash"), "sessions", ["secret_hash"])
    op.create_index(op.f("ix_sessions_expires_at"), "sessions", ["expires_at"])
    op.add_column("credentials", sa.Column("rotated_at", TIME, nullable=True))
    for field in ("device_type", "status"):
        op.create_index(
            f"ix_devices_organisation_id_{field}_created_at_id",
            "devices",
            ["organisation_id", field, "created_at", "id"],
        )
    _create_keys()
    _create_audit_entries()
    op.execute(WORD_OF_CHANGED_KEYS)
    op.execute(APPEND_ONLY)


def _create_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.CheckConstraint("role BETWEEN 1 AND 4", name=op.f("ck_api_keys_role")),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("fk_api_keys_organisation_id")),
        sa.ForeignKeyConstraint(["made_by"], ["users.id"], name=op.f("fk_api_keys_made_by"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.create_index(op.f("ix_api_keys_made_by"), "api_keys", ["made_by"])
    op.create_index("ix_api_keys_organisation_id_created_at_id", "api_keys", ["organisation_id", "created_at", "id"])
    op.create_table(
        "provisioning_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("device_type", sa.Text(), nullable=False),
        sa.Column("max_devices", sa.Integer(), nullable=False),
        sa.Column("provisioned", sa.Integer(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.CheckConstraint("provisioned BETWEEN 0 AND max_devices", name=op.f("ck_provisioning_keys_provisioned")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_provisioning_keys_organisation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provisioning_keys")),
    )
    op.create_index(
        "ix_provisioning_keys_organisation_id_created_at_id",
        "provisioning_keys",
        ["organisation_id", "created_at", "id"],
    )
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_keys")),
    )


def _create_audit_entries() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("seal", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("outcome IN ('done', 'refused')", name=op.f("ck_audit_entries_outcome")),
        sa.CheckConstraint("(position IS NULL) = (seal IS NULL)", name=op.f("ck_audit_entries_seal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
        sa.UniqueConstraint("position", name=op.f("uq_audit_entries_position")),
    )
    op.create_index("ix_audit_entries_organisation_id_at_id", "audit_entries", ["organisation_id", "at", "id"])
    op.create_index(
        "ix_audit_entries_organisation_id_action", "audit_entries", ["organisation_id", "action", "at", "id"]
    )
    op.create_index("ix_audit_entries_correlation_id", "audit_entries", ["correlation_id"])
    # By the id alone, so that one index serves whoever gives its kind as well and whoever does not.
    for name in ("actor", "target"):
        op.create_index(
            f"ix_audit_entries_organisation_id_{name}",
            "audit_entries",
            ["organisation_id", sa.text(f"regexp_replace({name}, '^[^:]*:', '')"), "at", "id"],
        )
    op.create_index(
        "ix_audit_entries_at_unsealed", "audit_entries", ["at"], postgresql_where=sa.text("position IS NULL")
    )


def downgrade() -> None:
    for table, trigger in (
        ("credentials", "credential_changed"),
        ("devices", "device_status_changed"),
        ("users", "user_role_changed"),
    ):
        op.execute(f"DROP TRIGGER {trigger} ON {table}")
    for table in ("audit_entries", "signing_keys", "provisioning_keys", "api_keys"):
        op.drop_table(table)
    for function in (
        "refuse_to_change_the_audit_trail",
        "tell_of_keys_of_user",
        "tell_of_keys_of_device",
        "tell_of_changed_key",
    ):
        op.execute(f"DROP FUNCTION {function}")
    for field in ("device_type", "status"):
        op.drop_index(f"ix_devices_organisation_id_{field}_created_at_id", "devices")
    op.drop_column("credentials", "rotated_at")
    op.drop_index(op.f("ix_sessions_expires_at"), "sessions")
    op.drop_constraint(op.f("uq_sessions_secret_hash"), "sessions")
    op.drop_column("sessions", "secret_hash")
