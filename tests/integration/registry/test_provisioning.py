"""Provisioning keys under contention and on a server that dies, as only a real one can show."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from iotsphere.containers.registry import make_api_key, make_provisioning_key
from iotsphere.identity.model import Organisation
from iotsphere.kernel.actor import Actor, ActorKind
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.errors import UnavailableError
from iotsphere.registry.errors import ProvisioningKeyRevokedError, ProvisioningKeySpentError, SerialNumberTakenError
from iotsphere.registry.model import Device, DeviceFilter, ProvisionedDevice, ProvisioningKey
from iotsphere.registry.provisioning import ProvisioningKeyService, ProvisioningService
from tests.factories.identity import build_attempt
from tests.factories.registry import build_provisioning_key
from tests.integration.patience import eventually
from tests.integration.registry.conftest import RegistryMachine, RegistryProcess, within


class Provisioning:
    """The services of one process for one organisation."""

    def __init__(self, process: RegistryProcess, organisation: Organisation) -> None:
        self._process = process
        self._organisation = organisation
        self.devices = ProvisioningService(
            unit_of_work=process.unit_of_work, clock=utc_now, new_id=uuid4, make_key=make_api_key
        )
        self.keys = ProvisioningKeyService(
            unit_of_work=process.unit_of_work, clock=utc_now, new_id=uuid4, make_key=make_provisioning_key
        )

    async def add_key(self, max_devices: int) -> ProvisioningKey:
        key = build_provisioning_key(organisation_id=self._organisation.id, max_devices=max_devices)
        async with self._process.unit_of_work() as uow:
            await uow.provisioning_keys.add(key)
            await uow.commit()
        return key

    async def provision(self, key: ProvisioningKey, serial_number: str | None = None) -> ProvisionedDevice:
        actor = Actor(ActorKind.PROVISIONING_KEY, key.id, self._organisation.id)
        return await self.devices.provision_device(
            attempt=Attempt(actor, "provision_device", "192.0.2.1", "request-1"),
            key_id=key.id,
            serial_number=serial_number or str(uuid4()),
            name=None,
            asset={},
        )

    async def uses(self, key: ProvisioningKey) -> int:
        return (await self.keys.get_key(organisation_id=self._organisation.id, key_id=key.id)).provisioned

    async def present(self) -> list[Device]:
        page = await self._process.devices.list_devices(
            organisation_id=self._organisation.id, narrowed_to=DeviceFilter(), limit=500, cursor=None
        )
        return page.items

    async def revoke(self, key: ProvisioningKey) -> None:
        attempt = build_attempt(organisation_id=self._organisation.id)
        await self.keys.revoke_key(attempt=attempt, key_id=key.id, expected_version=None)


@pytest.fixture
def here(process: RegistryProcess, ours: Organisation) -> Provisioning:
    return Provisioning(process, ours)


@pytest_asyncio.fixture
async def there(registry_dsn: str, ours: Organisation) -> AsyncIterator[Provisioning]:
    process = RegistryProcess(registry_dsn)
    yield Provisioning(process, ours)
    await process.engine.dispose()


def kinds(answers: list[Any]) -> Counter[type]:
    return Counter(type(answer) for answer in answers)


async def test_fifty_devices_at_once_in_two_processes_make_ten_with_a_key_for_ten(
    here: Provisioning, there: Provisioning
) -> None:
    key = await here.add_key(10)

    answers = await asyncio.gather(
        *(eventually(lambda: here.provision(key)) for _ in range(25)),
        *(eventually(lambda: there.provision(key)) for _ in range(25)),
        return_exceptions=True,
    )

    assert kinds(answers) == {ProvisionedDevice: 10, ProvisioningKeySpentError: 40}
    provisioned = {answer.device.id for answer in answers if isinstance(answer, ProvisionedDevice)}
    assert {device.id for device in await here.present()} == provisioned
    assert await here.uses(key) == 10


async def test_of_two_keys_at_once_for_one_serial_number_one_spends_a_use(
    here: Provisioning, there: Provisioning
) -> None:
    keys = [await here.add_key(5), await here.add_key(5)]

    answers = await asyncio.gather(
        *(eventually(lambda: here.provision(keys[0], "SN-1")) for _ in range(5)),
        *(eventually(lambda: there.provision(keys[1], "SN-1")) for _ in range(5)),
        return_exceptions=True,
    )

    assert kinds(answers) == {ProvisionedDevice: 1, SerialNumberTakenError: 9}
    assert sorted([await here.uses(key) for key in keys]) == [0, 1]
    assert len(await here.present()) == 1


async def test_a_key_revoked_while_devices_come_in_counts_exactly_those_that_did(here: Provisioning) -> None:
    key = await here.add_key(1000)

    *answers, _ = await asyncio.gather(
        *(eventually(lambda: here.provision(key)) for _ in range(20)),
        eventually(lambda: here.revoke(key)),
        return_exceptions=True,
    )

    assert kinds(answers).keys() <= {ProvisionedDevice, ProvisioningKeyRevokedError}
    assert len(await here.present()) == kinds(answers)[ProvisionedDevice]
    with pytest.raises(ProvisioningKeyRevokedError):
        await here.provision(key)


async def test_a_server_that_dies_meanwhile_has_all_of_a_device_or_nothing(
    machine: RegistryMachine, lone_process: RegistryProcess
) -> None:
    here = Provisioning(lone_process, await lone_process.add_organisation())
    key = await here.add_key(1000)
    answered: set[Any] = set()
    many_are_in = asyncio.Event()

    async def come_in() -> None:
        while True:
            answered.add((await here.provision(key)).device.id)
            if len(answered) == 20:
                many_are_in.set()

    arrivals = [asyncio.ensure_future(come_in()) for _ in range(5)]
    await within(20, many_are_in.wait())
    await machine.kill()
    endings = await asyncio.gather(*arrivals, return_exceptions=True)
    await machine.stack.start()

    assert {type(ending) for ending in endings} == {UnavailableError}
    present = await eventually(here.present)
    assert answered <= {device.id for device in present}
    assert await here.uses(key) == len(present)
