"""What is too old is dropped while others read and write, whoever breaks off in the middle of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archive import ArchivingService
from iotsphere.telemetry.examination import TelemetryExamination
from iotsphere.telemetry.keeping import KeepingService
from iotsphere.telemetry.model import EARLIEST, Order, Reading, Selection
from iotsphere.telemetry.ports import KeepingUnitOfWorkFactory, TelemetryUnitOfWorkFactory
from iotsphere.telemetry.rollups import RollupService
from repositories.availability import StoreGate
from repositories.telemetry.archive_files import ParquetArchiveFiles
from repositories.telemetry.unit_of_work import SqlAlchemyKeepingUnitOfWork, SqlAlchemyRollupUnitOfWork

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OLD, YOUNG = datetime(2026, 3, 15, tzinfo=UTC), datetime(2026, 11, 15, tzinfo=UTC)
DEADLINE_SECONDS = 10
READ_OLD = sa.text("SELECT count(*) FROM readings WHERE ts < '2026-05-01T00:00Z'")
PARTITIONS = sa.text("SELECT relname FROM pg_class WHERE relname ~ '^readings_00_[0-9_]+$' AND relkind = 'r'")


@dataclass
class Store:
    """A store with a reading of March and one of November, of which those of more than 30 days shall go."""

    engine: AsyncEngine
    unit_of_work: TelemetryUnitOfWorkFactory
    device_id: DeviceId
    gate: StoreGate
    folder: Path | None = None

    @property
    def keeping(self) -> KeepingUnitOfWorkFactory:
        return partial(SqlAlchemyKeepingUnitOfWork, self.engine, self.gate)

    @property
    def worker(self) -> KeepingService:
        archiving = ArchivingService(files=ParquetArchiveFiles(self.folder), clock=lambda: NOW)
        return KeepingService(
            unit_of_work=self.unit_of_work, keeping=self.keeping, archiving=archiving, clock=lambda: NOW
        )

    async def write(self, ts: datetime) -> None:
        async with self.unit_of_work() as uow:
            await uow.points.append([Reading(self.device_id, ts, {"a": 1})], replace=False)
            await uow.commit()

    async def times(self) -> list[datetime]:
        selection = Selection(self.device_id, None, EARLIEST, NOW)
        async with self.unit_of_work() as uow:
            points = await uow.points.range(selection, order=Order.ASCENDING, after=None, limit=100)
        return [point.ts for point in points]

    async def keep_until_done(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await self.has_old():
                with suppress(UnavailableError):
                    await self.worker.keep_readings()

    async def has_old(self) -> bool:
        async with self.keeping() as keeping:
            return bool(await keeping.chunks.list(before=NOW - timedelta(days=31)))


@pytest_asyncio.fixture
async def store(
    engine: AsyncEngine, unit_of_work: TelemetryUnitOfWorkFactory, gate: StoreGate
) -> AsyncIterator[Store]:
    store = Store(engine, unit_of_work, DeviceId(uuid4()), gate)
    async with unit_of_work() as uow:
        present = await uow.retention.get("default")
        await uow.retention.save(replace(present, raw_days=30, changed_at=EARLIEST, dropped_before=EARLIEST))
        await uow.commit()
    await store.write(OLD)
    await store.write(YOUNG)
    async with engine.begin() as connection:
        # As if their figures had been worked out.
        await connection.execute(sa.text("DELETE FROM stale_hours"))
    yield store
    await store.keep_until_done()


@pytest.fixture
def is_partitioned(request: pytest.FixtureRequest) -> bool:
    return "partitions" in request.node.name


async def partitions(store: Store) -> set[str]:
    async with store.engine.connect() as connection:
        return set(await connection.scalars(PARTITIONS))


async def test_room_is_made_for_this_month_and_the_next(store: Store, *, is_partitioned: bool) -> None:
    await store.worker.keep_readings()

    ahead = {"readings_00_2026_11", "readings_00_2026_12"} if is_partitioned else set()
    assert await partitions(store) == ahead
    if is_partitioned:
        # The writer finds it: making it would wait for this lock.
        async with store.engine.connect() as other:
            await other.execute(sa.text("LOCK TABLE readings IN SHARE UPDATE EXCLUSIVE MODE"))
            await store.write(datetime(2026, 12, 1, tzinfo=UTC))


async def test_the_doctor_finds_what_no_worker_has_done(store: Store, *, is_partitioned: bool) -> None:
    later = NOW + timedelta(days=93)

    def examination(now: datetime) -> TelemetryExamination:
        rollups = RollupService(
            unit_of_work=partial(SqlAlchemyRollupUnitOfWork, store.engine, store.gate), clock=lambda: now
        )
        return TelemetryExamination(
            unit_of_work=store.unit_of_work, keeping=store.keeping, rollups=rollups, clock=lambda: now
        )

    await store.worker.keep_readings()
    assert all(finding.is_well for finding in await examination(NOW).examine())

    findings = {finding.check: finding for finding in await examination(later).examine()}
    assert not findings["dropping"].is_well
    assert "class default before 2026-" in findings["dropping"].detail
    room = findings["room"]
    assert room.is_well != is_partitioned
    for name in ("readings_00_2027_02", "readings_00_2027_03", "rollups_1m_00_2027_03", "rollups_1d_00_2027"):
        assert (name in room.detail) == is_partitioned


async def test_several_workers_at_once_drop_it_once(store: Store) -> None:
    await asyncio.gather(*(store.worker.keep_readings() for _ in range(4)))

    assert await store.times() == [YOUNG]
    async with store.unit_of_work() as uow:
        kept = await uow.retention.get("default")
    assert OLD < kept.dropped_before <= NOW - timedelta(days=31)


async def test_while_somebody_reads_it_nobody_else_waits_long(store: Store) -> None:
    async with store.engine.connect() as reader:
        assert await reader.scalar(READ_OLD) == 1
        dropping = asyncio.create_task(store.worker.keep_readings())
        async with store.engine.connect() as observer:
            await until_somebody_waits_for(observer, reader)
        for number in range(5):
            async with asyncio.timeout(1):
                await store.write(YOUNG + timedelta(seconds=number))
                await store.times()
        # What the reader has once seen, its statement may be in the middle of.
        assert not dropping.done() or dropping.exception()
        await reader.rollback()
        await asyncio.wait({dropping})

    error = dropping.exception()
    assert error is None or isinstance(error, UnavailableError)
    await store.worker.keep_readings()
    assert OLD not in await store.times()
    await store.write(YOUNG)


async def test_who_is_killed_while_waiting_for_a_reader_is_followed_by_another(store: Store) -> None:
    async with store.engine.connect() as reader:
        assert await reader.scalar(READ_OLD) == 1
        dropping = asyncio.create_task(store.worker.keep_readings())
        async with store.engine.connect() as observer:
            victim = await until_somebody_waits_for(observer, reader)
            await observer.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": victim})
        await asyncio.wait({dropping})
        assert isinstance(dropping.exception(), UnavailableError)
        store.gate.succeeded()
        await store.write(YOUNG)

    await store.keep_until_done()
    assert await store.times() == [YOUNG]
    assert "readings_00_2026_03" not in await partitions(store)


async def test_who_breaks_off_between_detaching_and_dropping_is_followed_by_another(
    store: Store, *, is_partitioned: bool
) -> None:
    if is_partitioned:
        async with store.engine.begin() as connection:
            await connection.execute(sa.text("ALTER TABLE readings_00 DETACH PARTITION readings_00_2026_03"))
        assert "readings_00_2026_03" in await partitions(store)

    await store.worker.keep_readings()

    assert "readings_00_2026_03" not in await partitions(store)
    assert await store.times() == [YOUNG]


async def until_somebody_waits_for(observer: AsyncConnection, reader: AsyncConnection) -> int:
    """Give the process that waits for the reader's end."""
    pid = await reader.scalar(sa.text("SELECT pg_backend_pid()"))
    waiting = sa.text("SELECT pid FROM pg_stat_activity WHERE :pid = ANY(pg_blocking_pids(pid))")
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (found := await observer.scalar(waiting, {"pid": pid})) is None:
            pass
    return int(found)
