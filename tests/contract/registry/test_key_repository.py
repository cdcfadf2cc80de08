from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from iotsphere.identity.model import KeyHolder
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.registry.model import Device, DeviceStatus
from tests.contract.registry.stores import RegistryStore
from tests.factories.registry import FIRST_DAY


@pytest.fixture
async def device(store: RegistryStore) -> Device:
    return await store.add_device(await store.add_organisation(), status=DeviceStatus.ACTIVE, last_seen_at=FIRST_DAY)


async def find_holder(store: RegistryStore, key_id: UUID) -> KeyHolder | None:
    async with store.unit_of_work() as uow:
        return await uow.keys.find(key_id)


async def test_a_key_tells_everything_of_the_device_that_holds_it(store: RegistryStore, device: Device) -> None:
    credential = await store.add_credential(device, expires_at=FIRST_DAY)

    assert await find_holder(store, credential.id) == KeyHolder(
        key_id=credential.id,
        secret_hash=credential.secret_hash,
        expires_at=FIRST_DAY,
        actor=Actor(ActorKind.DEVICE, device.id, device.organisation_id, device_id=device.id),
        device_status="active",
    )


async def test_a_key_of_a_suspended_device_is_found_and_says_so(store: RegistryStore, device: Device) -> None:
    credential = await store.add_credential(device)
    await store.save(replace(device, status=DeviceStatus.SUSPENDED))

    holder = await find_holder(store, credential.id)

    assert holder is not None
    assert holder.device_status == "suspended"


async def test_a_revoked_key_and_one_of_a_retired_device_or_of_nobody_are_not_found(
    store: RegistryStore, device: Device
) -> None:
    credential = await store.add_credential(device)
    revoked = await store.add_credential(device, revoked_at=FIRST_DAY)
    assert await find_holder(store, revoked.id) is None
    assert await find_holder(store, credential.id) is not None
    await store.save(replace(device, status=DeviceStatus.RETIRED))

    assert await find_holder(store, credential.id) is None
    assert await find_holder(store, uuid4()) is None


async def test_a_key_tells_everything_of_the_integration_that_holds_it(store: RegistryStore) -> None:
    maker = await store.add_user(await store.add_organisation(), role=Role.ADMIN)
    key = await store.add_api_key(maker, role=Role.ENGINEER, expires_at=FIRST_DAY)

    assert await find_holder(store, key.id) == KeyHolder(
        key_id=key.id,
        secret_hash=key.secret_hash,
        expires_at=FIRST_DAY,
        actor=Actor(ActorKind.INTEGRATION, key.id, maker.organisation_id, role=Role.ENGINEER),
    )


async def test_an_integration_may_never_do_more_than_whoever_made_its_key(store: RegistryStore) -> None:
    maker = await store.add_user(await store.add_organisation(), role=Role.VIEWER)
    key = await store.add_api_key(maker, role=Role.ADMIN)

    holder = await find_holder(store, key.id)

    assert holder is not None
    assert holder.actor.role is Role.VIEWER


async def test_a_revoked_key_of_an_integration_is_not_found(store: RegistryStore) -> None:
    maker = await store.add_user(await store.add_organisation())
    key = await store.add_api_key(maker)
    async with store.unit_of_work() as uow:
        await uow.api_keys.revoke(maker.organisation_id, key.id, now=FIRST_DAY)
        await uow.commit()

    assert await find_holder(store, key.id) is None
