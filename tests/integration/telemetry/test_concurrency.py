"""Requests that write the same points at once: each point is stored once, and the counters add up."""

import asyncio
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from secrets import token_urlsafe
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.intervals import Interval
from iotsphere.telemetry.model import Counts, Point, Selection, SeriesQuery
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from iotsphere.telemetry.service import TelemetryService

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = Interval.parse("1d")
months = count()


@pytest.fixture
def service(unit_of_work: TelemetryUnitOfWorkFactory) -> TelemetryService:
    return TelemetryService(unit_of_work=unit_of_work, clock=lambda: NOW)


@pytest.fixture
def device_id() -> DeviceId:
    return DeviceId(uuid4())


def reading(ts: datetime, **values: Any) -> dict[str, Any]:
    return {"ts": ts.isoformat(), "values": values}


async def stored(service: TelemetryService, device_id: DeviceId) -> list[Point]:
    page = await service.read_points(query=SeriesQuery(device_id, 50_000))
    return [point for points in page.series.values() for point in points]


async def ledger(service: TelemetryService, device_id: DeviceId) -> Counts:
    (entry,) = (await service.read_ledger(device_id=device_id, interval=DAY, limit=10)).items
    return entry.counts


@pytest.mark.parametrize("replaces", [False, True])
async def test_eight_requests_with_the_same_points_store_each_once(
    service: TelemetryService, device_id: DeviceId, *, replaces: bool
) -> None:
    readings = [reading(NOW - timedelta(hours=number), a=number, b="x", c=[number]) for number in range(200)]
    shuffled = [random.sample(readings, len(readings)) for _ in range(8)]

    reports = await asyncio.gather(
        *(service.record_readings(device_id=device_id, document=document, replaces=replaces) for document in shuffled)
    )

    assert sum(report.counts.stored for report in reports) == 600
    assert sum(report.counts.duplicates for report in reports) == 7 * 600
    assert len(await stored(service, device_id)) == 600
    assert await ledger(service, device_id) == Counts(stored=600, duplicates=7 * 600)


async def test_of_eight_values_for_one_point_one_is_stored(service: TelemetryService, device_id: DeviceId) -> None:
    documents = [reading(NOW, a=number, b=1) for number in range(8)]

    reports = await asyncio.gather(
        *(service.record_readings(device_id=device_id, document=document) for document in documents)
    )

    outcomes = Counter(report.counts for report in reports)
    assert outcomes == {Counts(stored=2): 1, Counts(duplicates=1, conflicts=1): 7}
    winner = next(number for number, report in enumerate(reports) if report.counts.stored)
    assert [point.value for point in await stored(service, device_id)] == [winner, 1]


async def test_requests_that_overlap_in_every_order_all_succeed(service: TelemetryService) -> None:
    """Locks are taken in the order of the points' keys: there is nothing for two requests to deadlock over."""
    devices = [DeviceId(uuid4()) for _ in range(3)]
    readings = [reading(NOW - timedelta(days=number), **{f"m{number % 7}": number}) for number in range(60)]

    reports = await asyncio.gather(
        *(
            service.record_readings(
                device_id=device_id, document=random.sample(readings, 45), replaces=bool(turn % 2)
            )
            for turn in range(6)
            for device_id in devices
        )
    )

    for number, device_id in enumerate(devices):
        stored_here = sum(report.counts.stored for report in reports[number::3])
        assert stored_here == len(await stored(service, device_id))


async def test_the_first_points_of_a_month_may_come_from_many_at_once(
    service: TelemetryService, engine: AsyncEngine
) -> None:
    """No chunk or partition is there yet: whoever makes it, no point is lost."""
    year = 2001 + next(months)
    times = [datetime(year, month, 1, tzinfo=UTC) - timedelta(microseconds=1) for month in range(1, 13)]
    devices = [DeviceId(uuid4()) for _ in range(8)]

    reports = await asyncio.gather(
        *(
            service.record_readings(
                device_id=device_id, document=[reading(ts, a=1) for ts in random.sample(times, len(times))]
            )
            for device_id in devices
        )
    )

    assert [report.counts for report in reports] == [Counts(stored=12)] * 8
    for device_id in devices:
        assert [point.ts for point in await stored(service, device_id)] == times
    async with engine.connect() as connection:
        children = await connection.scalar(
            sa.text("SELECT count(*) FROM pg_inherits WHERE inhparent = 'readings'::regclass")
        )
        assert children
        # Everything lies in a chunk or partition, nothing beside them.
        assert await connection.scalar(sa.text("SELECT count(*) FROM ONLY readings")) == 0


async def test_what_arrives_while_others_delete_is_stored_or_deleted_and_counted(
    service: TelemetryService, device_id: DeviceId, unit_of_work: TelemetryUnitOfWorkFactory
) -> None:
    moments = [(hour, NOW - timedelta(hours=hour)) for hour in range(120)]
    readings = [reading(moment, a=hour, b="x") for hour, moment in moments]
    await service.record_readings(device_id=device_id, document=readings)

    async def delete(*metrics: str) -> int:
        deleted = 0
        selection: Selection | None = Selection(device_id, metrics, moments[-1][1], NOW)
        while selection is not None:
            async with unit_of_work() as uow:
                removal = await uow.points.remove(selection, limit=7)
                await uow.commit()
            deleted += removal.points
            selection = replace(selection, start=removal.rest) if removal.rest else None
        return deleted

    documents = [[reading(moment, a=hour, c=hour) for hour, moment in moments[first::8]] for first in range(8)]
    deletions = [asyncio.create_task(delete("a")), asyncio.create_task(delete("b", "c"))]
    reports = await asyncio.gather(
        *(service.record_readings(device_id=device_id, document=document) for document in documents)
    )
    deleted = sum(await asyncio.gather(*deletions))

    arrived = 240 + sum(report.counts.stored for report in reports)
    assert arrived - deleted == len(await stored(service, device_id))
    assert deleted >= 238
    assert all(report.counts.conflicts == 0 for report in reports)


async def test_requests_full_of_text_are_stored_and_keep_no_other_device_out(service: TelemetryService) -> None:
    readings = [reading(NOW - timedelta(seconds=number), a=[token_urlsafe(6000)]) for number in range(600)]

    async def send_texts() -> int:
        report = await service.record_readings(device_id=DeviceId(uuid4()), document=readings)
        return report.counts.stored

    async def send_number(number: int) -> int:
        await asyncio.sleep(0.1 * number)
        report = await service.record_readings(device_id=DeviceId(uuid4()), document=reading(NOW, a=number))
        return report.counts.stored

    stored = await asyncio.gather(*(send_texts() for _ in range(12)), *map(send_number, range(20)))

    assert stored == [600] * 12 + [1] * 20
