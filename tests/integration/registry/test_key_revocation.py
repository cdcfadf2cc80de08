"""What becomes of remembered keys in one process when another, on the same PostgreSQL, ends them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from iotsphere.identity.change_watch import ChangeWatch
from iotsphere.identity.errors import CredentialInvalidError
from iotsphere.identity.keys import KeyService
from iotsphere.identity.model import KeyHolder, Organisation
from iotsphere.identity.secrets import ApiKey, hash_secret
from iotsphere.kernel.actor import Role
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.lease import LeasedCache
from iotsphere.registry.model import Credential, DeviceStatus
from repositories.registry.keys import PostgresChangeFeed
from tests.factories.identity import build_integration_key, build_user
from tests.factories.registry import build_credential
from tests.integration.patience import eventually
from tests.integration.registry.conftest import RegistryMachine, RegistryProcess

# What is promised of a revoked key, on every process.
BOUND_SECONDS = 1.0
CUT_OFF = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND query IN ('SELECT', 'LISTEN iotsphere_keys')
"""


class Doorkeeper:
    """A process that recognises keys: what it remembers, and the watch that keeps that honest."""

    def __init__(self, process: RegistryProcess, dsn: str) -> None:
        self.process = process
        self.cache = LeasedCache[KeyHolder]()
        self.keys = KeyService(unit_of_work=process.unit_of_work, cache=self.cache, clock=utc_now)
        self.watch = ChangeWatch(caches=[self.cache], feed=PostgresChangeFeed(dsn))

    async def admits(self, api_key: str) -> bool:
        try:
            holder = self.keys.recall(api_key=api_key) or await self.keys.look_up(api_key=api_key)
        except CredentialInvalidError:
            return False
        return holder.device_status != DeviceStatus.SUSPENDED

    async def warm(self, api_key: str) -> None:
        """Show a key until it is remembered."""
        async with asyncio.timeout(10):
            while self.keys.recall(api_key=api_key) is None:
                assert await eventually(lambda: self.admits(api_key))
                await asyncio.sleep(0.01)

    async def turns_away(self, api_key: str) -> float:
        """Show a key until it is refused, and give the seconds that it took."""
        began = time.monotonic()
        while True:
            asked_at = time.monotonic()
            try:
                if not await self.admits(api_key):
                    return time.monotonic() - began
            except UnavailableError:
                return time.monotonic() - began
            assert asked_at - began < BOUND_SECONDS, "It was let in after the time that is promised."
            await asyncio.sleep(0)


@asynccontextmanager
async def doorkeeper_of(process: RegistryProcess, dsn: str) -> AsyncIterator[Doorkeeper]:
    doorkeeper = Doorkeeper(process, dsn)
    task = asyncio.create_task(doorkeeper.watch.keep_watching())
    yield doorkeeper
    task.cancel()
    await asyncio.wait([task])


@pytest_asyncio.fixture
async def doorkeeper(registry_dsn: str) -> AsyncIterator[Doorkeeper]:
    process = RegistryProcess(registry_dsn)
    async with doorkeeper_of(process, registry_dsn) as doorkeeper:
        yield doorkeeper
    await process.engine.dispose()


@pytest_asyncio.fixture
async def lone_doorkeeper(machine: RegistryMachine, lone_process: RegistryProcess) -> AsyncIterator[Doorkeeper]:
    async with doorkeeper_of(lone_process, machine.dsn) as doorkeeper:
        yield doorkeeper


async def issue(process: RegistryProcess, organisation: Organisation) -> tuple[Credential, str]:
    device, _ = await process.register(organisation)
    credential = build_credential(device_id=device.id, secret_hash=hash_secret("secret"))
    async with process.unit_of_work() as uow:
        await uow.credentials.add(credential)
        await uow.commit()
    return credential, str(ApiKey(credential.id, "secret"))


async def revoke(process: RegistryProcess, credential: Credential) -> None:
    async with process.unit_of_work() as uow:
        await uow.credentials.save(replace(credential, revoked_at=utc_now()))
        await uow.commit()


async def test_of_many_warm_keys_none_is_let_in_after_the_bound(
    process: RegistryProcess, ours: Organisation, doorkeeper: Doorkeeper
) -> None:
    issued = [await issue(process, ours) for _ in range(60)]
    for _, api_key in issued:
        await doorkeeper.warm(api_key)

    async def end(credential: Credential, api_key: str) -> None:
        await revoke(process, credential)
        await doorkeeper.turns_away(api_key)
        assert not await doorkeeper.admits(api_key)

    for one in range(0, 60, 6):
        await asyncio.gather(*(end(*each) for each in issued[one : one + 6]))


async def test_whoever_has_caught_up_has_heard_of_everything_committed_before(
    process: RegistryProcess, ours: Organisation, registry_dsn: str
) -> None:
    heard: list[UUID] = []
    async with PostgresChangeFeed(registry_dsn).listen(heard.append) as catch_up:
        for _ in range(20):
            issued = [(await issue(process, ours))[0] for _ in range(8)]
            revoked: list[UUID] = []

            async def end(credential: Credential, revoked: list[UUID] = revoked) -> None:
                await revoke(process, credential)
                revoked.append(credential.id)

            # Asked in the midst of others' commits, and right after each.
            work = [asyncio.create_task(end(credential)) for credential in issued]
            while not all(task.done() for task in work):
                before = revoked.copy()
                await catch_up()
                assert set(before) <= set(heard)
            await catch_up()
            assert {credential.id for credential in issued} <= set(heard)


@pytest.mark.parametrize("status", ["suspended", "retired"])
async def test_a_device_that_is_suspended_or_retired_is_turned_away_although_its_key_is_warm(
    process: RegistryProcess, ours: Organisation, doorkeeper: Doorkeeper, status: str
) -> None:
    credential, api_key = await issue(process, ours)
    await doorkeeper.warm(api_key)

    async with process.unit_of_work() as uow:
        device = await uow.devices.get(ours.id, credential.device_id, for_update=True)
        await uow.devices.save(device.change(status=DeviceStatus(status), changed_at=utc_now()))
        await uow.commit()

    await doorkeeper.turns_away(api_key)


async def test_an_integration_loses_what_its_maker_loses_although_its_key_is_warm(
    process: RegistryProcess, ours: Organisation, doorkeeper: Doorkeeper, registry_dsn: str
) -> None:
    maker = build_user(organisation_id=ours.id, role=Role.ADMIN)
    key = build_integration_key(
        organisation_id=ours.id, made_by=maker.id, role=Role.OPERATOR, secret_hash=hash_secret("secret")
    )
    async with process.unit_of_work() as uow:
        await uow.users.add(maker)
        await uow.api_keys.add(key)
        await uow.commit()
    api_key = str(ApiKey(key.id, "secret"))
    await doorkeeper.warm(api_key)
    connection = await asyncpg.connect(registry_dsn)

    async def is_a_viewer() -> bool:
        holder = doorkeeper.keys.recall(api_key=api_key) or await doorkeeper.keys.look_up(api_key=api_key)
        return holder.actor.role is Role.VIEWER

    try:
        await connection.execute("UPDATE users SET role = 1 WHERE id = $1", maker.id)
        deadline = time.monotonic() + BOUND_SECONDS
        while not await is_a_viewer():
            assert time.monotonic() < deadline
        await doorkeeper.warm(api_key)
        await connection.execute("DELETE FROM users WHERE id = $1", maker.id)
    finally:
        await connection.close()

    await doorkeeper.turns_away(api_key)


async def test_a_change_that_is_taken_back_changes_nothing(
    process: RegistryProcess, ours: Organisation, doorkeeper: Doorkeeper
) -> None:
    credential, api_key = await issue(process, ours)
    await doorkeeper.warm(api_key)

    async with process.unit_of_work() as uow:
        await uow.credentials.save(replace(credential, revoked_at=utc_now()))

    assert await doorkeeper.admits(api_key)


async def test_a_listener_that_is_cut_off_lets_no_revoked_key_in_and_listens_again(
    process: RegistryProcess, ours: Organisation, doorkeeper: Doorkeeper, registry_dsn: str
) -> None:
    connection = await asyncpg.connect(registry_dsn)
    for _ in range(5):
        credential, api_key = await issue(process, ours)
        await doorkeeper.warm(api_key)

        assert await connection.fetch(CUT_OFF)
        await revoke(process, credential)

        await doorkeeper.turns_away(api_key)
        assert not await doorkeeper.admits(api_key)
    await connection.close()
    _, api_key = await issue(process, ours)
    await doorkeeper.warm(api_key)


async def refuses_to_say(doorkeeper: Doorkeeper, api_key: str) -> None:
    """Show a right key until the process says that it cannot tell, which it does within the bound."""
    await doorkeeper.turns_away(api_key)
    assert doorkeeper.keys.recall(api_key=api_key) is None
    with pytest.raises(UnavailableError):
        await doorkeeper.admits(api_key)


async def test_a_frozen_registry_is_not_vouched_for_and_keys_are_warm_again_when_it_thaws(
    machine: RegistryMachine, lone_doorkeeper: Doorkeeper
) -> None:
    process = lone_doorkeeper.process
    credential, api_key = await issue(process, await process.add_organisation())
    await lone_doorkeeper.warm(api_key)

    with machine.frozen():
        await refuses_to_say(lone_doorkeeper, api_key)

    await lone_doorkeeper.warm(api_key)
    await revoke(process, credential)
    await lone_doorkeeper.turns_away(api_key)


async def test_a_killed_registry_is_not_vouched_for_and_keys_are_warm_again_when_it_is_back(
    machine: RegistryMachine, lone_doorkeeper: Doorkeeper
) -> None:
    process = lone_doorkeeper.process
    credential, api_key = await issue(process, await process.add_organisation())
    await lone_doorkeeper.warm(api_key)

    await machine.kill()
    await refuses_to_say(lone_doorkeeper, api_key)
    await machine.stack.start()

    await lone_doorkeeper.warm(api_key)
    await revoke(process, credential)
    await lone_doorkeeper.turns_away(api_key)
    assert not await lone_doorkeeper.admits(api_key)
