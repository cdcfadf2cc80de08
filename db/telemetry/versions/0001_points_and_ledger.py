"""Keep points and the ledger of arrivals"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The superuser decides on the extension when the database is made; here it is used if it is there.
    installed = sa.text("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')")
    has_timescaledb = op.get_bind().scalar(installed)
    op.create_table(
        "points",
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("metric", sa.Text(collation="C"), nullable=False),
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
        sa.Column("number", DOUBLE_PRECISION),
        sa.Column("other", JSONB),
        sa.PrimaryKeyConstraint("device_id", "metric", "ts", name="pk_points"),
        sa.CheckConstraint("num_nonnulls(number, other) = 1", name="ck_points_value"),
        postgresql_partition_by=None if has_timescaledb else "RANGE (ts)",
    )
    if has_timescaledb:
        op.execute(
            "SELECT create_hypertable('points', by_range('ts', INTERVAL '30 days'), create_default_indexes => false)"
        )
    op.create_table(
        "ledger",
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stored", sa.BigInteger, nullable=False),
        sa.Column("duplicates", sa.BigInteger, nullable=False),
        sa.Column("conflicts", sa.BigInteger, nullable=False),
        sa.Column("rejected", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("device_id", "minute", name="pk_ledger"),
    )


def downgrade() -> None:
    op.drop_table("ledger")
    op.drop_table("points")
