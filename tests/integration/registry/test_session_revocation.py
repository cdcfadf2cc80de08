"""What becomes of remembered sessions and devices in one process when another, on the same PostgreSQL, ends them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from iotsphere.identity.change_watch import ChangeWatch
from iotsphere.identity.errors import CredentialInvalidError
from iotsphere.identity.model import LiveSession, Organisation, User
from iotsphere.identity.service import SessionService
from iotsphere.identity.tokens import AccessTokens, sign_token
from iotsphere.kernel.actor import Role
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.kernel.lease import LeasedCache
from iotsphere.registry.errors import DeviceNotFoundError
from iotsphere.registry.ownership import DeviceOwnership
from repositories.registry.keys import PostgresChangeFeed
from tests.factories.identity import build_session, build_user
from tests.fakes.identity import RecordingPasswords, build_tokens
from tests.integration.registry.conftest import RegistryMachine, RegistryProcess

# What is promised, on every process.
BOUND_SECONDS = 1.0

# By whatever means: none of these goes through a service.
ENDS_OF_SESSION = {
    "revoked": "UPDATE sessions SET revoked_at = now() WHERE id = $1",
    "expired": "UPDATE sessions SET expires_at = now() WHERE id = $1",
    "removed": "DELETE FROM sessions WHERE id = $1",
    "its user removed": "DELETE FROM users WHERE id = (SELECT user_id FROM sessions WHERE id = $1)",
}
CHANGES_OF_RIGHTS = {
    "role": "UPDATE users SET role = 1 WHERE id = (SELECT user_id FROM sessions WHERE id = $1)",
    "platform": "UPDATE users SET is_platform_administrator = true "
    "WHERE id = (SELECT user_id FROM sessions WHERE id = $1)",
    "organisation": "UPDATE users SET organisation_id = "
    "(SELECT id FROM organisations WHERE id <> users.organisation_id LIMIT 1) "
    "WHERE id = (SELECT user_id FROM sessions WHERE id = $1)",
}
ENDS_OF_DEVICE = {
    "retired": "UPDATE devices SET status = 'retired' WHERE id = $1",
    "removed": "DELETE FROM devices WHERE id = $1",
    "another's": "UPDATE devices SET organisation_id = "
    "(SELECT id FROM organisations WHERE id <> devices.organisation_id LIMIT 1) WHERE id = $1",
}


class Doorkeeper:
    """A process that recognises sessions and devices: what it remembers, and the watch that keeps that honest."""

    def __init__(self, process: RegistryProcess, dsn: str) -> None:
        self.process = process
        self.known_sessions = LeasedCache[LiveSession]()
        self.known_devices = LeasedCache[OrganisationId]()
        self.tokens: AccessTokens = build_tokens(process.unit_of_work, utc_now)
        self.sessions = SessionService(
            unit_of_work=process.unit_of_work,
            passwords=RecordingPasswords(),
            tokens=self.tokens,
            cache=self.known_sessions,
            clock=utc_now,
            new_id=uuid4,
        )
        self.ownership = DeviceOwnership(unit_of_work=process.unit_of_work, cache=self.known_devices)
        caches: list[LeasedCache[Any]] = [self.known_sessions, self.known_devices]
        self.watch = ChangeWatch(caches=caches, feed=PostgresChangeFeed(dsn))

    async def token_of(self, session_id: UUID) -> str:
        return sign_token(await self.tokens.signing_key(), session_id=session_id, issued_at=utc_now())

    async def open(self, user: User) -> tuple[UUID, str]:
        """Open a session, and show its token until it is remembered."""
        session = build_session(user_id=user.id, created_at=utc_now(), expires_at=utc_now() + timedelta(days=1))
        async with self.process.unit_of_work() as uow:
            await uow.sessions.add(session)
            await uow.commit()
        token = await self.token_of(session.id)

        async def show() -> None:
            await self.sessions.authenticate(access_token=token)

        await warm(show, lambda: self.known_sessions.recall(session.id) is not None)
        return session.id, token

    async def warm_device(self, device_id: DeviceId, owner: Organisation) -> None:
        await warm(
            lambda: self.ownership.check_device(organisation_id=owner.id, device_id=device_id),
            lambda: self.known_devices.recall(device_id) is not None,
        )


async def warm(ask: Callable[[], Awaitable[None]], is_warm: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_warm():
            with suppress(UnavailableError):
                await ask()
            await asyncio.sleep(0.01)


async def within_bound(ask: Callable[[], Awaitable[object]], ends: tuple[type[Exception], ...]) -> None:
    """Ask again and again until it is refused, which must not take longer than is promised."""
    began = time.monotonic()
    while True:
        asked_at = time.monotonic()
        try:
            await ask()
        except ends:
            return
        assert asked_at - began < BOUND_SECONDS, "It was let in after the time that is promised."
        await asyncio.sleep(0)


@pytest_asyncio.fixture
async def doorkeeper(registry_dsn: str) -> AsyncIterator[Doorkeeper]:
    process = RegistryProcess(registry_dsn)
    doorkeeper = Doorkeeper(process, registry_dsn)
    task = asyncio.create_task(doorkeeper.watch.keep_watching())
    yield doorkeeper
    task.cancel()
    await asyncio.wait([task])
    await process.engine.dispose()


@pytest_asyncio.fixture
async def elsewhere(registry_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(registry_dsn)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def user(process: RegistryProcess, ours: Organisation) -> User:
    await process.add_organisation()
    user = build_user(organisation_id=ours.id, role=Role.OPERATOR, is_platform_administrator=False)
    async with process.unit_of_work() as uow:
        await uow.users.add(user)
        await uow.commit()
    return user


@pytest.mark.parametrize("end", ENDS_OF_SESSION)
async def test_a_session_that_ends_elsewhere_is_refused_although_it_is_warm(
    doorkeeper: Doorkeeper, user: User, elsewhere: asyncpg.Connection, end: str
) -> None:
    ended, token = await doorkeeper.open(user)

    await elsewhere.execute(ENDS_OF_SESSION[end], ended)

    await within_bound(lambda: doorkeeper.sessions.authenticate(access_token=token), (CredentialInvalidError,))


async def test_a_new_password_ends_every_warm_session_but_the_one_that_is_spared(
    doorkeeper: Doorkeeper, process: RegistryProcess, user: User
) -> None:
    opened = [await doorkeeper.open(user) for _ in range(5)]
    (spared, token), *others = opened

    async with process.unit_of_work() as uow:
        await uow.sessions.revoke_all(user.id, but=spared, now=utc_now())
        await uow.commit()

    for _, other in others:
        await within_bound(
            lambda other=other: doorkeeper.sessions.authenticate(access_token=other),  # type: ignore[misc]
            (CredentialInvalidError,),
        )
    assert (await doorkeeper.sessions.authenticate(access_token=token)).id == user.id


@pytest.mark.parametrize("change", CHANGES_OF_RIGHTS)
async def test_a_warm_session_has_the_rights_that_its_user_was_given_elsewhere(
    doorkeeper: Doorkeeper, user: User, elsewhere: asyncpg.Connection, change: str
) -> None:
    session_id, token = await doorkeeper.open(user)
    before = await doorkeeper.sessions.authenticate(access_token=token)

    await elsewhere.execute(CHANGES_OF_RIGHTS[change], session_id)

    async def changes() -> None:
        actor = await doorkeeper.sessions.authenticate(access_token=token)
        if actor != before:
            raise CredentialInvalidError("It is another's by now.")

    await within_bound(changes, (CredentialInvalidError,))


async def test_what_says_nothing_of_their_rights_leaves_sessions_warm(
    doorkeeper: Doorkeeper, user: User, elsewhere: asyncpg.Connection, registry_dsn: str
) -> None:
    session_id, _ = await doorkeeper.open(user)
    heard: list[UUID] = []
    async with PostgresChangeFeed(registry_dsn).listen(heard.append) as catch_up:
        await elsewhere.execute("UPDATE users SET name = 'another', version = version + 1 WHERE id = $1", user.id)
        await catch_up()

        assert session_id not in heard


@pytest.mark.parametrize("end", ENDS_OF_DEVICE)
async def test_a_device_that_goes_elsewhere_is_not_there_although_it_is_warm(
    doorkeeper: Doorkeeper,
    process: RegistryProcess,
    ours: Organisation,
    user: User,
    elsewhere: asyncpg.Connection,
    end: str,
) -> None:
    device, _ = await process.register(ours)
    await doorkeeper.warm_device(device.id, ours)

    await elsewhere.execute(ENDS_OF_DEVICE[end], device.id)

    await within_bound(
        lambda: doorkeeper.ownership.check_device(organisation_id=ours.id, device_id=device.id),
        (DeviceNotFoundError,),
    )


async def test_a_registry_whose_triggers_do_not_tell_leaves_everything_to_be_looked_up(
    machine: RegistryMachine,
) -> None:
    elsewhere = await asyncpg.connect(machine.dsn)
    await elsewhere.execute("ALTER TABLE sessions DISABLE TRIGGER session_changed")

    with pytest.raises(UnavailableError, match="does not tell of every change"):
        async with PostgresChangeFeed(machine.dsn).listen(lambda _: None):
            pass

    await elsewhere.execute("ALTER TABLE sessions ENABLE TRIGGER session_changed")
    async with PostgresChangeFeed(machine.dsn).listen(lambda _: None) as catch_up:
        await catch_up()
    await elsewhere.close()


async def test_sessions_and_devices_are_not_vouched_for_while_the_registry_is_frozen(
    machine: RegistryMachine, lone_process: RegistryProcess
) -> None:
    doorkeeper = Doorkeeper(lone_process, machine.dsn)
    task = asyncio.create_task(doorkeeper.watch.keep_watching())
    owner = await lone_process.add_organisation()
    user = build_user(organisation_id=owner.id)
    async with lone_process.unit_of_work() as uow:
        await uow.users.add(user)
        await uow.commit()
    device, _ = await lone_process.register(owner)
    _, token = await doorkeeper.open(user)
    await doorkeeper.warm_device(device.id, owner)

    with machine.frozen():
        await within_bound(lambda: doorkeeper.sessions.authenticate(access_token=token), (UnavailableError,))
        await within_bound(
            lambda: doorkeeper.ownership.check_device(organisation_id=owner.id, device_id=device.id),
            (UnavailableError,),
        )

    task.cancel()
    await asyncio.wait([task])
