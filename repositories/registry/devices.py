"""Devices and their credentials in PostgreSQL."""

import builtins
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import CredentialId, DeviceId, OrganisationId
from iotsphere.kernel.pagination import Page
from iotsphere.registry.errors import CredentialNotFoundError, DeviceNotFoundError, SerialNumberTakenError
from iotsphere.registry.model import Credential, Device, DeviceFilter, DeviceStatus
from repositories.registry.tables import credentials, devices
from repositories.sql import after_cursor, page_of, violated_constraint

# Rows are locked in the order of their ids: two processes that write the same devices wait for each other one way.
SAVE_CONTACTS = sa.text("""
WITH heard AS (
    SELECT * FROM unnest(CAST(:device_ids AS uuid[]), CAST(:moments AS timestamptz[])) AS heard (id, seen_at)
), behind AS (
    SELECT devices.id, heard.seen_at FROM devices JOIN heard USING (id)
    WHERE devices.last_seen_at IS NULL OR devices.last_seen_at < heard.seen_at
    ORDER BY devices.id FOR NO KEY UPDATE OF devices
)
UPDATE devices SET last_seen_at = behind.seen_at FROM behind WHERE devices.id = behind.id
""")

FIND_MANY = """
SELECT id, {column} FROM devices
WHERE id = ANY(CAST(:device_ids AS uuid[])) AND organisation_id = :organisation_id AND status <> 'retired'
"""
FIND_STATUSES = sa.text(FIND_MANY.format(column="status"))
FIND_TYPES = sa.text(FIND_MANY.format(column="device_type"))
FIND_SERIAL_NUMBERS = sa.text(FIND_MANY.format(column="serial_number"))
FIND_IDS = sa.text("""
SELECT serial_number, id FROM devices
WHERE serial_number = ANY(CAST(:serial_numbers AS text[])) AND organisation_id = :organisation_id
  AND status <> 'retired'
""")

NOT_RETIRED = devices.c.status != DeviceStatus.RETIRED.value


class SqlAlchemyDeviceRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, device: Device) -> None:
        try:
            await self._connection.execute(sa.insert(devices).values(_device_to_row(device)))
        except IntegrityError as error:
            if violated_constraint(error) == "uq_devices_organisation_id_serial_number":
                raise SerialNumberTakenError(device.serial_number) from error
            raise

    async def add_untaken(self, drafted: builtins.list[Device]) -> set[DeviceId]:
        # Always in the same order: of two who add the same ones at once, neither then waits for the other.
        rows = [_device_to_row(device) for device in sorted(drafted, key=lambda device: device.serial_number)]
        statement = insert(devices).on_conflict_do_nothing().returning(devices.c.id)
        added = await self._connection.execute(statement, rows)
        return {DeviceId(device_id) for device_id in added.scalars()}

    async def get(self, organisation_id: OrganisationId, device_id: DeviceId, *, for_update: bool = False) -> Device:
        query = sa.select(devices).where(
            devices.c.id == device_id, devices.c.organisation_id == organisation_id, NOT_RETIRED
        )
        row = (await self._connection.execute(query.with_for_update() if for_update else query)).first()
        if row is None:
            raise DeviceNotFoundError
        return _row_to_device(row)

    async def find(self, device_id: DeviceId) -> Device | None:
        row = (
            await self._connection.execute(sa.select(devices).where(devices.c.id == device_id, NOT_RETIRED))
        ).first()
        return _row_to_device(row) if row else None

    async def find_statuses(
        self, organisation_id: OrganisationId, device_ids: Collection[DeviceId]
    ) -> dict[DeviceId, DeviceStatus]:
        parameters = {"organisation_id": organisation_id, "device_ids": list(device_ids)}
        found = await self._connection.execute(FIND_STATUSES, parameters)
        return {DeviceId(device_id): DeviceStatus(status) for device_id, status in found}

    async def find_types(
        self, organisation_id: OrganisationId, device_ids: Collection[DeviceId]
    ) -> dict[DeviceId, str]:
        parameters = {"organisation_id": organisation_id, "device_ids": list(device_ids)}
        found = await self._connection.execute(FIND_TYPES, parameters)
        return {DeviceId(device_id): device_type for device_id, device_type in found}

    async def find_serial_numbers(
        self, organisation_id: OrganisationId, device_ids: Collection[DeviceId]
    ) -> dict[DeviceId, str]:
        parameters = {"organisation_id": organisation_id, "device_ids": list(device_ids)}
        found = await self._connection.execute(FIND_SERIAL_NUMBERS, parameters)
        return {DeviceId(device_id): serial_number for device_id, serial_number in found}

    async def find_ids(self, organisation_id: OrganisationId, serial_numbers: Collection[str]) -> dict[str, DeviceId]:
        parameters = {"organisation_id": organisation_id, "serial_numbers": list(serial_numbers)}
        found = await self._connection.execute(FIND_IDS, parameters)
        return {serial_number: DeviceId(device_id) for serial_number, device_id in found}

    async def save(self, device: Device) -> None:
        await self._connection.execute(
            sa.update(devices).where(devices.c.id == device.id).values(_device_to_row(device))
        )

    async def save_contact(self, device_id: DeviceId, *, seen_at: datetime) -> bool:
        contact = (
            sa.update(devices)
            .where(devices.c.id == device_id)
            .values(last_seen_at=sa.func.greatest(devices.c.last_seen_at, seen_at))
        )
        # Who waited for the row while another made the device active finds it so, and matches no longer.
        first = contact.where(devices.c.status == DeviceStatus.PROVISIONED.value).values(
            status=DeviceStatus.ACTIVE.value, updated_at=seen_at, version=devices.c.version + 1
        )
        if (await self._connection.execute(first)).rowcount:
            return True
        await self._connection.execute(contact)
        return False

    async def save_contacts(self, contacts: Mapping[DeviceId, datetime]) -> None:
        columns = {"device_ids": list(contacts), "moments": list(contacts.values())}
        await self._connection.execute(SAVE_CONTACTS, columns)

    async def list(
        self, organisation_id: OrganisationId, narrowed_to: DeviceFilter, *, limit: int, cursor: str | None
    ) -> Page[Device]:
        query = sa.select(devices).where(
            devices.c.organisation_id == organisation_id, NOT_RETIRED, *_conditions(narrowed_to)
        )
        found = await self._connection.execute(after_cursor(query, devices, limit, cursor))
        return page_of([_row_to_device(row) for row in found], limit)


def _conditions(narrowed_to: DeviceFilter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if narrowed_to.device_type is not None:
        conditions.append(devices.c.device_type == narrowed_to.device_type)
    if narrowed_to.status is not None:
        conditions.append(devices.c.status == narrowed_to.status.value)
    if narrowed_to.any_label:
        conditions.append(sa.or_(*(devices.c.labels.contains({key: value}) for key, value in narrowed_to.any_label)))
    if narrowed_to.q is not None:
        conditions.append(
            devices.c.serial_number.icontains(narrowed_to.q, autoescape=True)
            | devices.c.name.icontains(narrowed_to.q, autoescape=True)
        )
    return conditions


class SqlAlchemyCredentialRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, credential: Credential) -> None:
        await self._connection.execute(sa.insert(credentials).values(_credential_to_row(credential)))

    async def get(self, device_id: DeviceId, credential_id: CredentialId, *, for_update: bool = False) -> Credential:
        query = sa.select(credentials).where(
            credentials.c.id == credential_id,
            credentials.c.device_id == device_id,
            credentials.c.revoked_at.is_(None),
        )
        row = (await self._connection.execute(query.with_for_update() if for_update else query)).first()
        if row is None:
            raise CredentialNotFoundError
        return _row_to_credential(row)

    async def save(self, credential: Credential) -> None:
        await self._connection.execute(
            sa.update(credentials).where(credentials.c.id == credential.id).values(_credential_to_row(credential))
        )

    async def list(self, device_id: DeviceId, *, now: datetime, limit: int, cursor: str | None) -> Page[Credential]:
        query = sa.select(credentials).where(
            credentials.c.device_id == device_id,
            credentials.c.revoked_at.is_(None),
            credentials.c.expires_at.is_(None) | (credentials.c.expires_at > now),
        )
        found = await self._connection.execute(after_cursor(query, credentials, limit, cursor))
        return page_of([_row_to_credential(row) for row in found], limit)


def _device_to_row(device: Device) -> dict[str, Any]:
    return {
        "id": device.id,
        "organisation_id": device.organisation_id,
        "serial_number": device.serial_number,
        "device_type": device.device_type,
        "name": device.name,
        "labels": device.labels,
        "status": device.status.value,
        "last_seen_at": device.last_seen_at,
        "created_at": device.created_at,
        "updated_at": device.updated_at,
        "version": device.version,
    }


def _row_to_device(row: sa.Row[Any]) -> Device:
    return Device(
        id=DeviceId(row.id),
        organisation_id=OrganisationId(row.organisation_id),
        serial_number=row.serial_number,
        device_type=row.device_type,
        name=row.name,
        labels=row.labels,
        status=DeviceStatus(row.status),
        last_seen_at=row.last_seen_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        version=row.version,
    )


def _credential_to_row(credential: Credential) -> dict[str, Any]:
    return {
        "id": credential.id,
        "device_id": credential.device_id,
        "label": credential.label,
        "secret_hash": credential.secret_hash,
        "created_at": credential.created_at,
        "expires_at": credential.expires_at,
        "revoked_at": credential.revoked_at,
        "rotated_at": credential.rotated_at,
    }


def _row_to_credential(row: sa.Row[Any]) -> Credential:
    return Credential(
        id=CredentialId(row.id),
        device_id=DeviceId(row.device_id),
        label=row.label,
        secret_hash=row.secret_hash,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        rotated_at=row.rotated_at,
    )
