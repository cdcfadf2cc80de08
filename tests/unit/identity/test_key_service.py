from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest

from iotsphere.identity.errors import CredentialInvalidError
from iotsphere.identity.keys import KeyService
from iotsphere.identity.model import KeyHolder
from iotsphere.identity.secrets import ApiKey, hash_secret
from iotsphere.kernel.actor import Actor, ActorKind
from iotsphere.kernel.lease import LeasedCache
from iotsphere.registry.model import Credential, Device, DeviceStatus
from tests.factories.registry import build_credential, build_device
from tests.fakes.identity import ManualClock
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables, UnreachableUnitOfWork

SECRET = "secret"


class Bench:
    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()
        self.cache = LeasedCache[KeyHolder](monotonic=lambda: 0.0)
        self.service = KeyService(
            unit_of_work=partial(InMemoryRegistryUnitOfWork, self.tables), cache=self.cache, clock=self.clock
        )

    def add_device(self, status: DeviceStatus = DeviceStatus.ACTIVE) -> Device:
        device = build_device(status=status)
        self.tables.devices[device.id] = device
        return device

    def add_credential(self, device: Device, **given: object) -> Credential:
        credential = build_credential(device_id=device.id, secret_hash=hash_secret(SECRET), **given)
        self.tables.credentials[credential.id] = credential
        return credential

    async def is_refused(self, credential_id: UUID, secret: str = SECRET) -> bool:
        try:
            await self.service.look_up(api_key=str(ApiKey(credential_id, secret)))
        except CredentialInvalidError as error:
            return error.detail == "The API key is not valid."
        return False


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_key_tells_its_device(bench: Bench) -> None:
    device = bench.add_device()
    credential = bench.add_credential(device)

    holder = await bench.service.look_up(api_key=str(ApiKey(credential.id, SECRET)))

    assert holder.actor == Actor(ActorKind.DEVICE, device.id, device.organisation_id, role=None, device_id=device.id)


async def test_the_id_alone_proves_nothing(bench: Bench) -> None:
    credential = bench.add_credential(bench.add_device())
    other = bench.add_credential(bench.add_device(), label="other")
    bench.tables.credentials[other.id] = build_credential(device_id=other.device_id, id=other.id)

    assert await bench.is_refused(credential.id, "Secret")
    assert await bench.is_refused(other.id)
    assert await bench.is_refused(uuid4())


async def test_a_key_counts_until_the_moment_it_expires(bench: Bench) -> None:
    credential = bench.add_credential(bench.add_device(), expires_at=bench.clock() + timedelta(seconds=1))

    assert not await bench.is_refused(credential.id)
    bench.clock.advance(seconds=1)
    assert await bench.is_refused(credential.id)


async def test_a_revoked_key_and_one_of_a_retired_device_are_refused(bench: Bench) -> None:
    revoked = bench.add_credential(bench.add_device(), revoked_at=bench.clock())
    retired = bench.add_credential(bench.add_device(DeviceStatus.RETIRED))

    assert await bench.is_refused(revoked.id)
    assert await bench.is_refused(retired.id)


async def test_a_text_that_is_no_key_is_refused_without_asking_the_store() -> None:
    service = KeyService(
        unit_of_work=lambda: UnreachableUnitOfWork(RegistryTables()), cache=LeasedCache(), clock=ManualClock()
    )

    with pytest.raises(CredentialInvalidError):
        await service.look_up(api_key="iot_made_up")


async def test_a_key_is_recalled_after_it_was_looked_up(bench: Bench) -> None:
    api_key = str(ApiKey(bench.add_credential(bench.add_device()).id, SECRET))
    bench.cache.prove(0.0)
    assert bench.service.recall(api_key=api_key) is None

    holder = await bench.service.look_up(api_key=api_key)

    assert bench.service.recall(api_key=api_key) == holder


async def test_a_remembered_id_proves_nothing_either(bench: Bench) -> None:
    credential = bench.add_credential(bench.add_device())
    bench.cache.prove(0.0)
    await bench.service.look_up(api_key=str(ApiKey(credential.id, SECRET)))

    assert bench.service.recall(api_key=str(ApiKey(credential.id, "Secret"))) is None
    assert bench.service.recall(api_key="iot_made_up") is None


async def test_a_remembered_key_counts_until_the_moment_it_expires(bench: Bench) -> None:
    credential = bench.add_credential(bench.add_device(), expires_at=bench.clock() + timedelta(seconds=1))
    api_key = str(ApiKey(credential.id, SECRET))
    bench.cache.prove(0.0)
    await bench.service.look_up(api_key=api_key)
    assert bench.service.recall(api_key=api_key) is not None

    bench.clock.advance(seconds=1)

    assert bench.service.recall(api_key=api_key) is None


async def test_wrong_keys_are_not_remembered(bench: Bench) -> None:
    credential = bench.add_credential(bench.add_device())
    bench.cache.prove(0.0)

    assert await bench.is_refused(credential.id, "Secret")
    assert await bench.is_refused(uuid4())

    assert bench.cache.recall(credential.id) is None


async def test_what_changes_while_it_is_looked_up_is_not_remembered(bench: Bench) -> None:
    credential = bench.add_credential(bench.add_device())
    bench.cache.prove(0.0)

    class Overtaken(InMemoryRegistryUnitOfWork):
        async def __aexit__(self, *_: object) -> None:
            bench.cache.forget(credential.id)

    service = KeyService(unit_of_work=partial(Overtaken, bench.tables), cache=bench.cache, clock=bench.clock)
    await service.look_up(api_key=str(ApiKey(credential.id, SECRET)))

    assert bench.cache.recall(credential.id) is None
