"""Whoever keeps latest values sees that somebody is about to commit others, and holds nobody up."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from secrets import token_hex
from typing import Any
from uuid import uuid4

import msgspec

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Reading, Selection
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from repositories.availability import StoreGate
from repositories.latest.store import RedisLatestStore
from tests.factories.latest import build_latest

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def reading(device_id: DeviceId, number: int) -> Reading:
    return Reading(device_id, NOON + timedelta(seconds=number % 97), {"a": number, f"m{number % 3}": number})


async def test_a_device_is_not_at_rest_while_somebody_writes(unit_of_work: TelemetryUnitOfWorkFactory) -> None:
    device_id = DeviceId(uuid4())
    async with unit_of_work() as uow:
        await uow.points.append([reading(device_id, 0)], replace=False)
        async with unit_of_work() as other:
            assert not await other.epochs.is_at_rest(device_id)
        await uow.commit()
    async with unit_of_work() as uow:
        await uow.points.append([reading(device_id, 1)], replace=False)
        async with unit_of_work() as other:
            assert not await other.epochs.is_at_rest(device_id)
    async with unit_of_work() as uow:
        assert await uow.epochs.is_at_rest(device_id)
        async with unit_of_work() as other:
            assert await other.epochs.is_at_rest(device_id)


async def test_two_processes_that_write_and_read_at_once_agree_with_the_database(
    unit_of_work: TelemetryUnitOfWorkFactory, shadow_url: str
) -> None:
    device_ids = [DeviceId(uuid4()) for _ in range(3)]
    stores = [
        RedisLatestStore(shadow_url, StoreGate("latest"), new_token=partial(token_hex, 8), answer_seconds=5)
        for _ in range(2)
    ]
    processes = [build_latest(unit_of_work, store) for store in stores]

    async def live(number: int) -> None:
        latest, intake = processes[number % 2]
        device_id = device_ids[number % 3]
        for step in range(12):
            if step % 4 == 3:
                await latest.read_latest(device_id=device_id)
                continue
            async with intake() as uow:
                if step % 5 == 4:
                    begin = NOON + timedelta(seconds=number)
                    selection = Selection(device_id, ("a",), begin, begin + timedelta(seconds=40))
                    await uow.points.remove(selection, limit=1000)
                else:
                    replaced = step % 2 == 0
                    await uow.points.append([reading(device_id, 31 * number + step)], replace=replaced)
                await uow.commit()
            # What is committed is shown, or something later of another.
            await latest.read_latest(device_id=device_id)

    async def shown(place: int, device_id: DeviceId) -> dict[str, Any]:
        found = msgspec.json.decode(await processes[place][0].read_latest(device_id=device_id))
        return {metric: each["value"] for metric, each in found.items()}

    await asyncio.gather(*map(live, range(6)))

    for device_id in device_ids:
        async with unit_of_work() as uow:
            stored = {point.metric: point.value for point in await uow.points.latest(device_id, None)}
        for _ in range(3):
            assert await shown(0, device_id) == await shown(1, device_id) == stored
    for store in stores:
        await store.close()
