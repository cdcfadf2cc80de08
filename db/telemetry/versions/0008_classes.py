"""Part what is kept by its retention class, and then by time"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
# A source is a device's number with the class above it.
CLASS_WIDTH = 2**24
# The tables, by which of their columns they are parted, and how many days a chunk has.
TABLES = (
    ("readings", "ts", 30),
    ("rollups_1m", "hour", 30),
    ("rollups_1h", "start", 360),
    ("rollups_1d", "start", 360),
)
TOO_MANY = "There are numbers of devices beyond 16,777,215: make 'sources' and all that names its ids anew."
CHILDREN = sa.text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(:name)")
YEARS = sa.text("SELECT DISTINCT CAST(date_part('year', start AT TIME ZONE 'UTC') AS integer) FROM rollups_1d_before")


def upgrade() -> None:
    connection = op.get_bind()
    is_partitioned = connection.scalar(
        sa.text("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('readings')")
    )
    if (connection.scalar(sa.text("SELECT max(id) FROM sources")) or 0) >= CLASS_WIDTH:
        raise NotImplementedError(TOO_MANY)
    _extend_sources()
    _extend_classes()
    for table, column, days in TABLES:
        if is_partitioned:
            _part_natively(table)
        else:
            _make_anew(table, f"by_range('{column}', INTERVAL '{days} days')")


def _extend_sources() -> None:
    op.execute(f"ALTER TABLE sources ALTER COLUMN id SET MAXVALUE {CLASS_WIDTH - 1}")
    op.add_column("sources", sa.Column("device_type", sa.Text))
    op.add_column("sources", sa.Column("rules", sa.BigInteger, server_default="0", nullable=False))
    op.add_column("sources", sa.Column("since", ARRAY(TIME), server_default="{}", nullable=False))
    op.add_column("sources", sa.Column("classes", ARRAY(sa.LargeBinary), server_default="{}", nullable=False))
    op.add_column("sources", sa.Column("parts", ARRAY(sa.Integer), server_default="{0}", nullable=False))


def _extend_classes() -> None:
    op.add_column("retention_classes", sa.Column("number", sa.Integer, server_default="0", nullable=False))
    op.alter_column("retention_classes", "number", server_default=None)
    op.create_unique_constraint("uq_retention_classes_number", "retention_classes", ["number"])
    op.create_check_constraint("ck_retention_classes_number", "retention_classes", "number BETWEEN 0 AND 63")
    op.add_column("retention_classes", sa.Column("device_type", sa.Text))
    op.add_column("retention_classes", sa.Column("metrics", sa.Text))
    op.add_column("retention_classes", sa.Column("priority", sa.Integer, server_default="0", nullable=False))
    op.add_column("retention_classes", sa.Column("rules", sa.BigInteger, server_default="0", nullable=False))
    op.add_column("retention_classes", sa.Column("deleted_at", TIME))
    for resolution in ("minute", "hour", "day"):
        op.add_column("retention_classes", sa.Column(f"{resolution}_rollup_days", sa.Integer))


def _make_anew(table: str, by_time: str) -> None:
    """A second dimension parts the chunks of an empty hypertable alone."""
    _set_aside(table)
    op.execute(f"SELECT create_hypertable('{table}', {by_time}, create_default_indexes => false)")
    op.execute(f"SELECT add_dimension('{table}', by_range('source', {CLASS_WIDTH}))")
    op.execute(f"INSERT INTO {table} SELECT * FROM {table}_before")  # noqa: S608  # of constants
    op.execute(f"DROP TABLE {table}_before")


def _set_aside(table: str, *, parted_by: str = "") -> None:
    op.execute(f"ALTER TABLE {table} RENAME TO {table}_before")
    op.execute(f"ALTER TABLE {table}_before RENAME CONSTRAINT pk_{table} TO pk_{table}_before")
    op.execute(f"CREATE TABLE {table} (LIKE {table}_before INCLUDING ALL) {parted_by}")
    op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {table}_pkey TO pk_{table}")


def _part_natively(table: str) -> None:
    _set_aside(table, parted_by="PARTITION BY RANGE (source)")
    if table == "rollups_1d":
        # It was one table until now.
        _part_days()
    else:
        for child in op.get_bind().scalars(CHILDREN, {"name": f"{table}_before"}).all():
            op.execute(f"ALTER TABLE {child} RENAME TO {table}_00_{child.removeprefix(f'{table}_')}")
        op.execute(f"ALTER TABLE {table}_before RENAME TO {table}_00")
        op.execute(f"ALTER TABLE {table}_00 RENAME CONSTRAINT pk_{table}_before TO pk_{table}_00")
    op.execute(f"ALTER TABLE {table} ATTACH PARTITION {table}_00 FOR VALUES FROM (0) TO ({CLASS_WIDTH})")


def _part_days() -> None:
    op.execute("CREATE TABLE rollups_1d_00 (LIKE rollups_1d INCLUDING ALL) PARTITION BY RANGE (start)")
    for year in op.get_bind().scalars(YEARS).all():
        op.execute(
            f"CREATE TABLE rollups_1d_00_{year} PARTITION OF rollups_1d_00 "
            f"FOR VALUES FROM ('{year}-01-01T00:00Z') TO ('{year + 1}-01-01T00:00Z')"
        )
    op.execute("INSERT INTO rollups_1d_00 SELECT * FROM rollups_1d_before")
    op.execute("DROP TABLE rollups_1d_before")


def downgrade() -> None:
    raise NotImplementedError("Restore the backup that was made before: what is parted is not put together again.")
