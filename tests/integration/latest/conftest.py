from collections.abc import AsyncIterator
from functools import partial
from itertools import count
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest_asyncio

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Reading, Selection
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from repositories.availability import StoreGate
from repositories.latest.store import ANSWER_SECONDS, RedisLatestStore
from tests.factories.latest import build_latest
from tests.integration.shadow.conftest import Machine


class LatestPeer:
    """One process of the platform: its way to Redis, and what it knows of the epoch."""

    def __init__(
        self, url: str, unit_of_work: TelemetryUnitOfWorkFactory, *, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self.store = RedisLatestStore(
            url, StoreGate("latest"), new_token=partial(token_hex, 8), answer_seconds=answer_seconds
        )
        ticks = count()
        # A second passes with each look at the clock, so that the epoch is asked for each time.
        self.latest, self.intake = build_latest(unit_of_work, self.store, monotonic=lambda: float(next(ticks)))

    async def append(self, *readings: Reading, replaces: bool = False) -> None:
        async with self.intake() as uow:
            await uow.points.append(readings, replace=replaces)
            await uow.commit()

    async def remove(self, selection: Selection) -> None:
        async with self.intake() as uow:
            await uow.points.remove(selection, limit=1000)
            await uow.commit()

    async def read(self, device_id: DeviceId, *metrics: str) -> dict[str, Any]:
        found = await self.latest.read_latest(device_id=device_id, metrics=metrics or None)
        return {metric: each["value"] for metric, each in msgspec.json.decode(found).items()}

    async def is_kept(self, device_id: DeviceId, *, epoch: int = 1) -> bool:
        try:
            return isinstance(await self.store.find(device_id, None, epoch=epoch), str)
        except UnavailableError:
            return False


@pytest_asyncio.fixture
async def machine() -> AsyncIterator[Machine]:
    with TemporaryDirectory(prefix="latest-") as folder:
        machine = await Machine.boot(Path(folder))
        yield machine
        await machine.stack.stop()
