import builtins
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.archived import DAY, ArchivedDay, ArchiveFile
from repositories.telemetry.tables import archived_days


class SqlAlchemyArchiveCatalogue:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(self, *, start: datetime, end: datetime) -> builtins.list[ArchivedDay]:
        # Of the last day, some part has to lie before the end.
        first, behind = start.astimezone(UTC).date(), (end.astimezone(UTC) + DAY - DAY.resolution).date()
        within = (archived_days.c.day >= first) & (archived_days.c.day < behind)
        order = archived_days.c.day, archived_days.c.number
        rows = await self._connection.execute(sa.select(archived_days).where(within).order_by(*order))
        return [_row_to_day(row) for row in rows]

    async def find(self, day: date, number: int) -> ArchivedDay | None:
        row = (await self._connection.execute(sa.select(archived_days).where(_is(day, number)))).first()
        return None if row is None else _row_to_day(row)

    async def add(self, archived: ArchivedDay) -> None:
        await self._connection.execute(insert(archived_days).values(_day_to_row(archived)).on_conflict_do_nothing())

    async def save(self, archived: ArchivedDay) -> None:
        where = _is(archived.day, archived.number)
        await self._connection.execute(sa.update(archived_days).where(where).values(_day_to_row(archived)))

    async def remove(self, day: date, number: int) -> None:
        await self._connection.execute(sa.delete(archived_days).where(_is(day, number)))


def _is(day: date, number: int) -> sa.ColumnElement[bool]:
    return (archived_days.c.day == day) & (archived_days.c.number == number)


def _day_to_row(archived: ArchivedDay) -> dict[str, Any]:
    return {
        "day": archived.day,
        "number": archived.number,
        **archived.file._asdict(),
        "archived_at": archived.archived_at,
        "restored_until": archived.restored_until,
    }


def _row_to_day(row: sa.Row[Any]) -> ArchivedDay:
    file = ArchiveFile(row.readings, row.size, row.sha256)
    return ArchivedDay(row.day, file, row.archived_at, row.restored_until, row.number)
