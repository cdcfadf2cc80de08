"""Native partitions: of a class, and within it of a month or a year of UTC.

They are made before their time begins, or when the first row arrives.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from repositories.sql import sqlstate, violated_constraint
from repositories.telemetry.sources import CLASS_BITS

CHECK_VIOLATION = "23514"

# Readers and writers go on; others who want to make partitions wait until this transaction ends, and then see ours.
LOCK = "LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE"
IS_PARTITIONED = sa.text("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('readings')")
EXISTS = sa.text("SELECT to_regclass(:name) IS NOT NULL")
# Days are few: those of a year lie together.
PARTED_BY = {"readings": "ts", "rollups_1m": "hour", "rollups_1h": "start", "rollups_1d": "start"}
PARTED_BY_YEARS = {"rollups_1d"}

# A class, by its number, and a time: what a partition is needed for.
Spot = tuple[int, datetime]


class Part(NamedTuple):
    """A partition of a class: from the beginning of ``month`` on; ``month`` is None where it holds a year."""

    table: str
    number: int
    year: int
    month: int | None = None

    @property
    def name(self) -> str:
        stem = f"{class_table(self.table, self.number)}_{self.year:04}"
        return stem if self.month is None else f"{stem}_{self.month:02}"

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month or 1, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        behind = self.month or 12
        return datetime(self.year + behind // 12, behind % 12 + 1, 1, tzinfo=UTC)


class RoomMissingError(Exception):
    """There is no partition for rows that were to be written."""

    def __init__(self, spots: set[Spot]) -> None:
        super().__init__()
        self.spots = spots


def is_partition_missing(error: DBAPIError) -> bool:
    """Tell a row that no partition takes from a row that breaks a rule: both are check violations to PostgreSQL."""
    if not isinstance(error, IntegrityError) or sqlstate(error) != CHECK_VIOLATION:
        return False
    return violated_constraint(error) is None


async def execute_with_room(
    connection: AsyncConnection,
    statement: sa.TextClause,
    parameters: Mapping[str, Any],
    spots: Callable[[], set[Spot]],
) -> sa.CursorResult[Any]:
    """Write rows that are of these classes and times.

    :raises RoomMissingError: there is no partition for one of them, and what was written is to be undone.
    """
    try:
        return await connection.execute(statement, parameters)
    except DBAPIError as error:
        if is_partition_missing(error):
            raise RoomMissingError(spots()) from error
        raise


def class_table(table: str, number: int) -> str:
    return f"{table}_{number:02}"


def part_of(table: str, spot: Spot) -> Part:
    number, ts = spot
    return Part(table, number, ts.year, None if table in PARTED_BY_YEARS else ts.month)


async def find_missing(connection: AsyncConnection, spots: Iterable[Spot], *, table: str = "readings") -> list[str]:
    """Give the names of the partitions of these classes and times that are not there."""
    names = sorted({part_of(table, spot).name for spot in spots})
    return [name for name in names if not await connection.scalar(EXISTS, {"name": name})]


async def add_partitions(connection: AsyncConnection, spots: Iterable[Spot], *, table: str = "readings") -> None:
    """Make the partitions of these classes and times that are not there."""
    await connection.execute(sa.text(LOCK.format(table=table)))
    for part in sorted({part_of(table, spot) for spot in spots}, key=_name):
        if not await connection.scalar(EXISTS, {"name": class_table(table, part.number)}):
            await _add_class(connection, table, part.number)
        if not await connection.scalar(EXISTS, {"name": part.name}):
            await _add_part(connection, part)


# Made apart and then attached: making them in place would lock every reader out.
async def _add_class(connection: AsyncConnection, table: str, number: int) -> None:
    name = class_table(table, number)
    await connection.execute(
        sa.text(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL) PARTITION BY RANGE ({PARTED_BY[table]})")
    )
    first, behind = number << CLASS_BITS, (number + 1) << CLASS_BITS
    await connection.execute(
        sa.text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({behind})")
    )


async def _add_part(connection: AsyncConnection, part: Part) -> None:
    parent = class_table(part.table, part.number)
    await connection.execute(sa.text(f"CREATE TABLE {part.name} (LIKE {parent} INCLUDING ALL)"))
    span = f"FROM ('{part.start.isoformat()}') TO ('{part.end.isoformat()}')"
    await connection.execute(sa.text(f"ALTER TABLE {parent} ATTACH PARTITION {part.name} FOR VALUES {span}"))


def _name(part: Part) -> str:
    return part.name
