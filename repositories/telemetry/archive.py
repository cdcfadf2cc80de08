import builtins
from collections.abc import Collection
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archived import DAY, ArchivedDay, ArchiveFile
from repositories.telemetry.tables import archived_days, archived_devices

ADD_DEVICES = sa.text("""
INSERT INTO archived_devices (device_id, number, days)
SELECT device_id, :number, datemultirange(daterange(:day, :day + 1))
FROM unnest(CAST(:device_ids AS uuid[])) AS device_id ORDER BY device_id
ON CONFLICT (device_id, number) DO UPDATE SET days = archived_devices.days + excluded.days
""").bindparams(sa.bindparam("day", type_=sa.Date), sa.bindparam("number", type_=sa.Integer))
TAKE_DAY_OUT = """
UPDATE archived_devices SET days = days - datemultirange(daterange(:day, :day + 1))
WHERE number = :number AND days @> CAST(:day AS date)
"""
REMOVE_DAY = sa.text(TAKE_DAY_OUT).bindparams(sa.bindparam("day", type_=sa.Date))
REMOVE_OTHER_DEVICES = sa.text(f"{TAKE_DAY_OUT} AND NOT device_id = ANY(CAST(:device_ids AS uuid[]))").bindparams(
    sa.bindparam("day", type_=sa.Date)
)
REMOVE_DEVICES_WITHOUT_DAYS = sa.text("DELETE FROM archived_devices WHERE isempty(days)")


class SqlAlchemyArchiveCatalogue:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(
        self, *, start: datetime, end: datetime, device_ids: Collection[DeviceId] | None = None
    ) -> builtins.list[ArchivedDay]:
        # Of the last day, some part has to lie before the end.
        first, behind = start.astimezone(UTC).date(), (end.astimezone(UTC) + DAY - DAY.resolution).date()
        within = (archived_days.c.day >= first) & (archived_days.c.day < behind)
        order = archived_days.c.day, archived_days.c.number
        query = sa.select(archived_days).where(within).order_by(*order)
        if device_ids is not None:
            query = _of_devices(query, device_ids)
        rows = await self._connection.execute(query)
        return [_row_to_day(row) for row in rows]

    async def find(self, day: date, number: int) -> ArchivedDay | None:
        row = (await self._connection.execute(sa.select(archived_days).where(_is(day, number)))).first()
        return None if row is None else _row_to_day(row)

    async def add(self, archived: ArchivedDay, *, device_ids: Collection[DeviceId]) -> None:
        # First the devices: no day is then in the catalogue that is not told of.
        await self._connection.execute(ADD_DEVICES, _key_of(archived) | {"device_ids": [*device_ids]})
        await self._connection.execute(insert(archived_days).values(_day_to_row(archived)).on_conflict_do_nothing())

    async def save(self, archived: ArchivedDay, *, device_ids: Collection[DeviceId] | None = None) -> None:
        # First the devices: whoever is killed in between finds the former file again, and comes back here.
        if device_ids is not None:
            others = _key_of(archived) | {"device_ids": [*device_ids]}
            await self._connection.execute(REMOVE_OTHER_DEVICES, others)
            await self._connection.execute(REMOVE_DEVICES_WITHOUT_DAYS)
        where = _is(archived.day, archived.number)
        await self._connection.execute(sa.update(archived_days).where(where).values(_day_to_row(archived)))

    async def remove(self, day: date, number: int) -> None:
        await self._connection.execute(sa.delete(archived_days).where(_is(day, number)))
        await self._connection.execute(REMOVE_DAY, {"day": day, "number": number})
        await self._connection.execute(REMOVE_DEVICES_WITHOUT_DAYS)


def _of_devices(query: sa.Select[Any], device_ids: Collection[DeviceId]) -> sa.Select[Any]:
    table = archived_devices.c
    held = (
        sa.select(table.number, sa.func.range_agg(table.days).label("days"))
        .where(table.device_id.in_(device_ids))
        .group_by(table.number)
        .subquery()
    )
    is_held = (held.c.number == archived_days.c.number) & held.c.days.op("@>")(archived_days.c.day)
    return query.join(held, is_held)


def _key_of(archived: ArchivedDay) -> dict[str, Any]:
    return {"day": archived.day, "number": archived.number}


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
