"""Keep figures of minutes, hours and days, and the hours of which they are yet to be worked out"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
ARRAYS: dict[str, Any] = {
    "minutes": sa.SmallInteger,
    "counts": sa.Integer,
    "numbers": sa.Integer,
    "totals": DOUBLE_PRECISION,
    "lows": DOUBLE_PRECISION,
    "highs": DOUBLE_PRECISION,
    "squares": DOUBLE_PRECISION,
    "firsts": DOUBLE_PRECISION,
    "first_offsets": sa.Integer,
    "lasts": DOUBLE_PRECISION,
    "last_offsets": sa.Integer,
}

# The others are left out where each minute has one number.
ALWAYS = {"minutes", "counts", "firsts", "first_offsets"}

# The figures of several stretches as one: count, sum and squared deviations are merged by the server's own function
# for parallel aggregation (Chan et al. 1979).
MERGED_MOMENTS = """
CREATE AGGREGATE merged_moments (float8[]) (
    SFUNC = float8_combine, STYPE = float8[], COMBINEFUNC = float8_combine, INITCOND = '{0,0,0}', PARALLEL = SAFE
)
"""
# Nothing has been worked out yet.
STALE_HOURS = """
INSERT INTO stale_hours (source, hour)
SELECT DISTINCT source, date_bin('1 hour', ts, '1970-01-01T00:00Z') AS hour FROM readings ORDER BY source, hour
"""


def upgrade() -> None:
    is_partitioned = op.get_bind().scalar(
        sa.text("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('readings')")
    )
    op.create_table(
        "stale_hours",
        sa.Column("source", sa.Integer, nullable=False),
        sa.Column("hour", TIME, nullable=False),
        sa.Column("revision", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("marked_at", TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("is_put_off", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("source", "hour", name="pk_stale_hours"),
        # Written anew with every commit: room beside a row spares the indexes.
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("ix_stale_hours_hour", "stale_hours", ["hour"])
    op.create_table(
        "rollups_1m",
        *_key("hour"),
        *(sa.Column(name, ARRAY(kind), nullable=name not in ALWAYS) for name, kind in ARRAYS.items()),
        sa.PrimaryKeyConstraint("source", "place", "hour", name="pk_rollups_1m"),
        postgresql_partition_by="RANGE (hour)" if is_partitioned else None,
    )
    # A row is half a page at the most, and to be read as it is: neither compressed nor out of line.
    for column in ARRAYS:
        op.execute(f"ALTER TABLE rollups_1m ALTER COLUMN {column} SET STORAGE PLAIN")
    for name in ("rollups_1h", "rollups_1d"):
        # There are few days, and they are kept the longest.
        is_parted = is_partitioned and name == "rollups_1h"
        op.create_table(
            name,
            *_key("start"),
            sa.Column("count", sa.BigInteger, nullable=False),
            sa.Column("numbers", sa.BigInteger, nullable=False),
            sa.Column("total", DOUBLE_PRECISION),
            sa.Column("low", DOUBLE_PRECISION),
            sa.Column("high", DOUBLE_PRECISION),
            sa.Column("squares", DOUBLE_PRECISION),
            sa.Column("first", DOUBLE_PRECISION),
            sa.Column("first_at", TIME),
            sa.Column("last", DOUBLE_PRECISION),
            sa.Column("last_at", TIME),
            sa.PrimaryKeyConstraint("source", "place", "start", name=f"pk_{name}"),
            postgresql_partition_by="RANGE (start)" if is_parted else None,
        )
    if not is_partitioned:
        for name, column, days in (("rollups_1m", "hour", 30), ("rollups_1h", "start", 360)):
            op.execute(
                f"SELECT create_hypertable('{name}', by_range('{column}', INTERVAL '{days} days'), "
                "create_default_indexes => false)"
            )
    op.execute(MERGED_MOMENTS)
    op.execute(STALE_HOURS)


def _key(start: str) -> list[sa.Column[object]]:
    return [
        sa.Column(start, TIME, nullable=False),
        sa.Column("source", sa.Integer, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
    ]


def downgrade() -> None:
    op.execute("DROP AGGREGATE merged_moments (float8[])")
    for table in ("rollups_1d", "rollups_1h", "rollups_1m", "stale_hours"):
        op.drop_table(table)
