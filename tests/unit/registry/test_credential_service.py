from collections.abc import Awaitable
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest

from iotsphere.kernel.errors import DomainError, PreconditionFailedError
from iotsphere.kernel.identifiers import CredentialId, OrganisationId
from iotsphere.registry.credentials import CredentialService
from iotsphere.registry.errors import (
    CredentialNotFoundError,
    CredentialRotatedError,
    DeviceNotFoundError,
    ExpiryPastError,
    TooManyCredentialsError,
)
from iotsphere.registry.model import MAX_LIVE_CREDENTIALS, Credential, Device, IssuedCredential
from tests.factories.identity import build_attempt
from tests.factories.registry import build_credential, build_device
from tests.fakes.identity import ManualClock
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables

OURS = OrganisationId(UUID(int=1))
AT_ONCE = timedelta(0)
HOUR = timedelta(hours=1)


class Bench:
    """The service on a store in memory that holds one device, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()
        numbers = count(10)
        self.service = CredentialService(
            unit_of_work=partial(InMemoryRegistryUnitOfWork, self.tables),
            clock=self.clock,
            new_id=lambda: UUID(int=next(numbers)),
            make_key=lambda credential_id: (f"key of {credential_id.int}", f"hash of {credential_id.int}".encode()),
        )
        self.attempt = build_attempt(organisation_id=OURS)
        self.device = self.add_device()
        self._of_the_device: dict[str, Any] = {"attempt": self.attempt, "device_id": self.device.id}

    def add_device(self) -> Device:
        device = build_device(organisation_id=OURS)
        self.tables.devices[device.id] = device
        return device

    async def issue(
        self, *, label: str | None = "workshop", expires_at: datetime | None = None, **given: Any
    ) -> IssuedCredential:
        options = self._of_the_device | given
        # So that credentials are listed in the order in which they are issued.
        self.clock.advance(microseconds=1)
        return await self.service.issue_credential(label=label, expires_at=expires_at, **options)

    async def rotate(self, credential_id: CredentialId, grace: timedelta = AT_ONCE, **given: Any) -> IssuedCredential:
        options: dict[str, Any] = {
            "attempt": self.attempt,
            "device_id": self.device.id,
            "expected_version": None,
        } | given
        self.clock.advance(microseconds=1)
        return await self.service.rotate_credential(credential_id=credential_id, grace=grace, **options)

    async def revoke(self, credential_id: CredentialId, **given: Any) -> None:
        options: dict[str, Any] = {
            "attempt": self.attempt,
            "device_id": self.device.id,
            "expected_version": None,
        } | given
        await self.service.revoke_credential(credential_id=credential_id, **options)

    async def listed(self) -> list[Credential]:
        return (await self.service.list_credentials(device_id=self.device.id, limit=500, cursor=None)).items

    async def assert_refused(self, error: type[DomainError], call: Awaitable[Any]) -> None:
        before = self.tables.copy()
        with pytest.raises(error):
            await call
        assert self.tables == before


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_key_is_shown_once_and_kept_as_its_hash(bench: Bench) -> None:
    expires_at = bench.clock() + timedelta(days=1)

    issued = await bench.issue(expires_at=expires_at)

    assert issued.api_key == "key of 10"
    assert issued.credential == build_credential(
        id=UUID(int=10),
        device_id=bench.device.id,
        label="workshop",
        secret_hash=b"hash of 10",
        created_at=bench.clock.now,
        expires_at=expires_at,
    )
    assert await bench.listed() == [issued.credential]
    assert "key of" not in repr(bench.tables)


async def test_a_key_that_would_have_expired_already_is_not_issued(bench: Bench) -> None:
    bench.clock.advance(seconds=1)
    for expires_at in (bench.clock.now, bench.clock.now - HOUR):
        await bench.assert_refused(ExpiryPastError, bench.issue(expires_at=expires_at))


async def test_a_device_has_so_many_live_credentials_at_the_most(bench: Bench) -> None:
    issued = [await bench.issue() for _ in range(MAX_LIVE_CREDENTIALS - 1)]
    short = await bench.issue(expires_at=bench.clock() + HOUR)

    await bench.assert_refused(TooManyCredentialsError, bench.issue())
    bench.clock.advance(hours=1)
    assert short.credential not in await bench.listed()
    await bench.issue()
    await bench.assert_refused(TooManyCredentialsError, bench.issue())
    await bench.revoke(issued[0].credential.id)
    await bench.issue()

    assert len(await bench.listed()) == MAX_LIVE_CREDENTIALS


async def test_a_full_device_can_still_rotate_without_a_grace(bench: Bench) -> None:
    issued, *_ = [await bench.issue() for _ in range(MAX_LIVE_CREDENTIALS)]

    await bench.assert_refused(TooManyCredentialsError, bench.rotate(issued.credential.id, HOUR))
    await bench.rotate(issued.credential.id)

    assert len(await bench.listed()) == MAX_LIVE_CREDENTIALS


async def test_a_rotated_credential_without_a_grace_is_gone(bench: Bench) -> None:
    old = await bench.issue(expires_at=bench.clock() + timedelta(days=1))

    new = await bench.rotate(old.credential.id)

    assert new.api_key != old.api_key
    assert (new.credential.label, new.credential.expires_at) == ("workshop", old.credential.expires_at)
    assert await bench.listed() == [new.credential]
    assert bench.tables.credentials[old.credential.id].revoked_at == bench.clock.now
    await bench.assert_refused(CredentialNotFoundError, bench.rotate(old.credential.id))


async def test_during_its_grace_the_old_one_is_live_and_not_rotated_again(bench: Bench) -> None:
    old = await bench.issue()

    new = await bench.rotate(old.credential.id, HOUR)

    rotated, _ = await bench.listed()
    assert (rotated.id, rotated.expires_at, rotated.revoked_at) == (old.credential.id, bench.clock.now + HOUR, None)
    assert new.credential.expires_at is None
    await bench.assert_refused(CredentialRotatedError, bench.rotate(old.credential.id, HOUR))
    bench.clock.advance(hours=1)
    assert await bench.listed() == [new.credential]
    await bench.assert_refused(CredentialNotFoundError, bench.rotate(old.credential.id))


async def test_a_grace_does_not_lengthen_a_life(bench: Bench) -> None:
    end = bench.clock() + timedelta(minutes=1)
    old = await bench.issue(expires_at=end)

    new = await bench.rotate(old.credential.id, HOUR)

    assert bench.tables.credentials[old.credential.id].expires_at == end
    assert new.credential.expires_at == end


async def test_an_end_that_no_calendar_has_is_no_obstacle(bench: Bench) -> None:
    old = await bench.issue(expires_at=datetime.max.replace(tzinfo=bench.clock.now.tzinfo))

    await bench.rotate(old.credential.id, timedelta(days=30))

    assert bench.tables.credentials[old.credential.id].expires_at == bench.clock.now + timedelta(days=30)


async def test_a_rotated_credential_can_be_revoked_in_its_grace_and_its_successor_stays(bench: Bench) -> None:
    old = await bench.issue()
    new = await bench.rotate(old.credential.id, HOUR)

    await bench.revoke(old.credential.id)

    assert await bench.listed() == [new.credential]


async def test_what_is_not_the_devices_or_not_live_is_not_there(bench: Bench) -> None:
    issued, revoked = await bench.issue(), await bench.issue()
    expired = await bench.issue(expires_at=bench.clock() + HOUR)
    await bench.revoke(revoked.credential.id)
    bench.clock.advance(hours=1)
    other = bench.add_device()

    for device_id, credential_id in [
        (other.id, issued.credential.id),
        (bench.device.id, CredentialId(uuid4())),
        (bench.device.id, expired.credential.id),
        (bench.device.id, revoked.credential.id),
    ]:
        for call in (
            bench.rotate(credential_id, device_id=device_id),
            bench.revoke(credential_id, device_id=device_id),
            bench.service.get_credential(device_id=device_id, credential_id=credential_id),
        ):
            await bench.assert_refused(CredentialNotFoundError, call)


async def test_nobody_else_issues_or_rotates_keys_of_a_device(bench: Bench) -> None:
    issued = await bench.issue()
    theirs = build_attempt()

    await bench.assert_refused(DeviceNotFoundError, bench.issue(attempt=theirs))
    await bench.assert_refused(DeviceNotFoundError, bench.rotate(issued.credential.id, attempt=theirs))


async def test_a_change_of_another_version_is_refused(bench: Bench) -> None:
    issued = await bench.issue()
    await bench.rotate(issued.credential.id, HOUR)

    for call in (
        bench.rotate(issued.credential.id, expected_version=1),
        bench.revoke(issued.credential.id, expected_version=1),
    ):
        await bench.assert_refused(PreconditionFailedError, call)
    await bench.revoke(issued.credential.id, expected_version=2)


async def test_the_trail_tells_which_key_took_the_place_of_which(bench: Bench) -> None:
    old = await bench.issue()

    new = await bench.rotate(old.credential.id, HOUR)

    entry = list(bench.tables.audit.values())[-1]
    assert entry.target == f"device:{bench.device.id}"
    assert entry.details == {
        "credential": str(old.credential.id),
        "replaced_by": str(new.credential.id),
        "grace_seconds": 3600,
    }
