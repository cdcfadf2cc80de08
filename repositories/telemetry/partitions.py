"""Native partitions: one table a month of UTC, made before the month begins, or when its first reading arrives."""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from repositories.sql import violated_constraint
from repositories.telemetry.reading import sqlstate

CHECK_VIOLATION = "23514"

# Figures of days are few, and lie in one table.
PARTITIONED = ("readings", "rollups_1m", "rollups_1h")
# Readers and writers go on; others who want to make partitions wait until this transaction ends, and then see ours.
LOCK = "LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE"
IS_PARTITIONED = sa.text("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('readings')")
EXISTS = sa.text("SELECT to_regclass(:name) IS NOT NULL")


def is_partition_missing(error: DBAPIError) -> bool:
    """Tell a row that no partition takes from a row that breaks a rule: both are check violations to PostgreSQL."""
    if not isinstance(error, IntegrityError) or sqlstate(error) != CHECK_VIOLATION:
        return False
    return violated_constraint(error) is None


async def find_missing(
    connection: AsyncConnection, times: Iterable[datetime], *, table: str = "readings"
) -> list[str]:
    """Give the names of the partitions of these times that are not there."""
    names = sorted({partition_name(ts.year, ts.month, table=table) for ts in times})
    return [name for name in names if not await connection.scalar(EXISTS, {"name": name})]


async def add_partitions(connection: AsyncConnection, times: Iterable[datetime], *, table: str = "readings") -> None:
    """Make the partitions of these times that are not there."""
    await connection.execute(sa.text(LOCK.format(table=table)))
    for year, month in sorted({(ts.year, ts.month) for ts in times}):
        name = partition_name(year, month, table=table)
        if not await connection.scalar(EXISTS, {"name": name}):
            await _add_partition(connection, table, year, month)


def partition_name(year: int, month: int, *, table: str = "readings") -> str:
    return f"{table}_{year:04}_{month:02}"


async def _add_partition(connection: AsyncConnection, table: str, year: int, month: int) -> None:
    name = partition_name(year, month, table=table)
    # Made apart and then attached: making it in place would lock every reader out.
    await connection.execute(sa.text(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"))
    start, end = f"{year:04}-{month:02}-01T00:00Z", f"{year + month // 12:04}-{month % 12 + 1:02}-01T00:00Z"
    await connection.execute(
        sa.text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')")
    )
