"""Who holds an API key, in PostgreSQL, and word of the keys that change."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.identity.model import KeyHolder
from iotsphere.identity.ports import CatchUp
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from repositories.registry.devices import NOT_RETIRED
from repositories.registry.tables import api_keys, credentials, devices, provisioning_keys, users
from repositories.sql import DRIVER_ERRORS, open_connection

# Where the triggers of the registry's schema tell of keys, sessions and devices, and which those are.
CHANNEL = "iotsphere_keys"
TRIGGERS = (
    "api_key_changed",
    "credential_changed",
    "device_owner_changed",
    "device_removed",
    "device_status_changed",
    "session_changed",
    "user_rights_changed",
    "user_role_changed",
)
COUNT_TRIGGERS = """
SELECT count(DISTINCT tgname) FROM pg_trigger WHERE tgname = ANY($1::name[]) AND tgenabled IN ('O', 'A')
"""
KEY_ID: sa.BindParameter[UUID] = sa.bindparam("key_id", type_=sa.Uuid)
# One statement for either kind: an id is that of a device's credential or of an integration's key.
KEY_HOLDER = sa.union_all(
    sa.select(
        credentials.c.id,
        credentials.c.secret_hash,
        credentials.c.expires_at,
        devices.c.organisation_id,
        devices.c.id.label("device_id"),
        devices.c.status.label("device_status"),
        sa.null().cast(sa.SmallInteger).label("role"),
    )
    .join(devices, devices.c.id == credentials.c.device_id)
    .where(credentials.c.id == KEY_ID, credentials.c.revoked_at.is_(None), NOT_RETIRED),
    sa.select(
        api_keys.c.id,
        api_keys.c.secret_hash,
        api_keys.c.expires_at,
        api_keys.c.organisation_id,
        sa.null().cast(sa.Uuid),
        sa.null().cast(sa.Text),
        sa.func.least(api_keys.c.role, users.c.role),
    )
    .join(users, users.c.id == api_keys.c.made_by)
    .where(api_keys.c.id == KEY_ID, api_keys.c.revoked_at.is_(None)),
)


class SqlAlchemyKeyRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, key_id: UUID) -> KeyHolder | None:
        row = (await self._connection.execute(KEY_HOLDER, {"key_id": key_id})).first()
        return _row_to_key_holder(row) if row else None

    async def find_provisioner(self, key_id: UUID) -> KeyHolder | None:
        query = sa.select(provisioning_keys.c.secret_hash, provisioning_keys.c.organisation_id)
        is_it = provisioning_keys.c.id == key_id, provisioning_keys.c.revoked_at.is_(None)
        row = (await self._connection.execute(query.where(*is_it))).first()
        if row is None:
            return None
        actor = Actor(ActorKind.PROVISIONING_KEY, key_id, OrganisationId(row.organisation_id))
        return KeyHolder(key_id, row.secret_hash, None, actor)


class PostgresChangeFeed:
    """Hears of changes over a connection that is held for nothing else."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    @asynccontextmanager
    async def listen(self, tell: Callable[[UUID], None]) -> AsyncIterator[CatchUp]:
        try:
            connection = await open_connection(self._dsn)
            try:
                if await connection.fetchval(COUNT_TRIGGERS, TRIGGERS) < len(TRIGGERS):
                    raise UnavailableError("registry", "The registry's schema does not tell of every change.")
                await connection.add_listener(CHANNEL, lambda *heard: tell(UUID(heard[-1])))
                # The server hands out what was committed before it was asked no later than the answer, and the
                # driver tells it first.
                yield partial(connection.execute, "SELECT")
            finally:
                # Without a farewell, for which a frozen server would make us wait.
                connection.terminate()
        except DRIVER_ERRORS as error:
            raise UnavailableError("registry", "The registry store does not say what changes.") from error


def _row_to_key_holder(row: sa.Row[Any]) -> KeyHolder:
    organisation_id = OrganisationId(row.organisation_id)
    if row.device_id is None:
        actor = Actor(ActorKind.INTEGRATION, row.id, organisation_id, role=Role(row.role))
    else:
        device_id = DeviceId(row.device_id)
        actor = Actor(ActorKind.DEVICE, device_id, organisation_id, device_id=device_id)
    return KeyHolder(
        key_id=row.id,
        secret_hash=row.secret_hash,
        expires_at=row.expires_at,
        actor=actor,
        device_status=row.device_status,
    )
