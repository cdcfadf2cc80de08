"""Keep the journal of device shadows"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "shadow_generations",
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("began_at", TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("position", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("version_jump", sa.BigInteger),
        sa.Column("rebuilt_at", TIME),
        sa.PrimaryKeyConstraint("number", name="pk_shadow_generations"),
    )
    op.create_table(
        "shadow_writers",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("opened_at", TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("closed_at", TIME),
        sa.PrimaryKeyConstraint("id", "generation", name="pk_shadow_writers"),
    )
    op.create_table(
        "shadow_changes",
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("correlation_id", sa.Text, nullable=False),
        # As text, not as JSONB: the order of keys and the way numbers are written are part of what was said.
        sa.Column("patch", sa.JSON, nullable=True),
        sa.Column("violations", sa.JSON, nullable=True),
        sa.Column("shadow", sa.JSON, nullable=True),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("device_id", "name", "version", name="pk_shadow_changes"),
    )
    op.create_index(
        "ix_shadow_changes_device_id_name_at_version", "shadow_changes", ["device_id", "name", "at", "version"]
    )
    op.create_table(
        "shadow_changes_refused",
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        # As bytes: nothing that a text may not hold is a reason to refuse it here.
        sa.Column("change", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("refused_at", TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "name", "version", name="pk_shadow_changes_refused"),
    )
    op.create_table(
        "shadow_heads",
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("shadow", sa.JSON, nullable=False),
        sa.Column("is_deleted", sa.Boolean, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("device_id", "name", name="pk_shadow_heads"),
    )
    op.create_table(
        "shadow_requests",
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("requested_version", sa.BigInteger, nullable=False),
        sa.Column("path", sa.Text(collation="C"), nullable=False),
        sa.Column("value", sa.JSON, nullable=True),
        sa.Column("requested_by", sa.Text),
        sa.Column("requested_at", TIME),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("settled_version", sa.BigInteger),
        sa.Column("settled_at", TIME),
        sa.Column("refusal", sa.JSON, nullable=True),
        sa.PrimaryKeyConstraint("device_id", "name", "requested_version", "path", name="pk_shadow_requests"),
    )
    op.create_index(
        "ix_shadow_requests_device_id_name_state_requested_version",
        "shadow_requests",
        ["device_id", "name", "state", "requested_version"],
    )


def downgrade() -> None:
    for table in ["requests", "heads", "changes_refused", "changes", "writers", "generations"]:
        op.drop_table(f"shadow_{table}")
