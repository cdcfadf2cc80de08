"""Chunks and retention classes: the same on the double and on both engines."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.errors import RetentionClassNotFoundError
from iotsphere.telemetry.model import EARLIEST, Order, Reading, Selection
from iotsphere.telemetry.ports import KeepingUnitOfWorkFactory, RollupUnitOfWorkFactory, TelemetryUnitOfWorkFactory
from repositories.availability import StoreGate
from repositories.telemetry import latest
from repositories.telemetry.unit_of_work import (
    SqlAlchemyKeepingUnitOfWork,
    SqlAlchemyRollupUnitOfWork,
    SqlAlchemyTelemetryUnitOfWork,
)
from tests.contract.telemetry.compression import CompressingTelemetryUnitOfWork
from tests.contract.telemetry.stale_hours import make_stale
from tests.fakes.telemetry import (
    InMemoryKeepingUnitOfWork,
    InMemoryRollupUnitOfWork,
    InMemoryTelemetryUnitOfWork,
    TelemetryData,
)

# Of which no other test has readings.
FIRST, SECOND, THIRD = (datetime(2003, month, 15, tzinfo=UTC) for month in (2, 5, 8))
END = datetime(2003, 12, 1, tzinfo=UTC)


@dataclass
class Store:
    unit_of_work: TelemetryUnitOfWorkFactory
    keeping: KeepingUnitOfWorkFactory
    made_of: TelemetryData | AsyncEngine

    async def fill(self, device_id: DeviceId, *times: datetime) -> None:
        async with self.unit_of_work() as uow:
            await uow.points.append([Reading(device_id, ts, {"a": 1}) for ts in times], replace=False)
            await uow.commit()

    async def drop(self, moment: datetime) -> None:
        """Drop the readings of the chunk that the moment lies in."""
        async with self.keeping() as keeping:
            for chunk in await keeping.chunks.list(before=END):
                if chunk.start <= moment < chunk.end:
                    await keeping.chunks.remove(chunk)

    async def times(self, device_id: DeviceId) -> list[datetime]:
        selection = Selection(device_id, None, EARLIEST, END)
        async with self.unit_of_work() as uow:
            points = await uow.points.range(selection, order=Order.ASCENDING, after=None, limit=100)
        return [point.ts for point in points]


@pytest.fixture(params=["memory", "timescaledb", "partitions", "compressed"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        data = TelemetryData()
        return Store(partial(InMemoryTelemetryUnitOfWork, data), partial(InMemoryKeepingUnitOfWork, data), data)
    engine: AsyncEngine = request.getfixturevalue(f"{request.param}_engine")
    gate = StoreGate("telemetry")
    opened = CompressingTelemetryUnitOfWork if request.param == "compressed" else SqlAlchemyTelemetryUnitOfWork
    return Store(
        partial(opened, engine, gate),
        partial(SqlAlchemyKeepingUnitOfWork, engine, gate),
        engine,
    )


@pytest.fixture(autouse=True)
def _nothing_is_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let latest values be looked for as those that lie far back."""
    monkeypatch.setattr(latest, "MOST_READINGS", 0)


@pytest.fixture
def rollups(store: Store) -> RollupUnitOfWorkFactory:
    if isinstance(store.made_of, TelemetryData):
        return partial(InMemoryRollupUnitOfWork, store.made_of)
    return partial(SqlAlchemyRollupUnitOfWork, store.made_of, StoreGate("telemetry"))


@pytest_asyncio.fixture(autouse=True)
async def _emptied(store: Store) -> AsyncIterator[None]:
    yield
    async with store.keeping() as keeping:
        for chunk in await keeping.chunks.list(before=END):
            if chunk.start >= FIRST - timedelta(days=31):
                await keeping.chunks.remove(chunk)


async def test_one_claims_the_chunks_at_a_time(store: Store) -> None:
    async with store.keeping() as keeping:
        assert await keeping.chunks.claim()
        async with store.keeping() as other:
            assert not await other.chunks.claim()

    async with store.keeping() as keeping:
        assert await keeping.chunks.claim()


async def test_a_claim_ends_with_whoever_made_it(store: Store) -> None:
    async def break_off() -> None:
        async with store.keeping() as keeping:
            await keeping.chunks.claim()
            raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        await break_off()

    async with store.keeping() as keeping:
        assert await keeping.chunks.claim()


async def test_the_chunks_that_have_ended_by_a_time_are_listed_the_oldest_first(
    store: Store, device_id: DeviceId
) -> None:
    await store.fill(device_id, THIRD, FIRST, SECOND)

    async with store.keeping() as keeping:
        every = [chunk for chunk in await keeping.chunks.list(before=END) if chunk.end > FIRST - timedelta(days=31)]
        assert [ts for chunk in every for ts in (FIRST, SECOND, THIRD) if chunk.start <= ts < chunk.end] == [
            FIRST,
            SECOND,
            THIRD,
        ]
        middle = every[1]
        assert [chunk for chunk in await keeping.chunks.list(before=middle.end) if chunk in every] == every[:2]
        just_before = middle.end - timedelta(microseconds=1)
        assert [chunk for chunk in await keeping.chunks.list(before=just_before) if chunk in every] == every[:1]


async def test_the_latest_is_of_readings_that_are_there_whatever_figures_outlive_them(
    store: Store, rollups: RollupUnitOfWorkFactory, device_id: DeviceId
) -> None:
    async def roll_up() -> None:
        while True:
            async with rollups() as uow:
                hours = await uow.rollups.list(before=END, limit=100)
                if not hours:
                    return
                await uow.rollups.save(hours)
                await uow.commit()

    async def latest_times() -> list[datetime]:
        async with store.unit_of_work() as uow:
            return [point.ts for point in await uow.points.latest(device_id, None)]

    await store.fill(device_id, FIRST, SECOND, THIRD)
    await roll_up()
    for dropped, left in ((THIRD, [SECOND]), (SECOND, [FIRST])):
        await store.drop(dropped)
        assert await latest_times() == left

    # As a restore does, of which the figures are worked out again.
    await store.fill(device_id, SECOND)
    for _ in range(2):
        assert await latest_times() == [SECOND]
        await roll_up()
    for dropped, left in ((FIRST, [SECOND]), (SECOND, [])):
        await store.drop(dropped)
        assert await latest_times() == left


async def test_a_chunk_goes_with_all_its_readings_and_no_others(store: Store, device_id: DeviceId) -> None:
    await store.fill(device_id, FIRST, SECOND, SECOND + timedelta(microseconds=1), THIRD)

    async with store.keeping() as keeping:
        (chunk,) = [chunk for chunk in await keeping.chunks.list(before=END) if chunk.start <= SECOND < chunk.end]
        await keeping.chunks.remove(chunk)
        assert chunk not in await keeping.chunks.list(before=END)

    assert await store.times(device_id) == [FIRST, THIRD]
    await store.fill(device_id, SECOND)
    assert await store.times(device_id) == [FIRST, SECOND, THIRD]


async def test_a_chunk_is_settled_when_no_hour_of_it_is_stale(store: Store, device_id: DeviceId) -> None:
    await store.fill(device_id, FIRST, SECOND)
    await make_stale(store.made_of, FIRST)

    async with store.keeping() as keeping:
        first, second = [
            chunk
            for chunk in await keeping.chunks.list(before=END)
            if any(chunk.start <= ts < chunk.end for ts in (FIRST, SECOND))
        ]
        assert not await keeping.chunks.is_settled(first)
        assert await keeping.chunks.is_settled(second)


async def test_an_hour_that_was_put_off_keeps_no_chunk(
    store: Store, rollups: RollupUnitOfWorkFactory, device_id: DeviceId
) -> None:
    await store.fill(device_id, FIRST)
    await make_stale(store.made_of, FIRST)
    async with rollups() as uow:
        await uow.rollups.put_off(await uow.rollups.list(before=FIRST, limit=10))
        await uow.commit()

    async with store.keeping() as keeping:
        [chunk] = [each for each in await keeping.chunks.list(before=END) if each.start <= FIRST < each.end]
        assert await keeping.chunks.is_settled(chunk)


async def test_room_can_be_made_again_and_again(store: Store, device_id: DeviceId) -> None:
    for _ in range(2):
        async with store.unit_of_work() as uow:
            await uow.points.prepare([FIRST, SECOND])
            await uow.commit()

    await store.fill(device_id, FIRST, SECOND)
    assert await store.times(device_id) == [FIRST, SECOND]


async def test_what_is_said_of_a_class_is_kept(store: Store) -> None:
    async with store.unit_of_work() as uow:
        present = await uow.retention.get("default", for_update=True)
        changed = replace(present, raw_days=30, dropped_before=FIRST, changed_at=SECOND, version=present.version + 1)
        await uow.retention.save(changed)
        assert await uow.retention.get("default") == changed

    async with store.unit_of_work() as uow:
        assert await uow.retention.get("default") == present
        with pytest.raises(RetentionClassNotFoundError):
            await uow.retention.get("other")
