import builtins
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.errors import RetentionClassNotFoundError
from iotsphere.telemetry.retention import RetentionClass, RollupDays, Scope
from repositories.telemetry.tables import retention_classes


class SqlAlchemyRetentionRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, name: str, *, for_update: bool = False) -> RetentionClass:
        query = sa.select(retention_classes).where(retention_classes.c.name == name)
        row = (await self._connection.execute(query.with_for_update() if for_update else query)).first()
        if row is None:
            raise RetentionClassNotFoundError
        return _row_to_class(row)

    async def list(self, *, for_update: bool = False) -> builtins.list[RetentionClass]:
        query = sa.select(retention_classes).order_by(retention_classes.c.name)
        rows = await self._connection.execute(query.with_for_update() if for_update else query)
        return [_row_to_class(row) for row in rows]

    async def add(self, retention: RetentionClass) -> None:
        await self._connection.execute(sa.insert(retention_classes).values(_class_to_row(retention)))

    async def save(self, retention: RetentionClass) -> None:
        where = retention_classes.c.name == retention.name
        await self._connection.execute(sa.update(retention_classes).where(where).values(_class_to_row(retention)))


def _class_to_row(retention: RetentionClass) -> dict[str, Any]:
    minute, hour, day = retention.rollup_days
    return {
        "name": retention.name,
        "number": retention.number,
        **retention.scope._asdict(),
        "rules": retention.rules,
        "raw_days": retention.raw_days,
        "archive_days": retention.archive_days,
        "minute_rollup_days": minute,
        "hour_rollup_days": hour,
        "day_rollup_days": day,
        "dropped_before": retention.dropped_before,
        "changed_at": retention.changed_at,
        "deleted_at": retention.deleted_at,
        "version": retention.version,
    }


def _row_to_class(row: sa.Row[Any]) -> RetentionClass:
    return RetentionClass(
        name=row.name,
        changed_at=row.changed_at,
        raw_days=row.raw_days,
        archive_days=row.archive_days,
        dropped_before=row.dropped_before,
        version=row.version,
        number=row.number,
        rollup_days=RollupDays(row.minute_rollup_days, row.hour_rollup_days, row.day_rollup_days),
        scope=Scope(row.device_type, row.metrics, row.priority),
        rules=row.rules,
        deleted_at=row.deleted_at,
    )
