"""Integration keys in PostgreSQL. A revoked one keeps its row until its maker goes."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.identity.errors import ApiKeyNotFoundError
from iotsphere.identity.model import IntegrationKey
from iotsphere.kernel.actor import Role
from iotsphere.kernel.identifiers import CredentialId, OrganisationId, UserId
from iotsphere.kernel.pagination import Page
from repositories.registry.tables import api_keys
from repositories.sql import after_cursor, page_of

NOT_REVOKED = api_keys.c.revoked_at.is_(None)


class SqlAlchemyApiKeyRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, key: IntegrationKey) -> None:
        await self._connection.execute(
            sa.insert(api_keys).values(
                id=key.id,
                organisation_id=key.organisation_id,
                made_by=key.made_by,
                label=key.label,
                role=key.role.value,
                secret_hash=key.secret_hash,
                created_at=key.created_at,
                expires_at=key.expires_at,
            )
        )

    async def get(
        self, organisation_id: OrganisationId, key_id: CredentialId, *, for_update: bool = False
    ) -> IntegrationKey:
        query = sa.select(api_keys).where(*_is(organisation_id, key_id))
        row = (await self._connection.execute(query.with_for_update() if for_update else query)).first()
        if row is None:
            raise ApiKeyNotFoundError
        return _row_to_key(row)

    async def list(self, organisation_id: OrganisationId, *, limit: int, cursor: str | None) -> Page[IntegrationKey]:
        query = sa.select(api_keys).where(api_keys.c.organisation_id == organisation_id, NOT_REVOKED)
        found = await self._connection.execute(after_cursor(query, api_keys, limit, cursor))
        return page_of([_row_to_key(row) for row in found], limit)

    async def revoke(self, organisation_id: OrganisationId, key_id: CredentialId, *, now: datetime) -> None:
        revoked = await self._connection.execute(
            sa.update(api_keys).where(*_is(organisation_id, key_id)).values(revoked_at=now)
        )
        if revoked.rowcount == 0:
            raise ApiKeyNotFoundError


def _is(organisation_id: OrganisationId, key_id: CredentialId) -> tuple[sa.ColumnElement[bool], ...]:
    return api_keys.c.id == key_id, api_keys.c.organisation_id == organisation_id, NOT_REVOKED


def _row_to_key(row: sa.Row[Any]) -> IntegrationKey:
    return IntegrationKey(
        id=CredentialId(row.id),
        organisation_id=OrganisationId(row.organisation_id),
        made_by=UserId(row.made_by),
        label=row.label,
        role=Role(row.role),
        secret_hash=row.secret_hash,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
