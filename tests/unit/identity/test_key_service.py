from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest

from iotsphere.identity.errors import CredentialInvalidError
from iotsphere.identity.key_cache import KeyCache
from iotsphere.identity.keys import KeyService
from iotsphere.identity.secrets import ApiKey, hash_secret
from iotsphere.kernel.actor import Actor, ActorKind
from iotsphere.registry.model import Credential, Device, DeviceStatus
from tests.factories.registry import build_credential, build_device
from tests.fakes.identity import ManualClock
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables, UnreachableUnitOfWork

SECRET = "secret"


class Bench:
    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()
        self.service = KeyService(
            unit_of_work=partial(InMemoryRegistryUnitOfWork, self.tables), cache=KeyCache(), clock=self.clock
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
        unit_of_work=lambda: UnreachableUnitOfWork(RegistryTables()), cache=KeyCache(), clock=ManualClock()
    )

    with pytest.raises(CredentialInvalidError):
        await service.look_up(api_key="iot_made_up")
