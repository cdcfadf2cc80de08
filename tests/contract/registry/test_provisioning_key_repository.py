from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.identity.model import KeyHolder, Organisation
from iotsphere.kernel.actor import Actor, ActorKind
from iotsphere.kernel.identifiers import ProvisioningKeyId
from iotsphere.registry.errors import ProvisioningKeyNotFoundError
from iotsphere.registry.model import ProvisioningKey
from tests.contract.registry.stores import RegistryStore
from tests.factories.registry import FIRST_DAY, build_provisioning_key


@pytest.fixture
async def ours(store: RegistryStore) -> Organisation:
    return await store.add_organisation()


async def add(store: RegistryStore, organisation: Organisation, **given: Any) -> ProvisioningKey:
    key = build_provisioning_key(organisation_id=organisation.id, **given)
    async with store.unit_of_work() as uow:
        await uow.provisioning_keys.add(key)
        await uow.commit()
    return key


async def save(store: RegistryStore, key: ProvisioningKey) -> None:
    async with store.unit_of_work() as uow:
        await uow.provisioning_keys.save(key)
        await uow.commit()


async def get(store: RegistryStore, organisation: Organisation, key_id: ProvisioningKeyId) -> ProvisioningKey:
    async with store.unit_of_work() as uow:
        return await uow.provisioning_keys.get(organisation.id, key_id, for_update=True)


async def find(store: RegistryStore, key: ProvisioningKey) -> KeyHolder | None:
    async with store.unit_of_work() as uow:
        return await uow.keys.find_provisioner(key.id)


async def test_a_key_comes_back_with_every_field_and_as_it_was_changed(
    store: RegistryStore, ours: Organisation
) -> None:
    key = await add(store, ours, device_type="robot", max_devices=2, secret_hash=bytes(range(32)))
    assert await get(store, ours, key.id) == key

    used = key.use(now=FIRST_DAY)
    await save(store, used)

    assert await get(store, ours, key.id) == used


async def test_keys_are_listed_page_by_page_in_their_organisation_alone(
    store: RegistryStore, ours: Organisation
) -> None:
    await add(store, await store.add_organisation())
    keys = [await add(store, ours) for _ in range(3)]

    async with store.unit_of_work() as uow:
        first = await uow.provisioning_keys.list(ours.id, limit=2, cursor=None)
        second = await uow.provisioning_keys.list(ours.id, limit=2, cursor=first.next_cursor)

    assert first.items + second.items == keys
    assert second.next_cursor is None


async def test_another_organisations_key_or_nobodys_is_not_there(store: RegistryStore, ours: Organisation) -> None:
    key = await add(store, await store.add_organisation())

    for key_id in (key.id, ProvisioningKeyId(uuid4())):
        with pytest.raises(ProvisioningKeyNotFoundError):
            await get(store, ours, key_id)


async def test_a_revoked_key_is_found_by_nothing(store: RegistryStore, ours: Organisation) -> None:
    revoked, kept = await add(store, ours), await add(store, ours)

    await save(store, replace(revoked, revoked_at=FIRST_DAY))

    with pytest.raises(ProvisioningKeyNotFoundError):
        await get(store, ours, revoked.id)
    async with store.unit_of_work() as uow:
        assert (await uow.provisioning_keys.list(ours.id, limit=5, cursor=None)).items == [kept]
    assert await find(store, revoked) is None


async def test_who_holds_a_key_is_told_though_it_cannot_be_used(store: RegistryStore, ours: Organisation) -> None:
    spent_and_expired = await add(store, ours, provisioned=10, expires_at=FIRST_DAY - timedelta(days=1))

    assert await find(store, spent_and_expired) == KeyHolder(
        key_id=spent_and_expired.id,
        secret_hash=spent_and_expired.secret_hash,
        expires_at=None,
        actor=Actor(ActorKind.PROVISIONING_KEY, spent_and_expired.id, ours.id),
    )
