"""Changes come from the real stream into the real journal, each once, whoever dies on the way."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from uuid import uuid4

import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.localstack.stack import LocalStack, create_database
from iotsphere.shadow.history import ShadowHistoryService
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.model import ShadowKey
from iotsphere.shadow.ports import JournalUnitOfWorkFactory
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.shadow.keeper import RedisShadowStoreKeeper
from repositories.shadow.shadows import RedisShadowRepository
from repositories.shadow.store import ShadowStore
from repositories.shadow.stream import RedisChangeStream
from repositories.sql import create_store_engine
from repositories.telemetry.unit_of_work import SqlAlchemyJournalUnitOfWork
from tests.factories.journal import make_history, reporting
from tests.fakes.journal import QuietRecovery

WORKERS = 3
SHADOWS = 20
VERSIONS = 40


@pytest.fixture
async def store(shadow_url: str) -> AsyncIterator[ShadowStore]:
    """A database of the server that nobody else uses, so that nobody else waits for the journal there."""
    store = ShadowStore(shadow_url.replace("db=0", "db=5"), StoreGate("shadow"))
    keeper = RedisShadowStoreKeeper(store)
    await keeper.begin(1, is_rebuilding=False)
    keeper.adopt(await keeper.look(), generation=1)
    yield store
    await store.close()


@pytest.fixture
async def unit_of_work(stack: LocalStack) -> AsyncIterator[JournalUnitOfWorkFactory]:
    dsn = await create_database(stack, f"journalling_{uuid4().hex[:8]}", timescaledb=False)
    upgrade("telemetry", dsn)
    engine = create_store_engine(dsn)
    yield partial(SqlAlchemyJournalUnitOfWork, engine, StoreGate("telemetry"))
    await engine.dispose()


async def write(store: ShadowStore, key: ShadowKey) -> None:
    shadows = RedisShadowRepository(store)
    for change in make_history(key, [reporting({"count": number}) for number in range(VERSIONS)]):
        assert await shadows.save(change, replacing=change.version - 1, fsynced=False) is not None


async def work(journal: JournalService, consumer: str, writing: asyncio.Task[list[None]]) -> int:
    recorded = 0
    while (count := await journal.record_next(consumer=consumer, wait_seconds=0.05)) or not writing.done():
        recorded += count
    return recorded


async def test_workers_side_by_side_bring_every_change_once_and_those_that_a_dead_one_had_taken(
    store: ShadowStore, unit_of_work: JournalUnitOfWorkFactory
) -> None:
    keys = [ShadowKey(DeviceId(uuid4()), name) for name in [None, "pump"] * (SHADOWS // 2)]
    await asyncio.gather(*(write(store, key) for key in keys[:2]))
    # Somebody takes what is there, and dies.
    stream = RedisChangeStream(store, claim_seconds=0.2)
    assert len(await stream.read("dead", limit=30, wait_seconds=0.1)) == 30

    async def write_all() -> list[None]:
        return await asyncio.gather(*(write(store, key) for key in keys[2:]))

    writing = asyncio.create_task(write_all())
    services = [JournalService(unit_of_work=unit_of_work, stream=stream) for _ in range(WORKERS)]
    recorded = await asyncio.gather(
        *(work(service, f"worker-{place}", writing) for place, service in enumerate(services))
    )
    async with asyncio.timeout(10):
        while (await stream.measure()).length:
            await services[0].record_next(consumer="worker-0", wait_seconds=0.05)

    assert sum(recorded) > 0
    assert (await stream.measure()).size_bytes == 0
    history = ShadowHistoryService(unit_of_work=unit_of_work, stream=stream, recovery=QuietRecovery())
    for key in keys:
        page = await history.list_changes(key=key, start=None, end=None, limit=500, cursor=None)
        assert [change.version for change in page.items] == list(range(VERSIONS, 0, -1))
        was = await history.get_version(key=key, version=VERSIONS // 2)
        assert was.reported.state == {"count": VERSIONS // 2 - 1}
