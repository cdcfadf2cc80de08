"""A disk without room: readings are refused, what was acknowledged is there, and all is well once there is room."""

import secrets
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest
import pytest_asyncio

from tests.faults.site import eventually
from tests.faults.small_disk import SmallDisk, small_disk
from tests.faults.telemetry_scene import TelemetryScene, telemetry_scene

# What the stores need, and some room beyond it.
MEBIBYTES = 700
LONGEST_SECONDS = 3.0


@pytest.fixture(scope="module")
def disk() -> Iterator[SmallDisk]:
    with small_disk(MEBIBYTES) as disk:
        yield disk


@pytest_asyncio.fixture(scope="module")
async def scene(disk: SmallDisk) -> AsyncIterator[TelemetryScene]:
    async with telemetry_scene(seed=3, within=disk.path) as scene:
        yield scene


async def test_a_full_disk_costs_nothing_that_was_acknowledged_and_heals_by_itself(
    scene: TelemetryScene, disk: SmallDisk
) -> None:
    recorder = scene.recorder

    async def fill_up() -> None:
        before = recorder.refused

        async def is_refused() -> bool:
            # Room is found again and again while the database tidies up.
            disk.fill()
            return recorder.refused >= before + 20

        await eventually(is_refused, within=60)
        disk.clear()
        await scene.come_back()

    await recorder.record_through(fill_up, fill_up)

    await recorder.check()


async def test_what_is_stored_can_be_read_while_nothing_more_can_be_written(
    scene: TelemetryScene, disk: SmallDisk
) -> None:
    recorder = scene.recorder
    site, device = recorder.site, recorder.devices[0]
    times = count(1_500_000_000_000)

    async def send() -> int:
        # Nothing that could be packed into a room that is there.
        readings = [{"ts": next(times), "values": {"noise": secrets.token_hex(2_000)}} for _ in range(200)]
        began = time.monotonic()
        answer = await site.http.post(device, headers=site.headers, json=readings)
        assert time.monotonic() - began < LONGEST_SECONDS
        return answer.status_code

    async def is_refused() -> bool:
        disk.fill()
        return await send() == 503

    for path in ("", "?interval=1h", "?max_points=10", "/latest", "/ledger"):
        await eventually(is_refused, within=60)
        answer = await site.http.get(device + path, headers=site.headers)
        assert answer.status_code == 200, answer.text
    store = (await site.http.get("/health/ready")).json()["stores"]["telemetry"]
    assert store["status"] == "up"
    assert "no room left on its disk" in store["detail"]

    disk.clear()

    async def is_stored() -> bool:
        return await send() == 201

    await eventually(is_stored, within=10)
