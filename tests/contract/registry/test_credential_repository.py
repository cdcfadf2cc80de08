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


@pytest.fixture
async def device(store: RegistryStore) -> Device:
    return await store.add_device(await store.add_organisation(), status=DeviceStatus.ACTIVE, last_seen_at=FIRST_DAY)


async def listed(store: RegistryStore, device: Device) -> list[Credential]:
    async with store.unit_of_work() as uow:
        return (await uow.credentials.list(device.id, limit=500, cursor=None)).items


async def revoke(store: RegistryStore, device: Device, credential: Credential) -> None:
    async with store.unit_of_work() as uow:
        await uow.credentials.revoke(device.id, credential.id, now=FIRST_DAY)
        await uow.commit()


async def test_a_credential_comes_back_with_every_field(store: RegistryStore, device: Device) -> None:
    plain = await store.add_credential(device, label=None, expires_at=None)
    full = await store.add_credential(
        device, label="Werkstatt ä", secret_hash=bytes(range(32)), expires_at=FIRST_DAY + timedelta(microseconds=1)
    )

    assert await listed(store, device) == [plain, full]


async def test_credentials_are_listed_page_by_page_for_their_device_alone(
    store: RegistryStore, device: Device
) -> None:
    other = await store.add_device(await store.add_organisation())
    await store.add_credential(other)
    credentials = [await store.add_credential(device) for _ in range(3)]

    async with store.unit_of_work() as uow:
        first = await uow.credentials.list(device.id, limit=2, cursor=None)
        second = await uow.credentials.list(device.id, limit=2, cursor=first.next_cursor)
        with pytest.raises(MalformedInputError):
            await uow.credentials.list(device.id, limit=2, cursor="made-up")

    assert first.items + second.items == credentials
    assert second.next_cursor is None


async def test_a_revoked_credential_is_not_listed_nor_revoked_again(store: RegistryStore, device: Device) -> None:
    revoked, kept = await store.add_credential(device), await store.add_credential(device)

    await revoke(store, device, revoked)

    assert await listed(store, device) == [kept]
    with pytest.raises(CredentialNotFoundError):
        await revoke(store, device, revoked)


async def test_only_the_device_of_a_credential_loses_it(store: RegistryStore, device: Device) -> None:
    credential = await store.add_credential(device)
    other = await store.add_device(await store.add_organisation())

    with pytest.raises(CredentialNotFoundError):
        await revoke(store, other, credential)
    with pytest.raises(CredentialNotFoundError):
        await revoke(store, device, replace(credential, id=CredentialId(uuid4())))

    assert await listed(store, device) == [credential]
