from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio

from iotsphere.shadow.ports import (
    ChangeStream,
    ShadowInventory,
    ShadowRepository,
    ShadowStoreCondition,
    ShadowStoreKeeper,
)
from repositories.availability import StoreGate
from repositories.shadow.inventory import RedisShadowInventory
from repositories.shadow.keeper import RedisShadowStoreKeeper
from repositories.shadow.shadows import RedisShadowRepository
from repositories.shadow.store import ShadowStore
from repositories.shadow.stream import RedisChangeStream
from tests.fakes.shadow import (
    InMemoryChangeStream,
    InMemoryShadowInventory,
    InMemoryShadowRepository,
    InMemoryShadowServer,
    InMemoryShadowStore,
    InMemoryShadowStoreKeeper,
)

CLAIM_SECONDS = 0.2
MAX_BACKLOG_BYTES = 40_000


@dataclass(frozen=True)
class Peer:
    """One process of the platform, with all it has of the shadow store."""

    shadows: ShadowRepository
    keeper: ShadowStoreKeeper
    stream: ChangeStream
    inventory: ShadowInventory

    async def adopt(self, generation: int = 1, *, is_rebuilding: bool = False) -> ShadowStoreCondition:
        """Begin a generation, if none is, and work in what is there."""
        await self.keeper.begin(generation, is_rebuilding=is_rebuilding)
        condition = await self.keeper.look()
        assert condition.generation is not None
        self.keeper.adopt(condition, generation=condition.generation)
        return condition


Connect = Callable[[], Peer]
Erase = Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", "redis"])
def server(request: pytest.FixtureRequest) -> InMemoryShadowServer | str:
    """Where the store is: in memory, or a database of the real server that nobody else uses, for it is emptied."""
    if request.param == "memory":
        return InMemoryShadowServer()
    url: str = request.getfixturevalue("shadow_url")
    return url.replace("db=0", "db=3")


@pytest_asyncio.fixture
async def connect(server: InMemoryShadowServer | str) -> AsyncIterator[Connect]:
    """Makes processes that share one empty store, in memory or for real."""
    if isinstance(server, InMemoryShadowServer):
        yield lambda: memory_peer(InMemoryShadowStore(server))
        return
    stores: list[ShadowStore] = []

    def connect() -> Peer:
        stores.append(ShadowStore(server, StoreGate("shadow")))
        return redis_peer(stores[-1])

    await empty(server)
    yield connect
    for store in stores:
        await store.close()


@pytest.fixture
def erase(server: InMemoryShadowServer | str) -> Erase:
    """Takes everything out of the store, as FLUSHALL does."""

    async def erase() -> None:
        if isinstance(server, InMemoryShadowServer):
            server.flush()
        else:
            await empty(server)

    return erase


def memory_peer(store: InMemoryShadowStore) -> Peer:
    return Peer(
        InMemoryShadowRepository(store, max_backlog_bytes=MAX_BACKLOG_BYTES),
        InMemoryShadowStoreKeeper(store),
        InMemoryChangeStream(store, claim_seconds=CLAIM_SECONDS),
        InMemoryShadowInventory(store.server),
    )


def redis_peer(store: ShadowStore) -> Peer:
    return Peer(
        RedisShadowRepository(store, max_backlog_bytes=MAX_BACKLOG_BYTES),
        RedisShadowStoreKeeper(store),
        RedisChangeStream(store, claim_seconds=CLAIM_SECONDS),
        RedisShadowInventory(store),
    )


async def empty(url: str) -> None:
    """Take away every key of the platform, which is what FLUSHALL does, without an administrator."""
    store = ShadowStore(url, StoreGate("shadow"))
    async for key in store.reads.scan_iter("iotsphere:*"):
        await store.reads.delete(key)
    await store.close()


@pytest_asyncio.fixture
async def peer(connect: Connect) -> Peer:
    peer = connect()
    await peer.adopt()
    return peer


@pytest.fixture
def shadows(peer: Peer) -> ShadowRepository:
    return peer.shadows
