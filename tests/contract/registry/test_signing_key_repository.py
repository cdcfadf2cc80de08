from datetime import timedelta
from uuid import uuid4

from iotsphere.identity.model import StoredSigningKey
from iotsphere.kernel.identifiers import SigningKeyId
from tests.contract.registry.stores import RegistryStore
from tests.factories.identity import FIRST_DAY


async def test_signing_keys_come_back_the_oldest_first_until_they_are_removed(store: RegistryStore) -> None:
    keys = [
        StoredSigningKey(SigningKeyId(uuid4()), bytes(range(256)), FIRST_DAY + timedelta(microseconds=age))
        for age in (1, 2, 3)
    ]
    async with store.unit_of_work() as uow:
        assert await uow.signing_keys.list() == []
        for key in reversed(keys):
            await uow.signing_keys.add(key)
        await uow.commit()

    async with store.unit_of_work() as uow:
        assert await uow.signing_keys.list() == keys
        assert await uow.signing_keys.list(for_update=True) == keys
        await uow.signing_keys.remove(keys[1].id)
        await uow.signing_keys.remove(SigningKeyId(uuid4()))
        await uow.commit()

    async with store.unit_of_work() as uow:
        assert await uow.signing_keys.list() == [keys[0], keys[2]]
