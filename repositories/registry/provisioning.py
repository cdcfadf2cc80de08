"""Provisioning keys in PostgreSQL. A revoked one keeps its row."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import OrganisationId, ProvisioningKeyId
from iotsphere.kernel.pagination import Page
from iotsphere.registry.errors import ProvisioningKeyNotFoundError
from iotsphere.registry.model import ProvisioningKey
from repositories.registry.tables import provisioning_keys as keys
from repositories.sql import after_cursor, page_of

NOT_REVOKED = keys.c.revoked_at.is_(None)


class SqlAlchemyProvisioningKeyRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, key: ProvisioningKey) -> None:
        await self._connection.execute(sa.insert(keys).values(_key_to_row(key)))

    async def get(
        self, organisation_id: OrganisationId, key_id: ProvisioningKeyId, *, for_update: bool = False
    ) -> ProvisioningKey:
        query = sa.select(keys).where(keys.c.id == key_id, keys.c.organisation_id == organisation_id, NOT_REVOKED)
        row = (await self._connection.execute(query.with_for_update() if for_update else query)).first()
        if row is None:
            raise ProvisioningKeyNotFoundError
        return _row_to_key(row)

    async def save(self, key: ProvisioningKey) -> None:
        await self._connection.execute(sa.update(keys).where(keys.c.id == key.id).values(_key_to_row(key)))

    async def list(self, organisation_id: OrganisationId, *, limit: int, cursor: str | None) -> Page[ProvisioningKey]:
        query = sa.select(keys).where(keys.c.organisation_id == organisation_id, NOT_REVOKED)
        found = await self._connection.execute(after_cursor(query, keys, limit, cursor))
        return page_of([_row_to_key(row) for row in found], limit)


def _key_to_row(key: ProvisioningKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "organisation_id": key.organisation_id,
        "device_type": key.device_type,
        "max_devices": key.max_devices,
        "provisioned": key.provisioned,
        "secret_hash": key.secret_hash,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


def _row_to_key(row: sa.Row[Any]) -> ProvisioningKey:
    return ProvisioningKey(
        id=ProvisioningKeyId(row.id),
        organisation_id=OrganisationId(row.organisation_id),
        device_type=row.device_type,
        max_devices=row.max_devices,
        provisioned=row.provisioned,
        secret_hash=row.secret_hash,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
