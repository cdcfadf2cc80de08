import builtins
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.times import EPOCH
from iotsphere.telemetry.model import Arrival, Counts, LedgerEntry
from repositories.telemetry.reading import read

# In the order of the key, so that two transactions that add to the same lines wait for each other one way alone.
ADD = sa.text("""
INSERT INTO ledger (device_id, minute, stored, duplicates, conflicts, rejected)
SELECT
    device_id, date_trunc('minute', arrived_at, 'UTC') AS minute,
    sum(stored), sum(duplicates), sum(conflicts), sum(rejected)
FROM unnest(
    CAST(:device_ids AS uuid[]), CAST(:times AS timestamptz[]),
    CAST(:stored AS bigint[]), CAST(:duplicates AS bigint[]),
    CAST(:conflicts AS bigint[]), CAST(:rejected AS bigint[])
) AS given (device_id, arrived_at, stored, duplicates, conflicts, rejected)
GROUP BY device_id, minute
ORDER BY device_id, minute
ON CONFLICT (device_id, minute) DO UPDATE SET
    stored = ledger.stored + excluded.stored,
    duplicates = ledger.duplicates + excluded.duplicates,
    conflicts = ledger.conflicts + excluded.conflicts,
    rejected = ledger.rejected + excluded.rejected
""")

SUM = sa.text("""
SELECT
    date_bin(:length, minute, :epoch) AS interval_start,
    CAST(sum(stored) AS bigint), CAST(sum(duplicates) AS bigint),
    CAST(sum(conflicts) AS bigint), CAST(sum(rejected) AS bigint)
FROM ledger
WHERE device_id = :device_id AND minute >= :start AND minute < :end
GROUP BY interval_start
ORDER BY interval_start
LIMIT :limit
""")


class SqlAlchemyLedgerRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, arrivals: Sequence[Arrival]) -> None:
        columns = {
            "device_ids": [arrival.device_id for arrival in arrivals],
            "times": [arrival.arrived_at for arrival in arrivals],
            "stored": [arrival.counts.stored for arrival in arrivals],
            "duplicates": [arrival.counts.duplicates for arrival in arrivals],
            "conflicts": [arrival.counts.conflicts for arrival in arrivals],
            "rejected": [arrival.counts.rejected for arrival in arrivals],
        }
        await self._connection.execute(ADD, columns)

    async def list(
        self, device_id: DeviceId, start: datetime, end: datetime, *, length: timedelta, limit: int
    ) -> builtins.list[LedgerEntry]:
        parameters = {
            "device_id": device_id,
            "start": start,
            "end": end,
            "length": length,
            "epoch": EPOCH,
            "limit": limit,
        }
        rows = await read(self._connection, SUM, parameters)
        return [LedgerEntry(row[0], Counts(*row[1:])) for row in rows]
