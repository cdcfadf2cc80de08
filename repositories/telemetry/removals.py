"""Removals that the archive may still have to hear of."""

import builtins
from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archived import ArchivedDay, NotedRemoval
from iotsphere.telemetry.model import Selection
from repositories.telemetry.tables import TIME, archive_removals

# The lock keeps whoever wants to note a dropping waiting until the commit. It is taken before it is known whether the
# removal reaches so far: of a line that another transaction is changing, an earlier version would decide otherwise.
# Whoever changes classes takes the default one first, too.
NOTE = sa.text("""
WITH kept AS MATERIALIZED (
    SELECT number, dropped_before FROM retention_classes ORDER BY number > 0, name FOR SHARE
)
INSERT INTO archive_removals (number, device_id, metrics, "start", "end", removed_at)
SELECT number, :device_id, :metrics, :start, least(:end, dropped_before), :removed_at
FROM kept WHERE dropped_before > :start ORDER BY number
""").bindparams(
    sa.bindparam("device_id", type_=archive_removals.c.device_id.type),
    sa.bindparam("metrics", type_=archive_removals.c.metrics.type),
    *(sa.bindparam(name, type_=TIME) for name in ("start", "end", "removed_at")),
)


class SqlAlchemyRemovalRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, selection: Selection, *, removed_at: datetime) -> None:
        metrics = None if selection.metrics is None else list(selection.metrics)
        noted = {"device_id": selection.device_id, "metrics": metrics, "removed_at": removed_at}
        await self._connection.execute(NOTE, noted | {"start": selection.start, "end": selection.end})

    async def list(self, *, after: int, limit: int) -> builtins.list[NotedRemoval]:
        query = sa.select(archive_removals).where(archive_removals.c.id > after)
        return await self._list(query.limit(limit))

    async def list_concerning(
        self, device_ids: Collection[DeviceId], archived: ArchivedDay
    ) -> builtins.list[NotedRemoval]:
        table = archive_removals.c
        query = sa.select(archive_removals).where(table.device_id.in_(device_ids), table.number == archived.number)
        return await self._list(query.where((table.start < archived.end) & (table.end > archived.start)))

    async def _list(self, query: sa.Select[Any]) -> builtins.list[NotedRemoval]:
        rows = await self._connection.execute(query.order_by(archive_removals.c.id))
        return [_row_to_removal(row) for row in rows]

    async def remove(self, ids: Collection[int]) -> None:
        await self._connection.execute(sa.delete(archive_removals).where(archive_removals.c.id.in_(ids)))

    async def find_oldest(self) -> datetime | None:
        oldest_at: datetime | None = await self._connection.scalar(
            sa.select(sa.func.min(archive_removals.c.removed_at))
        )
        return oldest_at


def _row_to_removal(row: sa.Row[Any]) -> NotedRemoval:
    metrics = None if row.metrics is None else frozenset(row.metrics)
    return NotedRemoval(row.id, row.device_id, metrics, row.start, row.end, row.removed_at, row.number)
