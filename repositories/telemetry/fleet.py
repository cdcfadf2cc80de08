from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import Aggregate, Bucket, FleetSelection
from repositories.telemetry.buckets import BucketReader


class SqlAlchemyFleetRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def aggregate(
        self, selection: FleetSelection, grid: Grid, aggregates: Collection[Aggregate], *, limit: int
    ) -> list[tuple[str, Bucket]]:
        return await BucketReader(self._connection, selection, grid, aggregates).read(limit=limit)
