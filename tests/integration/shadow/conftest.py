from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.localstack.cache import default_cache_dir
from iotsphere.localstack.stack import LocalStack
from iotsphere.localstack.stored_secrets import Secrets
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.model import ShadowKey
from iotsphere.shadow.service import DeviceShadowService
from repositories.availability import StoreGate
from repositories.shadow.keeper import RedisShadowStoreKeeper
from repositories.shadow.probe import RedisShadowProbe
from repositories.shadow.shadows import RedisShadowRepository
from repositories.shadow.store import ShadowStore
from repositories.shadow.stream import RedisChangeStream
from tests.factories.recovery import build_recovery
from tests.factories.shadow import attempt_of
from tests.fakes.journal import InMemoryJournalUnitOfWork, JournalData
from tests.fakes.shadow_process import SettableRules

ATTEMPT = attempt_of(Actor(ActorKind.USER, UUID(int=3), OrganisationId(UUID(int=1)), role=Role.OPERATOR))


@dataclass(frozen=True)
class Process:
    """What one process of the platform has of the shadow store: connections, a gate and a service of its own."""

    store: ShadowStore
    shadows: RedisShadowRepository
    service: DeviceShadowService
    probe: RedisShadowProbe

    @classmethod
    def at(cls, url: str) -> "Process":
        store = ShadowStore(url, StoreGate("shadow"))
        shadows = RedisShadowRepository(store)
        # Of the journal these tests ask nothing: it is in memory.
        unit_of_work = partial(InMemoryJournalUnitOfWork, JournalData())
        journal = JournalService(unit_of_work=unit_of_work, stream=RedisChangeStream(store))
        service = DeviceShadowService(
            shadows=shadows,
            recovery=build_recovery(RedisShadowStoreKeeper(store), journal, unit_of_work),
            rules=SettableRules(),
            journal=journal,
            unit_of_work=unit_of_work,
            clock=utc_now,
        )
        return cls(store, shadows, service, RedisShadowProbe(store))


@dataclass
class Machine:
    """A Valkey that a test may freeze, kill and start again, reached under one address all the while."""

    folder: Path
    stack: LocalStack

    @classmethod
    async def boot(cls, folder: Path) -> "Machine":
        machine = cls(folder, LocalStack(folder, cache_dir=default_cache_dir(), provide=frozenset({"shadow"})))
        await machine.stack.start()
        return machine

    @property
    def url(self) -> str:
        assert self.stack.addresses.shadow_url is not None
        # The stack's link to its sockets stays where it is; the folder behind it is another at each start.
        return self.stack.addresses.shadow_url.replace(
            str((self.folder / "sockets").readlink()), f"{self.folder}/sockets"
        )

    @property
    def process_id(self) -> int:
        return self.stack.servers[0].process.pid

    def administrator(self) -> Redis:
        password = Secrets(self.folder).get_or_make("valkey_admin_password")
        return Redis(
            unix_socket_path=f"{self.folder}/sockets/valkey.sock", username="iotsphere_admin", password=password
        )


@pytest_asyncio.fixture
async def machine() -> AsyncIterator[Machine]:
    with TemporaryDirectory(prefix="shadow-") as folder:
        machine = await Machine.boot(Path(folder))
        yield machine
        await machine.stack.stop()


@pytest_asyncio.fixture
async def process(machine: Machine) -> AsyncIterator[Process]:
    process = Process.at(machine.url)
    yield process
    await process.store.close()


@pytest.fixture(params=[None, "config"], ids=["unnamed", "named"])
def key(request: pytest.FixtureRequest) -> ShadowKey:
    return ShadowKey(DeviceId(uuid4()), request.param)
