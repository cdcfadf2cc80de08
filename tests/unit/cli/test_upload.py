"""What happens at the same time, and what must not."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from iotsphere.cli.client import PlatformClient, PlatformError, connect
from iotsphere.cli.upload import BATCH_VALUES, RecordedReading, Uploader
from iotsphere.config import ClientSettings
from tests.fakes.platform_api import EMAIL, PASSWORD, InMemoryPlatform, problem

START = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass
class SlowNetwork:
    """Lets everything else that can run do so while a request is on its way."""

    platform: InMemoryPlatform = field(default_factory=InMemoryPlatform)
    posting: Counter[str] = field(default_factory=Counter)
    most_of_one_device: int = 0
    most_at_once: int = 0

    async def handle(self, request: httpx.Request) -> httpx.Response:
        key = request.headers.get("X-API-Key")
        self.posting[key] += key is not None
        self.most_of_one_device = max(self.most_of_one_device, self.posting[key])
        self.most_at_once = max(self.most_at_once, self.posting.total())
        for _ in range(50):
            await asyncio.sleep(0)
        self.posting[key] -= key is not None
        return self.platform.handle(request)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[PlatformClient]:
        settings = ClientSettings("http://platform", EMAIL, PASSWORD)
        async with connect(settings, transport=httpx.MockTransport(self.handle)) as client:
            yield client


def full_batches(device: str, count: int) -> list[RecordedReading]:
    values = {f"m{number}": 1.0 for number in range(BATCH_VALUES)}
    return [RecordedReading(device, "pump", START + timedelta(seconds=number), values) for number in range(count)]


async def test_the_batches_of_one_device_go_one_after_the_other_through_one_key() -> None:
    network = SlowNetwork()
    async with network.connect() as client:
        uploader = Uploader(client, concurrency=4, key_label="test")
        await uploader.upload(full_batches("a", 6))
    assert network.most_of_one_device == 1
    assert network.platform.count("POST", "/credentials") == 1
    assert len(network.platform.points) == 6 * BATCH_VALUES


async def test_different_devices_post_at_once_but_no_more_than_told() -> None:
    network = SlowNetwork()
    async with network.connect() as client:
        uploader = Uploader(client, concurrency=3, key_label="test")
        await uploader.upload([reading for device in "abcdefgh" for reading in full_batches(device, 1)])
    assert network.most_at_once == 3
    assert len(network.platform.points) == 8 * BATCH_VALUES


async def test_no_more_is_read_ahead_than_can_be_held() -> None:
    network = SlowNetwork()
    ahead: list[int] = []

    def watched(readings: list[RecordedReading]) -> Iterator[RecordedReading]:
        for number, reading in enumerate(readings, 1):
            ahead.append(number - len(network.platform.points) // BATCH_VALUES)
            yield reading

    async with network.connect() as client:
        uploader = Uploader(client, concurrency=2, key_label="test")
        await uploader.upload(watched([reading for device in "abcdefghij" for reading in full_batches(device, 2)]))
    assert max(ahead) <= 2 + 2 + 1


async def test_a_failure_of_one_device_is_the_one_error_and_leaves_no_key_behind() -> None:
    network = SlowNetwork()

    def refuse(request: httpx.Request) -> None:
        if network.platform.count("POST", "/telemetry") == 3:
            network.platform.ahead.append(problem(403, "registry.device.suspended", "The device is suspended."))

    network.platform.seen.append(refuse)
    async with network.connect() as client:
        uploader = Uploader(client, concurrency=2, key_label="test")
        with pytest.raises(PlatformError, match="The device is suspended"):
            await uploader.upload([reading for device in "abcdefgh" for reading in full_batches(device, 1)])
        network.platform.seen.clear()
        await uploader.revoke_keys()
    assert uploader.notes == []


async def test_calls_that_meet_an_expired_token_together_renew_it_once() -> None:
    network = SlowNetwork()
    async with network.connect() as client:
        network.platform.access_token = "another"
        await asyncio.gather(*(client.register_device(str(number), "pump") for number in range(8)))
    assert network.platform.count("POST", "/auth/refresh") == 1
    assert len(network.platform.devices) == 8
