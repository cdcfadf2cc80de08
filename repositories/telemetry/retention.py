import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.errors import RetentionClassNotFoundError
from iotsphere.telemetry.retention import RetentionClass
from repositories.telemetry.tables import retention_classes


class SqlAlchemyRetentionRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, name: str, *, for_update: bool = False) -> RetentionClass:
        query = sa.select(retention_classes).where(retention_classes.c.name == name)
        row = (await self._connection.execute(query.with_for_update() if for_update else query)).first()
        if row is None:
            raise RetentionClassNotFoundError
        return RetentionClass(
            name=row.name,
            changed_at=row.changed_at,
            raw_days=row.raw_days,
            archive_days=row.archive_days,
            dropped_before=row.dropped_before,
            version=row.version,
        )

    async def save(self, retention: RetentionClass) -> None:
        values = {
            "raw_days": retention.raw_days,
            "archive_days": retention.archive_days,
            "dropped_before": retention.dropped_before,
            "changed_at": retention.changed_at,
            "version": retention.version,
        }
        where = retention_classes.c.name == retention.name
        await self._connection.execute(sa.update(retention_classes).where(where).values(values))
