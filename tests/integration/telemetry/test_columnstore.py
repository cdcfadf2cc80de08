"""Chunks are compressed while others read and write: nobody waits long, and all see what there is and no more."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.localstack.stack import LocalStack, create_database
from iotsphere.telemetry.model import Counts, Order, Reading, Selection
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.sql import create_store_engine
from repositories.telemetry.unit_of_work import SqlAlchemyColumnstoreUnitOfWork, SqlAlchemyTelemetryUnitOfWork
from tests.contract.telemetry.compression import skip_unless_columnar

DEADLINE_SECONDS = 30
START = datetime(2026, 3, 10, tzinfo=UTC)
LATER = datetime(2026, 5, 10, tzinfo=UTC)
END = datetime(2026, 8, 1, tzinfo=UTC)
SOURCES = 10
# So many that to compress them takes seconds.
FILL = sa.text("""
INSERT INTO readings
SELECT ts, source, 1, ARRAY[random(), random(), random(), random()], NULL
FROM generate_series(CAST('2026-03-10Z' AS timestamptz), '2026-03-15Z', '10 seconds') AS ts
CROSS JOIN generate_series(1001, 1000 + :sources) AS source
""").bindparams(sources=SOURCES)
AMOUNT = SOURCES * (5 * 8640 + 1)
COUNT = sa.text("SELECT count(*) FROM readings WHERE source > 1000 AND ts < '2026-03-16Z'")
COUNT_OF_DEVICE = sa.text("""
SELECT count(*) FROM readings JOIN sources ON id = source WHERE device_id = :device_id AND ts < '2026-03-16Z'
""")
# Of twenty times, one at least would be seen.
TIMES_MOVED = 100
FIND_SOURCE = sa.text("SELECT id FROM sources WHERE device_id = :device_id")
COUNT_LATER = sa.text("SELECT count(*) FROM readings WHERE source = :source AND ts >= '2026-05-10Z'")
COMPRESSING = sa.text("""
SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE pg_locks.mode = 'ExclusiveLock' AND locktype = 'relation' AND granted AND query LIKE '%PERFORM compress_chunk%'
    AND pid <> pg_backend_pid()
""")
COMPRESS = """
import asyncio, sys
from repositories.availability import StoreGate
from repositories.sql import create_store_engine
from repositories.telemetry.unit_of_work import SqlAlchemyColumnstoreUnitOfWork

async def compress(dsn, name):
    async with SqlAlchemyColumnstoreUnitOfWork(create_store_engine(dsn, command_seconds=60), StoreGate("t")) as uow:
        await uow.columnstore.prepare()
        await uow.columnstore.compress(name)

asyncio.run(compress(*sys.argv[1:]))
"""


@dataclass
class Store:
    dsn: str
    engine: AsyncEngine
    # For what no request waits for.
    patient_engine: AsyncEngine
    gate: StoreGate

    def columnstore(self) -> SqlAlchemyColumnstoreUnitOfWork:
        return SqlAlchemyColumnstoreUnitOfWork(self.patient_engine, self.gate)

    async def due(self) -> list[str]:
        async with self.columnstore() as uow:
            return await uow.columnstore.list(before=END)

    async def compress(self) -> bool:
        async with self.columnstore() as uow:
            await uow.columnstore.prepare()
            (name,) = await uow.columnstore.list(before=END)
            return await uow.columnstore.compress(name)

    async def write(self, device_id: DeviceId, ts: datetime) -> dict[int, Counts]:
        async with SqlAlchemyTelemetryUnitOfWork(self.engine, self.gate) as uow:
            outcomes = await uow.points.append([Reading(device_id, ts, {"a": 1})], replace=False)
            await uow.commit()
        async with self.engine.begin() as connection:
            # As if its figures had been worked out.
            await connection.execute(sa.text("DELETE FROM stale_hours"))
        return outcomes

    async def count(self) -> int:
        async with self.engine.connect() as connection:
            return int(await connection.scalar(COUNT) or 0)


@pytest_asyncio.fixture(scope="module")
async def filled(stack: LocalStack) -> AsyncIterator[Store]:
    dsn = await create_database(stack, "test_columnstore", timescaledb=True)
    upgrade("telemetry", dsn)
    await skip_unless_columnar(dsn)
    engines = create_store_engine(dsn), create_store_engine(dsn, command_seconds=60)
    async with engines[1].begin() as connection:
        await connection.execute(FILL)
    yield Store(dsn, *engines, StoreGate("telemetry"))
    for engine in engines:
        await engine.dispose()


@pytest_asyncio.fixture
async def store(filled: Store) -> AsyncIterator[Store]:
    """A store with one chunk, which is not compressed."""
    yield filled
    async with filled.patient_engine.begin() as connection:
        await connection.execute(
            sa.text("SELECT decompress_chunk(chunk, if_compressed => true) FROM show_chunks('readings') AS chunk")
        )


async def append(store: Store, readings: list[Reading], *, replace: bool = False) -> None:
    """Write readings, and let their figures be worked out."""
    async with SqlAlchemyTelemetryUnitOfWork(store.engine, store.gate) as uow:
        await uow.points.append(readings, replace=replace)
        await uow.commit()
    async with store.engine.begin() as connection:
        await connection.execute(sa.text("DELETE FROM stale_hours"))


async def until_it_is_compressing(observer: AsyncConnection) -> int:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (pid := await observer.scalar(COMPRESSING)) is None:
            await observer.rollback()
    return int(pid)


async def test_who_writes_to_it_goes_first(store: Store) -> None:
    device_id = DeviceId(uuid4())
    compressing = asyncio.create_task(store.compress())
    async with store.engine.connect() as observer:
        await until_it_is_compressing(observer)

    async with asyncio.timeout(DEADLINE_SECONDS):
        # Whoever waited for the whole of it would fail for the lock's time-out, or find it done.
        outcomes = await store.write(device_id, START + timedelta(seconds=1))
        assert not await compressing

    assert outcomes == {}
    assert await store.due() != []
    assert await store.compress()
    assert await store.due() == []
    assert await store.write(device_id, START + timedelta(seconds=1)) == {0: Counts(duplicates=1)}


async def test_who_reads_it_sees_the_same_all_the_time(store: Store) -> None:
    is_over = asyncio.Event()
    before = await store.count()
    seen: list[int] = []

    async def keep_reading() -> None:
        while not is_over.is_set():
            seen.append(await store.count())

    reading = [asyncio.create_task(keep_reading()) for _ in range(2)]
    assert await store.compress()
    seen_before = len(seen)
    await store.count()
    is_over.set()
    await asyncio.gather(*reading)

    assert before >= AMOUNT
    assert seen_before > 2
    assert set(seen) == {before}


async def test_a_backup_goes_first(store: Store) -> None:
    before = await store.count()
    async with store.patient_engine.connect() as backup:
        await backup.execution_options(isolation_level="REPEATABLE READ")
        assert await backup.scalar(COUNT) == before
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert not await store.compress()
        assert await backup.scalar(COUNT) == before

    assert await store.count() == before
    assert await store.compress()
    # Asked on connections that have asked the same before, with the plans of then.
    assert {await store.count() for _ in range(20)} == {before}


async def test_whoever_is_told_to_stop_leaves_nothing_that_goes_on(store: Store) -> None:
    compressing = asyncio.create_task(store.compress())
    async with store.engine.connect() as observer:
        await until_it_is_compressing(observer)

        compressing.cancel()
        await asyncio.wait({compressing})

        await observer.rollback()
        assert await observer.scalar(COMPRESSING) is None
    assert compressing.cancelled()
    assert len(await store.due()) == 1


async def test_whoever_is_killed_is_noticed_soon(store: Store) -> None:
    (name,) = await store.due()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", COMPRESS, store.dsn, name, env=os.environ)
    async with store.engine.connect() as observer:
        await until_it_is_compressing(observer)
        process.send_signal(signal.SIGKILL)
        await process.wait()

        async with asyncio.timeout(DEADLINE_SECONDS):
            while await observer.scalar(COMPRESSING) is not None:
                await observer.rollback()
    # It was not brought to its end instead.
    assert await store.due() == [name]
    assert await store.compress()


async def test_who_has_asked_before_sees_what_comes_later(store: Store) -> None:
    """The server keeps the plans of what is asked often: none may be of a chunk that was compressed or not."""
    device_id, other = DeviceId(uuid4()), DeviceId(uuid4())
    moments = [START + timedelta(minutes=number) for number in range(20)]
    async with store.engine.connect() as reader:
        await reader.execution_options(isolation_level="AUTOCOMMIT")
        await reader.execute(sa.text("SET plan_cache_mode = force_generic_plan"))

        async def seen() -> int:
            return int(await reader.scalar(COUNT_OF_DEVICE, {"device_id": device_id}) or 0)

        for number, ts in enumerate(moments):
            assert await seen() == number
            await store.write(device_id, ts)
            assert await seen() == number + 1
            if number % 3:
                assert await store.compress()
            await store.write(other, ts)
            assert await seen() == number + 1


async def test_whatever_is_written_while_it_is_compressed_again_and_again_is_there_once(store: Store) -> None:
    devices = [DeviceId(uuid4()) for _ in range(3)]
    # Of a chunk of their own, so small that nobody has to give way.
    moments = [LATER + timedelta(seconds=10 * number) for number in range(40)]
    await store.write(devices[0], LATER)
    name = (await store.due())[-1]
    is_over = asyncio.Event()
    compressed = 0

    async def keep_compressing() -> None:
        nonlocal compressed
        async with store.columnstore() as uow:
            await uow.columnstore.prepare()
            while not is_over.is_set():
                compressed += await uow.columnstore.compress(name)

    async def write(device_id: DeviceId, ts: datetime, value: int) -> None:
        while True:
            # Whoever is told that the store is busy sends again.
            with suppress(UnavailableError):
                async with SqlAlchemyTelemetryUnitOfWork(store.engine, store.gate) as uow:
                    await uow.points.append([Reading(device_id, ts, {"a": value})], replace=value > 0)
                    await uow.commit()
                return

    async def keep_writing(device_id: DeviceId) -> None:
        chance = random.Random(device_id.int)  # noqa: S311  # not for secrets
        for value in range(3):
            for ts in chance.sample(moments, len(moments)):
                await write(device_id, ts, value)

    compressing = asyncio.create_task(keep_compressing())
    # Two write each device, the same readings in another order.
    await asyncio.gather(*map(keep_writing, devices * 2))
    is_over.set()
    await compressing

    for device_id in devices:
        async with SqlAlchemyTelemetryUnitOfWork(store.engine, store.gate) as uow:
            selection = Selection(device_id, None, START, END)
            points = await uow.points.range(selection, order=Order.ASCENDING, after=None, limit=100)
        assert [(point.ts, point.value) for point in points] == [(ts, 2.0) for ts in moments]
    assert compressed > 3


async def test_who_reads_while_readings_are_moved_out_of_the_columns_sees_all(store: Store) -> None:
    """Who replaces a reading has a thousand moved; a plan of the moment before must find them nevertheless."""
    device_id = DeviceId(uuid4())
    moments = [LATER + timedelta(days=1, seconds=number) for number in range(900)]
    await append(store, [Reading(device_id, ts, {"a": 0}) for ts in moments])
    name = (await store.due())[-1]
    is_over = asyncio.Event()
    seen: list[int] = []

    async def keep_reading() -> None:
        async with store.engine.connect() as reader:
            await reader.execution_options(isolation_level="AUTOCOMMIT")
            source = await reader.scalar(FIND_SOURCE, {"device_id": device_id})
            while not is_over.is_set():
                seen.append(await reader.scalar(COUNT_LATER, {"source": source}) or 0)

    reading = [asyncio.create_task(keep_reading()) for _ in range(3)]
    compressed = 0
    async with store.columnstore() as uow:
        await uow.columnstore.prepare()
        for number in range(1, TIMES_MOVED + 1):
            compressed += await uow.columnstore.compress(name)
            await append(store, [Reading(device_id, moments[number], {"a": number})], replace=True)
    is_over.set()
    await asyncio.gather(*reading)

    assert compressed > TIMES_MOVED / 2
    assert set(seen) == {len(moments)}
