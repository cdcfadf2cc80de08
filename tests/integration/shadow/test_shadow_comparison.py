"""What was done to the stores behind the platform's back is named, and nothing else is, at rest or under load."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.findings import Finding
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.localstack.stack import LocalStack, create_database
from iotsphere.shadow.comparison import ComparisonReport, DriftKind, ShadowComparison, ShadowDrift
from iotsphere.shadow.findings import list_findings
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.mending import JournalMender
from iotsphere.shadow.model import ChangeKind, Shadow, ShadowKey, ShadowPatch
from iotsphere.shadow.recovery import ShadowStoreRecovery
from iotsphere.shadow.service import DeviceShadowService
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.shadow.entries import encode_shadow
from repositories.shadow.inventory import RedisShadowInventory
from repositories.shadow.keeper import RedisShadowStoreKeeper
from repositories.shadow.keys import document_key
from repositories.shadow.probe import BEING_REBUILT, USABLE, RedisShadowProbe
from repositories.shadow.shadows import RedisShadowRepository
from repositories.shadow.store import ShadowStore
from repositories.shadow.stream import RedisChangeStream
from repositories.sql import create_store_engine
from repositories.telemetry.unit_of_work import SqlAlchemyJournalUnitOfWork
from tests.factories.recovery import build_recovery
from tests.fakes.shadow_process import SettableRules
from tests.integration.shadow.conftest import ATTEMPT

KEYS = [ShadowKey(DeviceId(UUID(int=number)), name) for number in range(1, 31) for name in (None, "config", "a:b")]
NAMED = KEYS[4]
BUSY = 8
T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """A platform on real stores of its own."""

    store: ShadowStore
    engine: AsyncEngine
    service: DeviceShadowService
    recovery: ShadowStoreRecovery
    journal: JournalService
    inventory: RedisShadowInventory

    @classmethod
    def on(cls, store: ShadowStore, engine: AsyncEngine) -> "Site":
        unit_of_work = partial(SqlAlchemyJournalUnitOfWork, engine, StoreGate("telemetry"))
        journal = JournalService(unit_of_work=unit_of_work, stream=RedisChangeStream(store))
        recovery = build_recovery(RedisShadowStoreKeeper(store), journal, unit_of_work)
        service = DeviceShadowService(
            shadows=RedisShadowRepository(store),
            recovery=recovery,
            rules=SettableRules(),
            journal=journal,
            unit_of_work=unit_of_work,
            clock=utc_now,
        )
        return cls(store, engine, service, recovery, journal, RedisShadowInventory(store))

    async def write(self, key: ShadowKey, **reported: Any) -> None:
        await self.service.update_shadow(attempt=ATTEMPT, key=key, patch=ShadowPatch({"reported": reported}))

    async def carry(self) -> None:
        while await self.journal.record_next(consumer="worker", wait_seconds=0.01):
            pass

    async def compare(self) -> ComparisonReport:
        unit_of_work = partial(SqlAlchemyJournalUnitOfWork, self.engine, StoreGate("telemetry"))
        comparison = ShadowComparison(inventory=self.inventory, unit_of_work=unit_of_work)
        return await comparison.compare(tell=lambda _: None)

    async def examine(self) -> list[Finding]:
        return list(list_findings(await self.compare(), now=utc_now()))

    async def find(self, key: ShadowKey) -> Shadow:
        shadow = (await self.inventory.find_all([key]))[key].shadow
        assert shadow is not None
        return shadow

    async def put(self, key: ShadowKey, document: bytes) -> None:
        await self.store.reads.set(document_key(key), document)

    async def execute(self, statement: str, **values: Any) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(sa.text(statement), values)


@pytest_asyncio.fixture(scope="module")
async def engine(stack: LocalStack) -> AsyncIterator[AsyncEngine]:
    dsn = await create_database(stack, f"comparison_{uuid4().hex[:8]}", timescaledb=False)
    upgrade("telemetry", dsn)
    engine = create_store_engine(dsn)
    yield engine
    await engine.dispose()


async def empty(store: ShadowStore) -> None:
    async for key in store.reads.scan_iter("iotsphere:*"):
        await store.reads.delete(key)


@pytest_asyncio.fixture
async def site(shadow_url: str, engine: AsyncEngine) -> AsyncIterator[Site]:
    """Shadows at versions 1 and 2, one of them deleted, all in the journal."""
    store = ShadowStore(shadow_url.replace("db=0", "db=6"), StoreGate("shadow"))
    await empty(store)
    site = Site.on(store, engine)
    for table in ("generations", "writers", "changes", "changes_refused", "heads", "requests"):
        await site.execute(f"TRUNCATE shadow_{table}")
    for key in KEYS:
        await site.write(key, count=1, list=[1, 1.0, {}], ü=1e300)
    for key in KEYS[::2]:
        await site.write(key, count=2**53)
    await site.service.delete_shadow(attempt=ATTEMPT, key=KEYS[1])
    await site.carry()
    yield site
    await empty(store)
    await store.close()


async def test_a_platform_that_nobody_tampered_with_is_well(site: Site) -> None:
    findings = await site.examine()

    assert {finding.check: finding.detail for finding in findings} == {
        "generation": "store and journal are in generation 1",
        "backlog": "changes that wait for the journal: 0",
        "agreement": f"shadows that are as the journal knows them: {len(KEYS)}",
    }
    assert all(finding.is_well for finding in findings)


async def remove(site: Site) -> None:
    await site.store.reads.delete(document_key(NAMED))


async def damage(site: Site) -> None:
    await site.put(NAMED, b"1 2\nnot a shadow")


async def damage_the_header(site: Site) -> None:
    await site.put(NAMED, b"1 9\n" + encode_shadow(await site.find(NAMED)))


async def alter(site: Site) -> None:
    shadow = await site.find(NAMED)
    shadow.reported.state["list"] = [1.0, 1, {}]
    await site.put(NAMED, b"1 2\n" + encode_shadow(shadow))


async def set_back(site: Site) -> None:
    first = await site.find(KEYS[3])
    await site.put(NAMED, b"1 1\n" + encode_shadow(first))


async def add(site: Site) -> None:
    await site.put(ShadowKey(DeviceId(UUID(int=99)), "b"), b"1 2\n" + encode_shadow(await site.find(NAMED)))


async def remove_head(site: Site) -> None:
    await site.execute(
        "DELETE FROM shadow_heads WHERE device_id = :id AND name = :name", id=NAMED.device_id, name=NAMED.name
    )


TAMPERED = [
    (remove, ShadowDrift(NAMED, DriftKind.MISSING, None, 2)),
    (damage, ShadowDrift(NAMED, DriftKind.DAMAGED, None, 2)),
    (damage_the_header, ShadowDrift(NAMED, DriftKind.DAMAGED, None, 2)),
    (alter, ShadowDrift(NAMED, DriftKind.ALTERED, 2, 2)),
    (set_back, ShadowDrift(NAMED, DriftKind.OLDER, 1, 2)),
    (add, ShadowDrift(ShadowKey(DeviceId(UUID(int=99)), "b"), DriftKind.UNKNOWN, 2, None)),
    (remove_head, ShadowDrift(NAMED, DriftKind.UNKNOWN, 2, None)),
]


@pytest.mark.parametrize(("tamper", "expected"), TAMPERED)
async def test_what_was_tampered_with_is_named_and_nothing_else(
    site: Site, tamper: Callable[[Site], Awaitable[None]], expected: ShadowDrift
) -> None:
    await tamper(site)

    report = await site.compare()

    assert report.drifts == [expected]
    assert (report.drift_count, report.unrestored, report.unjournalled) == (1, 0, 0)


async def answered(act: Callable[[], Awaitable[T]]) -> T:
    """Repeat what a busy machine was too slow for."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await act()
            except UnavailableError:
                await asyncio.sleep(0.05)


async def test_while_much_is_written_nothing_but_what_was_tampered_with_is_named(site: Site) -> None:
    stop = asyncio.Event()

    async def write(number: int) -> int:
        count = 0
        while not stop.is_set():
            # The same few again and again, and now and then one that is new.
            key = KEYS[5 + number] if count % 5 else ShadowKey(DeviceId(uuid4()))
            await answered(partial(site.write, key, count=count))
            count += 1
        return count

    async def work() -> None:
        while not stop.is_set():
            await answered(partial(site.journal.record_next, consumer="worker", wait_seconds=0.02))

    async with asyncio.TaskGroup() as tasks:
        writing = [tasks.create_task(write(number)) for number in range(BUSY)]
        tasks.create_task(work())
        try:
            reports = [await answered(site.compare) for _ in range(10)]
            await answered(lambda: alter(site))
            tampered = await answered(site.compare)
        finally:
            stop.set()

    assert [(report.drifts, report.unrestored, report.unjournalled) for report in reports] == [([], 0, 0)] * 10
    assert tampered.drifts == [ShadowDrift(NAMED, DriftKind.ALTERED, 2, 2)]
    assert reports[-1].compared > reports[0].compared
    assert sum(task.result() for task in writing) > 10 * BUSY


async def test_an_emptied_store_is_said_to_be_empty_and_rebuilt_to_be_well(site: Site) -> None:
    await empty(site.store)

    lost = await site.compare()
    assert (lost.drift_count, lost.unrestored) == (0, len(KEYS))
    [finding] = [finding for finding in await site.examine() if finding.check == "generation"]
    assert "has lost its data" in finding.detail

    probe = RedisShadowProbe(site.store)
    await site.service.get_shadow(key=NAMED)
    assert await probe.find_remark() == f"{BEING_REBUILT}. {USABLE}"
    keeper = RedisShadowStoreKeeper(site.store)
    await keeper.note_progress(await keeper.look(), share=0.429)
    assert await probe.find_remark() == f"{BEING_REBUILT}, of which 42 % is done. {USABLE}"
    rebuilding = {finding.check: finding for finding in await site.examine()}
    assert rebuilding["generation"].is_well
    assert f"at: 1 of {len(KEYS)}." in rebuilding["rebuild"].detail

    await site.recovery.restore_all(report=lambda *_: None)
    assert await probe.find_remark() is None
    assert all(finding.is_well for finding in await site.examine())


async def test_changes_that_nobody_carries_and_that_were_put_aside_are_told(site: Site) -> None:
    await site.write(NAMED, count=3)
    await site.store.reads.xadd("iotsphere:shadow:unreadable", {"place": "1-1"})
    await site.execute(
        "INSERT INTO shadow_changes_refused (device_id, name, version, change, reason) VALUES (:id, '', 1, '', 'x')",
        id=NAMED.device_id,
    )

    wrong = {finding.check: finding for finding in await site.examine() if not finding.is_well}

    assert wrong.keys() == {"refused", "unreadable", "agreement"}
    assert wrong["agreement"].detail == "Shadows with changes that the journal does not have yet: 1."


async def test_a_journal_that_was_set_back_is_told_what_the_store_holds(site: Site) -> None:
    unit_of_work = partial(SqlAlchemyJournalUnitOfWork, site.engine, StoreGate("telemetry"))
    mender = JournalMender(
        inventory=site.inventory, journal=site.journal, unit_of_work=unit_of_work, recovery=site.recovery
    )
    # Or this process would hand over again what it does not know to be journalled.
    await site.recovery.watch()
    await site.execute("DELETE FROM shadow_changes WHERE version = 2")
    await site.execute("DELETE FROM shadow_heads WHERE version = 2 OR name = 'config'")
    await site.execute("DELETE FROM shadow_generations")

    # However the server spreads them over its pages, this goes through it more than once.
    mended = sum([await mender.mend_next() for _ in range(100)])

    assert mended == len({*KEYS[::2], *KEYS[1::3]})
    assert all(finding.is_well for finding in await site.examine())
    async with unit_of_work() as uow:
        history = await uow.journal.list(KEYS[0], start=None, end=None, limit=9, cursor=None)
    assert [(change.version, change.kind) for change in history.items] == [
        (2, ChangeKind.RESTORED),
        (1, ChangeKind.UPDATED),
    ]
