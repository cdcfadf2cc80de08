"""Signing keys in PostgreSQL; what is secret in them arrives encrypted."""

import builtins

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.identity.model import StoredSigningKey
from iotsphere.kernel.identifiers import SigningKeyId
from repositories.registry.tables import signing_keys


class SqlAlchemySigningKeyRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, key: StoredSigningKey) -> None:
        await self._connection.execute(
            sa.insert(signing_keys).values(id=key.id, secret=key.secret, created_at=key.created_at)
        )

    async def list(self, *, for_update: bool = False) -> builtins.list[StoredSigningKey]:
        if for_update:
            # There may be no row yet that could be locked. Who only reads is not kept waiting.
            await self._connection.execute(sa.text("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE"))
        query = sa.select(signing_keys).order_by(signing_keys.c.created_at, signing_keys.c.id)
        return [
            StoredSigningKey(SigningKeyId(row.id), row.secret, row.created_at)
            for row in await self._connection.execute(query)
        ]

    async def remove(self, key_id: SigningKeyId) -> None:
        await self._connection.execute(sa.delete(signing_keys).where(signing_keys.c.id == key_id))
