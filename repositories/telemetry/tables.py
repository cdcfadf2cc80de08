"""The telemetry database. How ``points`` is kept, in chunks or in partitions, is the migration's affair."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, JSONB

from repositories.sql import CONSTRAINT_NAMES

metadata = sa.MetaData(naming_convention=CONSTRAINT_NAMES)
TIME = sa.DateTime(timezone=True)

points = sa.Table(
    "points",
    metadata,
    sa.Column("device_id", sa.Uuid, primary_key=True),
    # Compared byte by byte: the order of metrics is then the same here, in Python, and on every machine.
    sa.Column("metric", sa.Text(collation="C"), primary_key=True),
    sa.Column("ts", TIME, primary_key=True),
    sa.Column("number", DOUBLE_PRECISION),
    sa.Column("other", JSONB),
    sa.CheckConstraint("num_nonnulls(number, other) = 1", name="value"),
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("device_id", sa.Uuid, primary_key=True),
    sa.Column("minute", TIME, primary_key=True),
    sa.Column("stored", sa.BigInteger, nullable=False),
    sa.Column("duplicates", sa.BigInteger, nullable=False),
    sa.Column("conflicts", sa.BigInteger, nullable=False),
    sa.Column("rejected", sa.BigInteger, nullable=False),
)
