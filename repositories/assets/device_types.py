"""Device types in PostgreSQL, what each of them says as one JSONB document."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.device_type import MEMBERS, DeviceType, name_behind
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import Page, encode_cursor
from repositories.assets.pages import last_shown, within_room
from repositories.assets.tables import device_types


class SqlAlchemyDeviceTypeRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, device_type: DeviceType) -> bool:
        # Not a violation to be caught: that would end the transaction, in which the other type is then replaced.
        statement = insert(device_types).values(_device_type_to_row(device_type)).on_conflict_do_nothing()
        added = await self._connection.execute(statement.returning(device_types.c.name))
        return added.first() is not None

    async def find(
        self, organisation_id: OrganisationId, name: str, *, for_update: bool = False
    ) -> DeviceType | None:
        query = sa.select(device_types).where(_is(organisation_id, name))
        row = (await self._connection.execute(query.with_for_update() if for_update else query)).first()
        return _row_to_device_type(row) if row else None

    async def save(self, device_type: DeviceType) -> None:
        where = _is(device_type.organisation_id, device_type.name)
        await self._connection.execute(sa.update(device_types).where(where).values(_device_type_to_row(device_type)))

    async def list(
        self, organisation_id: OrganisationId, *, even_removed: Collection[str], limit: int, cursor: str | None
    ) -> Page[DeviceType]:
        is_shown = ~device_types.c.is_removed | device_types.c.name.in_(even_removed)
        query = sa.select(device_types).where(device_types.c.organisation_id == organisation_id, is_shown)
        if cursor is not None:
            query = query.where(device_types.c.name > name_behind(cursor))
        in_order = query.order_by(device_types.c.name).limit(limit + 1)
        rows = (await self._connection.execute(within_room(in_order, "definition"))).all()
        end = last_shown(rows, limit)
        return Page(
            [_row_to_device_type(row) for row in rows[:limit]], None if end is None else encode_cursor(end.name)
        )


def _is(organisation_id: OrganisationId, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(device_types.c.organisation_id == organisation_id, device_types.c.name == name)


def _device_type_to_row(device_type: DeviceType) -> dict[str, Any]:
    return {
        "organisation_id": device_type.organisation_id,
        "name": device_type.name,
        "definition": {member: getattr(device_type, member) for member in MEMBERS},
        "created_at": device_type.created_at,
        "updated_at": device_type.updated_at,
        "version": device_type.version,
        "is_removed": device_type.is_removed,
    }


def _row_to_device_type(row: sa.Row[Any]) -> DeviceType:
    return DeviceType(
        organisation_id=OrganisationId(row.organisation_id),
        name=row.name,
        # What was kept by an earlier release says nothing of what came later.
        **{member: row.definition.get(member) for member in MEMBERS},
        created_at=row.created_at,
        updated_at=row.updated_at,
        version=row.version,
        is_removed=row.is_removed,
    )
