"""Workers are killed in the middle of archiving and of dropping: the next one finishes, and nothing is lost."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.cli.doctor import examine
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.findings import Finding
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.localstack.stack import LocalStack, create_database
from iotsphere.telemetry.archive import ArchiveService
from iotsphere.telemetry.archived import ArchivedDay
from iotsphere.telemetry.model import EARLIEST, Order, Point, Reading, Selection
from iotsphere.telemetry.retention import RetentionClass, Scope
from iotsphere.telemetry.retention_rules import IntakeTerms
from iotsphere.telemetry.service import TelemetryService
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.telemetry.archive_files import ParquetArchiveFiles
from repositories.telemetry.reading import create_telemetry_engine
from repositories.telemetry.unit_of_work import SqlAlchemyKeepingUnitOfWork, SqlAlchemyTelemetryUnitOfWork
from tests.faults.deployment import Deployment
from tests.faults.site import START_SECONDS, eventually

# A metric and a time.
Key = tuple[str, datetime]

CLAIMS = sa.text("""
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")
# Each is of two classes, and so in two files.
DAYS, READINGS_OF_A_DAY, CLASSES = 20, 50, 2
READ = sa.text("SELECT count(*) FROM readings")
ARE_LEFT = sa.text("SELECT EXISTS (SELECT FROM readings)")
WAITING = sa.text("""
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
""")


@dataclass
class Archiving:
    """A store of which twenty days are to be archived and dropped, and a worker process that does it."""

    deployment: Deployment
    engine: AsyncEngine
    folder: Path
    device_id: DeviceId

    def __post_init__(self) -> None:
        gate = StoreGate("telemetry")
        self.unit_of_work = partial(SqlAlchemyTelemetryUnitOfWork, self.engine, gate)
        self.keeping = partial(SqlAlchemyKeepingUnitOfWork, self.engine, gate)
        self.service = ArchiveService(
            unit_of_work=self.unit_of_work,
            keeping=self.keeping,
            files=ParquetArchiveFiles(self.folder),
            clock=utc_now,
        )

    async def fill(self) -> None:
        """Store readings of the first days of one chunk, whichever that is."""
        async with self.unit_of_work() as uow:
            old = utc_now() - timedelta(days=100)
            await uow.points.append([Reading(self.device_id, old, {"b": 0})], replace=False)
            await uow.commit()
        async with self.keeping() as keeping:
            [chunk] = await keeping.chunks.list(before=utc_now())
        async with self.unit_of_work() as uow:
            await uow.points.remove(Selection(self.device_id, None, chunk.start, chunk.end), limit=10)
            present = await uow.retention.get("default")
            kept = replace(present, raw_days=30, archive_days=4000, changed_at=EARLIEST)
            await uow.retention.save(kept)
            # Behind the default class by name.
            modes = RetentionClass("modes", changed_at=EARLIEST, number=1, rules=1, scope=Scope(metrics="mode"))
            await uow.retention.add(replace(modes, raw_days=30, archive_days=4000))
            for day in range(DAYS):
                start = chunk.start + timedelta(days=day)
                readings = [
                    Reading(self.device_id, start + timedelta(minutes=number), {"a": number, "mode": "heat"})
                    for number in range(READINGS_OF_A_DAY)
                ]
                await uow.points.append(readings, replace=False, terms=IntakeTerms(utc_now()))
            await uow.commit()
        async with self.engine.begin() as connection:
            # As if the figures had been worked out.
            await connection.execute(sa.text("DELETE FROM stale_hours"))

    async def points(self) -> list[Point]:
        selection = Selection(self.device_id, None, EARLIEST, utc_now())
        async with self.unit_of_work() as uow:
            return await uow.points.range(selection, order=Order.ASCENDING, after=None, limit=100_000)

    async def remove(self, metric: str) -> None:
        telemetry = TelemetryService(unit_of_work=self.unit_of_work, clock=utc_now)
        async for _ in telemetry.remove_points(device_id=self.device_id, metrics=(metric,)):
            pass

    async def wrong_findings(self) -> list[Finding]:
        """Ask the doctor."""
        findings = await examine(self.deployment.settings, None, hide_progress=True)
        return [each for each in findings if each.subject in {"telemetry", "archive"} and not each.is_well]

    async def days(self) -> list[ArchivedDay]:
        return await self.service.list_days(start=EARLIEST, end=utc_now())

    async def held(self) -> Counter[Key]:
        """Give what is in the store or in a file that the catalogue names; how often does not matter."""
        found = Counter((point.metric, point.ts) for point in await self.points())
        files = ParquetArchiveFiles(self.folder)
        for archived in await self.days():
            async for readings in files.read(archived.day, archived.file):
                found.update((metric, reading.ts) for reading in readings for metric in reading.values)
        return found

    async def kill_worker_when(self, check: Callable[[], Awaitable[bool]]) -> None:
        """Let one work while somebody reads, so that dropping has to wait, and kill it in what it does then."""
        async with self.engine.connect() as reader:
            await reader.execute(READ)

            async def is_time() -> bool:
                # A session that is idle in its transaction is ended.
                await reader.execute(sa.text("SELECT 1"))
                return await check()

            await self._work_until(is_time)
        # The server ends a session when what it was told to do is done.
        await eventually(self._is_unclaimed, within=START_SECONDS)

    async def is_dropping(self, *, after_days: int) -> bool:
        if len(await self.days()) < after_days:
            return False
        async with self.engine.connect() as observer:
            return bool(await observer.scalar(WAITING))

    async def _is_unclaimed(self) -> bool:
        async with self.engine.connect() as observer:
            return not await observer.scalar(CLAIMS)

    async def work_until_dropped(self) -> None:
        """Let one work until everything is dropped, and no file is there but those of the catalogue."""

        async def is_done() -> bool:
            async with self.engine.connect() as observer:
                if await observer.scalar(ARE_LEFT):
                    return False
            async with self.unit_of_work() as uow:
                is_waiting = await uow.removals.find_oldest() is not None
            named = {archived.file.name for archived in await self.days()}
            return not is_waiting and {path.name for path in self.folder.glob("*/*")} == named

        await self._work_until(is_done)
        await eventually(self._is_unclaimed, within=START_SECONDS)

    async def _work_until(self, check: Callable[[], Awaitable[bool]]) -> None:
        self.deployment.start("worker")
        try:
            await eventually(check, within=START_SECONDS)
        finally:
            await asyncio.to_thread(self.deployment.kill, "worker")

    async def has_written(self, at_least: int, *, beside: AbstractSet[Path] = frozenset()) -> bool:
        return len(self.files() - beside) >= at_least

    def files(self) -> set[Path]:
        return {path for path in self.folder.glob("*/*") if path.suffix == ".parquet"}


@pytest_asyncio.fixture(params=["timescaledb", "partitions"])
async def archiving(
    request: pytest.FixtureRequest, stack: LocalStack, deployment: Deployment, tmp_path: Path
) -> AsyncIterator[Archiving]:
    name = f"killed_{request.param}_{uuid4().hex[:8]}"
    dsn = await create_database(stack, name, timescaledb=request.param == "timescaledb")
    upgrade("telemetry", dsn)
    settings = replace(deployment.settings, telemetry_dsn=dsn, archive_dir=tmp_path / "archive")
    engine = create_telemetry_engine(dsn)
    archiving = Archiving(Deployment(settings, {}), engine, tmp_path / "archive", DeviceId(uuid4()))
    await archiving.fill()
    yield archiving
    await engine.dispose()


async def test_nothing_is_lost_and_nothing_comes_back_whenever_a_worker_is_killed(archiving: Archiving) -> None:
    before = await archiving.points()
    every = set(await archiving.held())
    assert len(before) == len(every) == 2 * DAYS * READINGS_OF_A_DAY

    for is_time in (
        partial(archiving.has_written, 9),
        partial(archiving.is_dropping, after_days=DAYS),
        partial(archiving.has_written, DAYS + 5),
    ):
        await archiving.kill_worker_when(is_time)
        assert set(await archiving.held()) == every
    await archiving.work_until_dropped()
    assert await archiving.held() == Counter(every)
    assert len(await archiving.days()) == CLASSES * DAYS
    assert await archiving.wrong_findings() == []

    await archiving.remove("a")
    await archiving.kill_worker_when(partial(archiving.has_written, 7, beside=archiving.files()))
    await archiving.work_until_dropped()
    assert {metric for metric, _ in await archiving.held()} == {"mode"}
    assert await archiving.wrong_findings() == []

    await archiving.service.restore_days(start=EARLIEST, end=utc_now(), tell=lambda *_: None)
    assert await archiving.points() == [point for point in before if point.metric == "mode"]
