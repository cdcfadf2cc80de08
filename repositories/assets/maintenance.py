"""The maintenance log in PostgreSQL."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.errors import MaintenanceEventNotFoundError
from iotsphere.assets.maintenance_event import MaintenanceEvent, MaintenanceFilter, MaintenanceKind
from iotsphere.kernel.identifiers import DeviceId, MaintenanceEventId, OrganisationId
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor
from repositories.assets.tables import maintenance_events

TENTH = Decimal("0.1")
KEY = (maintenance_events.c.occurred_at, maintenance_events.c.id)


class SqlAlchemyMaintenanceEventRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, *events: MaintenanceEvent) -> None:
        await self._connection.execute(sa.insert(maintenance_events), [_event_to_row(event) for event in events])

    async def get(
        self, device_id: DeviceId, event_id: MaintenanceEventId, *, for_update: bool = False
    ) -> MaintenanceEvent:
        query = sa.select(maintenance_events).where(
            maintenance_events.c.id == event_id, maintenance_events.c.device_id == device_id
        )
        row = (await self._connection.execute(query.with_for_update() if for_update else query)).first()
        if row is None:
            raise MaintenanceEventNotFoundError
        return _row_to_event(row)

    async def remove(self, event: MaintenanceEvent) -> None:
        await self._connection.execute(sa.delete(maintenance_events).where(maintenance_events.c.id == event.id))

    async def list(
        self, organisation_id: OrganisationId, narrowed_to: MaintenanceFilter, *, limit: int, cursor: str | None
    ) -> Page[MaintenanceEvent]:
        query = sa.select(maintenance_events).where(
            maintenance_events.c.organisation_id == organisation_id, *_conditions(narrowed_to)
        )
        if cursor is not None:
            last = decode_cursor(cursor, tuple[datetime, UUID])
            values = (sa.literal(value, column.type) for value, column in zip(last, KEY, strict=True))
            query = query.where(sa.tuple_(*KEY) > sa.tuple_(*values))
        rows = await self._connection.execute(query.order_by(*KEY).limit(limit + 1))
        found = [_row_to_event(row) for row in rows]
        last_shown = found[limit - 1] if len(found) > limit else None
        return Page(found[:limit], encode_cursor(last_shown.occurred_at, last_shown.id) if last_shown else None)


def _conditions(narrowed_to: MaintenanceFilter) -> list[sa.ColumnElement[bool]]:
    columns = maintenance_events.c
    conditions: list[sa.ColumnElement[bool]] = []
    if narrowed_to.device_ids is not None:
        wanted = sa.literal(list(narrowed_to.device_ids), sa.ARRAY(sa.Uuid))
        conditions.append(columns.device_id == sa.any_(wanted))
    if narrowed_to.kind is not None:
        conditions.append(columns.kind == narrowed_to.kind.value)
    if narrowed_to.component is not None:
        conditions.append(columns.component == narrowed_to.component)
    if narrowed_to.start is not None:
        conditions.append(columns.occurred_at >= narrowed_to.start)
    if narrowed_to.end is not None:
        conditions.append(columns.occurred_at < narrowed_to.end)
    return conditions


def _event_to_row(event: MaintenanceEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "organisation_id": event.organisation_id,
        "device_id": event.device_id,
        "kind": event.kind.value,
        "component": event.component,
        "occurred_at": event.occurred_at,
        "notes": event.notes,
        "cost": None if event.cost is None else _decimal(event.cost),
        "recorded_by": event.recorded_by,
        "recorded_at": event.recorded_at,
    }


def _row_to_event(row: sa.Row[Any]) -> MaintenanceEvent:
    return MaintenanceEvent(
        id=MaintenanceEventId(row.id),
        organisation_id=OrganisationId(row.organisation_id),
        device_id=DeviceId(row.device_id),
        kind=MaintenanceKind(row.kind),
        component=row.component,
        occurred_at=row.occurred_at,
        notes=row.notes,
        cost=None if row.cost is None else _number(row.cost),
        recorded_by=row.recorded_by,
        recorded_at=row.recorded_at,
    )


def _decimal(cost: float) -> Decimal:
    """Give a number by its shortest notation: 0.1 is a tenth, and not the double next to it.

    A double has digits behind the point, if only a zero, by which it is known for one.
    """
    exact = Decimal(repr(cost))
    return exact.quantize(TENTH) if isinstance(cost, float) and _exponent(exact) >= 0 else exact


def _number(cost: Decimal) -> int | float:
    """Give back what was given: what has digits behind the point, if only a zero, was a double."""
    return float(cost) if _exponent(cost) < 0 else int(cost)


def _exponent(number: Decimal) -> int:
    return int(number.as_tuple().exponent)
