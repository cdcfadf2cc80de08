from datetime import timedelta
from uuid import uuid4

import pytest

from iotsphere.identity.errors import ApiKeyNotFoundError
from iotsphere.identity.model import IntegrationKey, Organisation, User
from iotsphere.kernel.actor import Role
from iotsphere.kernel.errors import MalformedInputError
from iotsphere.kernel.identifiers import CredentialId
from tests.contract.registry.stores import RegistryStore
from tests.factories.identity import FIRST_DAY

NOW = FIRST_DAY + timedelta(hours=1)


@pytest.fixture
async def ours(store: RegistryStore) -> Organisation:
    return await store.add_organisation()


@pytest.fixture
async def maker(store: RegistryStore, ours: Organisation) -> User:
    return await store.add_user(ours)


async def list_keys(store: RegistryStore, organisation: Organisation) -> list[IntegrationKey]:
    async with store.unit_of_work() as uow:
        return (await uow.api_keys.list(organisation.id, limit=10, cursor=None)).items


@pytest.mark.parametrize("role", Role)
async def test_a_key_comes_back_with_every_field(store: RegistryStore, maker: User, role: Role) -> None:
    key = await store.add_api_key(
        maker,
        label="Ablesung 😀 ' --",
        role=role,
        secret_hash=bytes(range(32)),
        created_at=FIRST_DAY + timedelta(microseconds=1),
        expires_at=FIRST_DAY + timedelta(days=1),
    )

    async with store.unit_of_work() as uow:
        assert await uow.api_keys.get(maker.organisation_id, key.id) == key


async def test_a_revoked_key_is_absent_and_no_other(store: RegistryStore, ours: Organisation, maker: User) -> None:
    revoked, other = await store.add_api_key(maker), await store.add_api_key(maker)
    async with store.unit_of_work() as uow:
        await uow.api_keys.revoke(ours.id, revoked.id, now=NOW)
        await uow.commit()

    assert await list_keys(store, ours) == [other]
    async with store.unit_of_work() as uow:
        with pytest.raises(ApiKeyNotFoundError):
            await uow.api_keys.get(ours.id, revoked.id)
        with pytest.raises(ApiKeyNotFoundError):
            await uow.api_keys.revoke(ours.id, revoked.id, now=NOW)


async def test_a_key_is_absent_to_another_organisation(store: RegistryStore, ours: Organisation, maker: User) -> None:
    theirs, key = await store.add_organisation(), await store.add_api_key(maker)

    async with store.unit_of_work() as uow:
        for organisation_id, key_id in [(theirs.id, key.id), (ours.id, CredentialId(uuid4()))]:
            with pytest.raises(ApiKeyNotFoundError):
                await uow.api_keys.get(organisation_id, key_id)
            with pytest.raises(ApiKeyNotFoundError):
                await uow.api_keys.revoke(organisation_id, key_id, now=NOW)
    assert await list_keys(store, theirs) == []
    assert await list_keys(store, ours) == [key]


async def test_keys_are_listed_page_by_page_in_the_order_of_creation(
    store: RegistryStore, ours: Organisation, maker: User
) -> None:
    keys = [await store.add_api_key(maker) for _ in range(3)]

    async with store.unit_of_work() as uow:
        first = await uow.api_keys.list(ours.id, limit=2, cursor=None)
        second = await uow.api_keys.list(ours.id, limit=2, cursor=first.next_cursor)
        with pytest.raises(MalformedInputError):
            await uow.api_keys.list(ours.id, limit=2, cursor="made-up")

    assert first.items + second.items == keys
    assert second.next_cursor is None
