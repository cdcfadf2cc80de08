from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from iotsphere.kernel.errors import MalformedInputError
from iotsphere.kernel.identifiers import CredentialId
from iotsphere.registry.errors import CredentialNotFoundError
from iotsphere.registry.model import Credential, Device, DeviceStatus
from tests.contract.registry.stores import RegistryStore
from tests.factories.registry import FIRST_DAY

NOW = FIRST_DAY + timedelta(days=1)


@pytest.fixture
async def device(store: RegistryStore) -> Device:
    return await store.add_device(await store.add_organisation(), status=DeviceStatus.ACTIVE, last_seen_at=FIRST_DAY)


async def listed(store: RegistryStore, device: Device) -> list[Credential]:
    async with store.unit_of_work() as uow:
        return (await uow.credentials.list(device.id, now=NOW, limit=500, cursor=None)).items


async def get(store: RegistryStore, device: Device, credential_id: CredentialId) -> Credential:
    async with store.unit_of_work() as uow:
        return await uow.credentials.get(device.id, credential_id, for_update=True)


async def save(store: RegistryStore, credential: Credential) -> None:
    async with store.unit_of_work() as uow:
        await uow.credentials.save(credential)
        await uow.commit()


async def test_a_credential_comes_back_with_every_field(store: RegistryStore, device: Device) -> None:
    plain = await store.add_credential(device, label=None, expires_at=None)
    full = await store.add_credential(
        device,
        label="Werkstatt ä",
        secret_hash=bytes(range(32)),
        expires_at=NOW + timedelta(microseconds=1),
        rotated_at=NOW,
    )

    assert await listed(store, device) == [plain, full]
    assert await get(store, device, full.id) == full


async def test_credentials_are_listed_page_by_page_for_their_device_alone(
    store: RegistryStore, device: Device
) -> None:
    other = await store.add_device(await store.add_organisation())
    await store.add_credential(other)
    credentials = [await store.add_credential(device) for _ in range(3)]

    async with store.unit_of_work() as uow:
        first = await uow.credentials.list(device.id, now=NOW, limit=2, cursor=None)
        second = await uow.credentials.list(device.id, now=NOW, limit=2, cursor=first.next_cursor)
        with pytest.raises(MalformedInputError):
            await uow.credentials.list(device.id, now=NOW, limit=2, cursor="made-up")

    assert first.items + second.items == credentials
    assert second.next_cursor is None


async def test_a_revoked_credential_is_not_listed_nor_found(store: RegistryStore, device: Device) -> None:
    revoked, kept = await store.add_credential(device), await store.add_credential(device)

    await save(store, replace(revoked, revoked_at=NOW))

    assert await listed(store, device) == [kept]
    with pytest.raises(CredentialNotFoundError):
        await get(store, device, revoked.id)


async def test_an_expired_credential_is_not_listed(store: RegistryStore, device: Device) -> None:
    expired = await store.add_credential(device, expires_at=NOW)
    live = await store.add_credential(device, expires_at=NOW + timedelta(microseconds=1))

    assert await listed(store, device) == [live]
    assert await get(store, device, expired.id) == expired


async def test_a_changed_credential_is_kept(store: RegistryStore, device: Device) -> None:
    other, credential = await store.add_credential(device), await store.add_credential(device)
    rotated = credential.rotate(at=NOW, grace=timedelta(hours=1))

    await save(store, rotated)

    assert await listed(store, device) == [other, rotated]


async def test_a_credential_is_its_devices_alone(store: RegistryStore, device: Device) -> None:
    credential = await store.add_credential(device)
    other = await store.add_device(await store.add_organisation())

    with pytest.raises(CredentialNotFoundError):
        await get(store, other, credential.id)
    with pytest.raises(CredentialNotFoundError):
        await get(store, device, CredentialId(uuid4()))
