import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest_asyncio
from dependency_injector import providers

from iotsphere.app import create_app
from iotsphere.containers.application import create_container
from iotsphere.containers.stores import close_stores
from iotsphere.kernel.actor import Role
from iotsphere.worker.journalling import journal_changes
from tests.api.bench import NOWHERE
from tests.factories.identity import build_organisation, build_user
from tests.fakes.identity import RecordingPasswords
from tests.integration.access.table import PASSWORD
from tests.integration.access.world import World


# Of a module rather than of the run: which application the endpoints are wired to, is one for the whole process.
@pytest_asyncio.fixture(scope="module")
async def world(
    registry_dsn: str, assets_dsn: str, native_telemetry_dsn: str, shadow_url: str
) -> AsyncIterator[World]:
    container = create_container(
        replace(
            NOWHERE,
            registry_dsn=registry_dsn,
            assets_dsn=assets_dsn,
            telemetry_dsn=native_telemetry_dsn,
            shadow_url=shadow_url,
        )
    )
    container.identity.passwords.override(providers.Object(RecordingPasswords()))
    organisation = build_organisation()
    founder = build_user(
        organisation_id=organisation.id,
        role=Role.ADMIN,
        is_platform_administrator=True,
        password_hash=await RecordingPasswords().hash(PASSWORD),
    )
    async with container.stores.registry_unit_of_work() as uow:
        await uow.organisations.add(organisation)
        await uow.users.add(founder)
        await uow.commit()
    world = World(create_app(container))
    await world.populate(founder.email)
    # Somebody has to carry the changes of shadows to the journal, or their history is waited for in vain.
    stop = asyncio.Event()
    journal = container.shadow.journal()
    journalling = asyncio.create_task(journal_changes(journal, consumer="access", stop=stop))
    yield world
    stop.set()
    await journalling
    await close_stores(container.stores)
    container.unwire()
