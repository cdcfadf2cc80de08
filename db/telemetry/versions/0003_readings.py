"""Keep readings, not points: one row holds all values of a device at one time"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION, JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MONTHS = sa.text(
    "SELECT DISTINCT date_trunc('month', ts, 'UTC') AT TIME ZONE 'UTC' AS month FROM points ORDER BY month"
)

SOURCES = """
INSERT INTO sources (device_id, metrics)
SELECT device_id, array_agg(DISTINCT metric ORDER BY metric) FROM points GROUP BY device_id ORDER BY device_id
"""
# Month by month, for the points of a time are folded in memory.
READINGS = sa.text("""
INSERT INTO readings (ts, source, first, numbers, others)
SELECT ts, source, low, CAST(ARRAY(
    SELECT held.number
    FROM generate_series(low, high) AS place
    LEFT JOIN unnest(positions, numbers) AS held (position, number) ON held.position = place
    ORDER BY place
) AS float8[]), others
FROM (
    SELECT
        points.ts, sources.id AS source, min(place.position) AS low, max(place.position) AS high,
        array_agg(place.position) AS positions, array_agg(points.number) AS numbers,
        jsonb_object_agg(place.position, points.other) FILTER (WHERE points.other IS NOT NULL) AS others
    FROM points
    JOIN sources USING (device_id)
    CROSS JOIN LATERAL (SELECT array_position(sources.metrics, points.metric) AS position) AS place
    WHERE points.ts >= :start AND points.ts < :start + interval '1 month'
    GROUP BY sources.id, points.ts
) AS folded
""")


def upgrade() -> None:
    connection = op.get_bind()
    is_partitioned = connection.scalar(
        sa.text("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('points')")
    )
    op.create_table(
        "sources",
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("metrics", ARRAY(sa.Text(collation="C")), nullable=False),
        sa.PrimaryKeyConstraint("device_id", name="pk_sources"),
        sa.UniqueConstraint("id", name="uq_sources_id"),
    )
    op.create_table(
        "readings",
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Integer, nullable=False),
        sa.Column("first", sa.Integer, nullable=False),
        sa.Column("numbers", ARRAY(DOUBLE_PRECISION), nullable=False),
        sa.Column("others", JSONB),
        sa.PrimaryKeyConstraint("source", "ts", name="pk_readings"),
        postgresql_partition_by="RANGE (ts)" if is_partitioned else None,
    )
    if not is_partitioned:
        op.execute(
            "SELECT create_hypertable("
            "'readings', by_range('ts', INTERVAL '30 days'), create_default_indexes => false)"
        )
    op.execute(SOURCES)
    for month in connection.scalars(MONTHS).all():
        if is_partitioned:
            end = f"{month.year + month.month // 12:04}-{month.month % 12 + 1:02}-01T00:00Z"
            op.execute(
                f"CREATE TABLE readings_{month:%Y_%m} PARTITION OF readings "
                f"FOR VALUES FROM ('{month:%Y-%m}-01T00:00Z') TO ('{end}')"
            )
        connection.execute(READINGS, {"start": month})
    op.drop_table("points")


def downgrade() -> None:
    raise NotImplementedError("Restore the backup that was made before: readings are not parted into points again.")
