import builtins
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.times import EPOCH
from iotsphere.telemetry.model import Counts, LedgerEntry
from repositories.telemetry.reading import read
from repositories.telemetry.tables import ledger

COUNTERS = (ledger.c.stored, ledger.c.duplicates, ledger.c.conflicts, ledger.c.rejected)


class SqlAlchemyLedgerRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, device_id: DeviceId, arrived_at: datetime, counts: Counts) -> None:
        added = insert(ledger).values(
            device_id=device_id,
            minute=arrived_at.replace(second=0, microsecond=0),
            **{counter.name: getattr(counts, counter.name) for counter in COUNTERS},
        )
        sums = {counter.name: counter + added.excluded[counter.name] for counter in COUNTERS}
        await self._connection.execute(added.on_conflict_do_update(index_elements=["device_id", "minute"], set_=sums))

    async def list(
        self, device_id: DeviceId, start: datetime, end: datetime, *, length: timedelta, limit: int
    ) -> builtins.list[LedgerEntry]:
        interval = sa.func.date_bin(length, ledger.c.minute, EPOCH).label("interval")
        query = (
            sa.select(interval, *(sa.cast(sa.func.sum(counter), sa.BigInteger) for counter in COUNTERS))
            .where(ledger.c.device_id == device_id, ledger.c.minute >= start, ledger.c.minute < end)
            .group_by(interval)
            .order_by(interval)
            .limit(limit)
        )
        rows = await read(self._connection, query, {})
        return [LedgerEntry(row[0], Counts(*row[1:])) for row in rows]
