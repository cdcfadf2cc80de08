from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from iotsphere.kernel.errors import DomainError, PreconditionFailedError
from iotsphere.kernel.identifiers import OrganisationId, ProvisioningKeyId
from iotsphere.registry.errors import (
    ExpiryPastError,
    ProvisioningKeyExpiredError,
    ProvisioningKeyNotFoundError,
    ProvisioningKeyRevokedError,
    ProvisioningKeySpentError,
    SerialNumberTakenError,
)
from iotsphere.registry.model import DeviceStatus, IssuedProvisioningKey, ProvisionedDevice, ProvisioningKey
from iotsphere.registry.provisioning import ProvisioningKeyService, ProvisioningService
from tests.factories.identity import build_attempt
from tests.factories.registry import build_device, build_provisioning_key
from tests.fakes.identity import ManualClock
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables

OURS = OrganisationId(UUID(int=1))
HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)


def make_key(key_id: UUID) -> tuple[str, bytes]:
    return f"key of {key_id}", f"hash of {key_id}".encode()


class Bench:
    """Both services on a store in memory, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()
        common: dict[str, Any] = {
            "unit_of_work": partial(InMemoryRegistryUnitOfWork, self.tables),
            "clock": self.clock,
            "new_id": uuid4,
            "make_key": make_key,
        }
        self.keys = ProvisioningKeyService(**common)
        self.provisioning = ProvisioningService(**common)
        self.attempt = build_attempt(organisation_id=OURS)

    async def issue(self, *, max_devices: int = 10, expires_at: datetime | None = None) -> IssuedProvisioningKey:
        return await self.keys.issue_key(
            attempt=self.attempt,
            device_type="pump",
            max_devices=max_devices,
            expires_at=expires_at or self.clock() + HOUR,
        )

    async def revoke(self, key_id: ProvisioningKeyId, **given: Any) -> None:
        options: dict[str, Any] = {"attempt": self.attempt, "expected_version": None} | given
        await self.keys.revoke_key(key_id=key_id, **options)

    async def provision(self, key_id: ProvisioningKeyId, serial_number: str, **given: Any) -> ProvisionedDevice:
        options: dict[str, Any] = {"attempt": self.attempt, "name": None, "asset": {}} | given
        return await self.provisioning.provision_device(key_id=key_id, serial_number=serial_number, **options)

    async def assert_refused(self, error: type[DomainError], key_id: ProvisioningKeyId, **given: Any) -> None:
        before = self.tables.copy()
        with pytest.raises(error):
            await self.provision(key_id, **{"serial_number": "SN-refused"} | given)
        assert self.tables == before


@pytest.fixture
def bench() -> Bench:
    return Bench()


def a_key(**given: Any) -> ProvisioningKey:
    return build_provisioning_key(**{"max_devices": 2} | given)


def test_every_use_counts_one_device_up_to_the_last() -> None:
    key = a_key()
    now = key.expires_at - INSTANT

    used = key.use(now=now).use(now=now)

    assert (key.provisioned, used.provisioned) == (0, 2)
    assert (key.version, used.version) == (1, 3)
    with pytest.raises(ProvisioningKeySpentError):
        used.use(now=now)


@pytest.mark.parametrize("late", [timedelta(0), INSTANT, HOUR])
def test_a_key_is_of_no_use_from_its_end_on_be_it_spent_or_not(late: timedelta) -> None:
    for provisioned in (0, 2):
        key = a_key(provisioned=provisioned)
        with pytest.raises(ProvisioningKeyExpiredError):
            key.use(now=key.expires_at + late)


async def test_the_text_of_a_key_is_given_out_once_and_its_hash_kept(bench: Bench) -> None:
    issued = await bench.issue(max_devices=3)

    key = await bench.keys.get_key(organisation_id=OURS, key_id=issued.key.id)
    assert (issued.text, key.secret_hash) == make_key(key.id)
    assert (key, key.organisation_id, key.max_devices, key.provisioned) == (issued.key, OURS, 3, 0)
    assert issued.text not in repr(bench.tables).replace(f"hash of {key.id}", "")
    [entry] = bench.tables.audit.values()
    assert entry.target == f"provisioning_key:{key.id}"
    assert entry.details == {"device_type": "pump", "max_devices": 3, "expires_at": key.expires_at.isoformat()}


async def test_a_key_that_would_have_expired_already_is_not_issued(bench: Bench) -> None:
    for expires_at in (bench.clock(), bench.clock() - HOUR):
        with pytest.raises(ExpiryPastError):
            await bench.issue(expires_at=expires_at)
    assert bench.tables == RegistryTables()


async def test_who_holds_a_key_gets_a_device_its_credential_and_an_event_for_one_use(bench: Bench) -> None:
    key = (await bench.issue()).key

    made = await bench.provision(key.id, "SN-1", asset={"name": "SN-1"})

    assert bench.tables.devices == {made.device.id: made.device}
    device = made.device
    assert (device.organisation_id, device.device_type, device.name) == (OURS, "pump", "SN-1")
    assert device.status is DeviceStatus.PROVISIONED
    [credential] = bench.tables.credentials.values()
    assert credential.device_id == device.id
    assert (made.api_key, credential.secret_hash) == make_key(credential.id)
    assert bench.tables.outbox == {made.event.id: made.event}
    assert (made.event.device_id, made.event.payload) == (device.id, {"name": "SN-1"})
    assert bench.tables.provisioning_keys[key.id].provisioned == 1
    entry = list(bench.tables.audit.values())[-1]
    assert entry.target == f"device:{device.id}"
    assert entry.details == {"serial_number": "SN-1", "credential": str(credential.id)}


async def test_what_is_refused_leaves_no_device_no_credential_no_event_and_no_use(bench: Bench) -> None:
    key = (await bench.issue(max_devices=1)).key
    taken = build_device(organisation_id=OURS)
    bench.tables.devices[taken.id] = taken

    await bench.assert_refused(SerialNumberTakenError, key.id, serial_number=taken.serial_number)
    await bench.assert_refused(ProvisioningKeyRevokedError, key.id, attempt=build_attempt())
    await bench.assert_refused(ProvisioningKeyRevokedError, ProvisioningKeyId(uuid4()))
    await bench.provision(key.id, "SN-1")
    await bench.assert_refused(ProvisioningKeySpentError, key.id)
    bench.clock.now = key.expires_at
    await bench.assert_refused(ProvisioningKeyExpiredError, key.id)


async def test_a_revoked_key_makes_no_more_and_is_not_there(bench: Bench) -> None:
    key = (await bench.issue()).key
    made = await bench.provision(key.id, "SN-1")

    await bench.revoke(key.id)

    await bench.assert_refused(ProvisioningKeyRevokedError, key.id)
    assert bench.tables.provisioning_keys[key.id].revoked_at == bench.clock()
    assert made.device.id in bench.tables.devices
    assert (await bench.keys.list_keys(organisation_id=OURS, limit=10, cursor=None)).items == []
    with pytest.raises(ProvisioningKeyNotFoundError):
        await bench.keys.get_key(organisation_id=OURS, key_id=key.id)
    with pytest.raises(ProvisioningKeyNotFoundError):
        await bench.revoke(key.id)


async def test_a_key_is_revoked_by_its_organisation_at_the_version_that_was_seen(bench: Bench) -> None:
    key = (await bench.issue()).key
    await bench.provision(key.id, "SN-1")

    with pytest.raises(PreconditionFailedError):
        await bench.revoke(key.id, expected_version=1)
    with pytest.raises(ProvisioningKeyNotFoundError):
        await bench.revoke(key.id, attempt=build_attempt())
    assert bench.tables.provisioning_keys[key.id].revoked_at is None
    await bench.revoke(key.id, expected_version=2)


async def test_spent_and_expired_keys_are_listed(bench: Bench) -> None:
    spent, expired = (await bench.issue(max_devices=1)).key, (await bench.issue()).key
    await bench.provision(spent.id, "SN-1")
    bench.clock.now = expired.expires_at

    listed = (await bench.keys.list_keys(organisation_id=OURS, limit=10, cursor=None)).items

    assert {key.id: key.provisioned for key in listed} == {spent.id: 1, expired.id: 0}
    assert (await bench.keys.list_keys(organisation_id=OrganisationId(uuid4()), limit=10, cursor=None)).items == []
