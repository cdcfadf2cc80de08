"""The outbox in PostgreSQL: events leave it once every store has heard of them."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import DeviceId, EventId, OrganisationId
from iotsphere.registry.model import EventKind, OutboxEvent
from repositories.registry.tables import outbox


class SqlAlchemyOutboxRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, *events: OutboxEvent) -> None:
        rows = [
            {
                "id": event.id,
                "kind": event.kind.value,
                "organisation_id": event.organisation_id,
                "device_id": event.device_id,
                "payload": event.payload,
                "actor": event.actor,
                "correlation_id": event.correlation_id,
                "created_at": event.created_at,
                "due_at": event.due_at,
                "attempts": event.attempts,
            }
            for event in events
        ]
        await self._connection.execute(sa.insert(outbox), rows)

    async def claim_due(self, *, now: datetime, until: datetime, limit: int) -> list[OutboxEvent]:
        due = (
            sa.select(outbox.c.id)
            .where(outbox.c.due_at <= now)
            .order_by(outbox.c.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            # Taken once: as a sub-query it may be run again for every row, and claim more than the limit.
            .cte("due")
        )
        claimed = await self._connection.execute(
            sa.update(outbox).where(outbox.c.id == due.c.id).values(due_at=until).returning(outbox)
        )
        return sorted((_row_to_event(row) for row in claimed), key=lambda event: event.created_at)

    async def postpone(self, *event_ids: EventId, due_at: datetime) -> None:
        await self._connection.execute(
            sa.update(outbox).where(outbox.c.id.in_(event_ids)).values(due_at=due_at, attempts=outbox.c.attempts + 1)
        )

    async def remove(self, *event_ids: EventId) -> None:
        await self._connection.execute(sa.delete(outbox).where(outbox.c.id.in_(event_ids)))


def _row_to_event(row: sa.Row[Any]) -> OutboxEvent:
    return OutboxEvent(
        id=EventId(row.id),
        kind=EventKind(row.kind),
        organisation_id=OrganisationId(row.organisation_id),
        device_id=DeviceId(row.device_id),
        payload=row.payload,
        actor=row.actor,
        correlation_id=row.correlation_id,
        created_at=row.created_at,
        due_at=row.due_at,
        attempts=row.attempts,
    )
