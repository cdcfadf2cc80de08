"""What is compressed, and what is not: the same on the double and on each engine."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Reading
from iotsphere.telemetry.ports import ColumnstoreUnitOfWorkFactory, TelemetryUnitOfWorkFactory
from iotsphere.telemetry.storage import ChunkContent, StoredChunk
from repositories.availability import StoreGate
from repositories.telemetry.unit_of_work import SqlAlchemyColumnstoreUnitOfWork, SqlAlchemyTelemetryUnitOfWork
from tests.contract.telemetry.stale_hours import make_stale
from tests.fakes.columnstore import InMemoryColumnstoreUnitOfWork
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

FIRST, SECOND = datetime(2004, 2, 15, tzinfo=UTC), datetime(2004, 5, 15, tzinfo=UTC)
END = datetime(2004, 12, 1, tzinfo=UTC)
# An object and a text, and a place that holds nothing between two numbers.
VALUES: list[dict[str, Any]] = [{"a": 1, "b": 2.5, "c": 3}, {"a": 1, "c": "x"}, {"b": {"x": 1}}, {"a": 5, "c": 7}]
POINTS = 8


@dataclass
class Store:
    unit_of_work: TelemetryUnitOfWorkFactory
    columnstore: ColumnstoreUnitOfWorkFactory
    made_of: TelemetryData | AsyncEngine

    async def fill(self, device_id: DeviceId, start: datetime, values: list[dict[str, Any]] = VALUES) -> None:
        """Write a reading a minute, and let their figures be worked out."""
        readings = [Reading(device_id, start + timedelta(minutes=at), held) for at, held in enumerate(values)]
        async with self.unit_of_work() as uow:
            await uow.points.append(readings, replace=False)
            await uow.commit()
        await make_stale(self.made_of)

    async def due(self) -> list[str]:
        async with self.columnstore() as uow:
            return await uow.columnstore.list(before=END)

    async def compress_due(self) -> None:
        async with self.columnstore() as uow:
            await uow.columnstore.prepare()
            for name in await uow.columnstore.list(before=END):
                assert await uow.columnstore.compress(name)

    async def stored(self) -> dict[str, StoredChunk]:
        async with self.columnstore() as uow:
            return {chunk.name: chunk for chunk in await uow.columnstore.find_stored() if chunk.table == "readings"}

    async def count(self, name: str) -> ChunkContent:
        async with self.columnstore() as uow:
            return await uow.columnstore.count(name)


def in_memory(*, can_compress: bool) -> Store:
    data = TelemetryData(can_compress=can_compress)
    return Store(partial(InMemoryTelemetryUnitOfWork, data), partial(InMemoryColumnstoreUnitOfWork, data), data)


def on(engine: AsyncEngine) -> Store:
    gate = StoreGate("telemetry")
    return Store(
        partial(SqlAlchemyTelemetryUnitOfWork, engine, gate),
        partial(SqlAlchemyColumnstoreUnitOfWork, engine, gate),
        engine,
    )


@pytest.fixture(params=["memory", "compressed"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return in_memory(can_compress=True)
    return on(request.getfixturevalue("compressed_engine"))


@pytest.fixture(params=["memory", "partitions"])
def rows_only(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return in_memory(can_compress=False)
    return on(request.getfixturevalue("partitions_engine"))


async def test_an_engine_without_columns_says_so_and_has_nothing_to_compress(
    rows_only: Store, device_id: DeviceId
) -> None:
    await rows_only.fill(device_id, FIRST)

    async with rows_only.columnstore() as uow:
        assert not await uow.columnstore.can_compress()
    assert await rows_only.due() == []
    stored = await rows_only.stored()
    assert stored
    assert not any(chunk.is_compressed for chunk in stored.values())


async def test_readings_and_points_are_counted_wherever_they_are_kept(rows_only: Store, device_id: DeviceId) -> None:
    await rows_only.fill(device_id, FIRST)

    name = next(name for name in await rows_only.stored() if name.endswith("2004_02"))

    before = await rows_only.count(name)
    await rows_only.fill(device_id, FIRST + timedelta(hours=1))
    assert await rows_only.count(name) == ChunkContent(before.readings + len(VALUES), before.points + POINTS)


async def test_one_claims_the_columns_at_a_time(rows_only: Store) -> None:
    async with rows_only.columnstore() as uow:
        assert await uow.columnstore.claim()
        async with rows_only.columnstore() as other:
            assert not await other.columnstore.claim()

    async with rows_only.columnstore() as uow:
        assert await uow.columnstore.claim()


async def test_what_is_compressed_is_the_same_and_is_no_longer_due(store: Store, device_id: DeviceId) -> None:
    await store.compress_due()
    await store.fill(device_id, FIRST)
    await store.fill(device_id, SECOND)
    due = await store.due()
    before = {name: await store.count(name) for name in due}
    assert len(due) == 2

    await store.compress_due()

    assert await store.due() == []
    stored = await store.stored()
    assert [stored[name].is_compressed for name in due] == [True, True]
    assert {name: await store.count(name) for name in due} == before


async def test_only_what_has_ended_by_then_is_due_the_oldest_first(store: Store, device_id: DeviceId) -> None:
    await store.compress_due()
    await store.fill(device_id, SECOND)
    await store.fill(device_id, FIRST)
    older, younger = await store.due()

    async with store.columnstore() as uow:
        assert await uow.columnstore.list(before=FIRST + timedelta(days=45)) == [older]
        assert younger not in await uow.columnstore.list(before=SECOND)


async def test_what_is_written_to_a_compressed_chunk_is_due_again(store: Store, device_id: DeviceId) -> None:
    await store.compress_due()
    await store.fill(device_id, FIRST)
    (name,) = await store.due()
    await store.compress_due()
    before = await store.count(name)

    await store.fill(device_id, FIRST + timedelta(hours=1))

    assert await store.due() == [name]
    after = ChunkContent(before.readings + len(VALUES), before.points + POINTS)
    assert await store.count(name) == after
    await store.compress_due()
    assert await store.due() == []
    assert await store.count(name) == after


async def test_what_figures_are_still_to_be_worked_out_from_is_not_due(store: Store, device_id: DeviceId) -> None:
    await store.compress_due()
    await store.fill(device_id, FIRST)
    await make_stale(store.made_of, FIRST)
    assert await store.due() == []

    await make_stale(store.made_of)
    assert len(await store.due()) == 1
