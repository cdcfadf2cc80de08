"""Classes that come, change and go while readings are written: a point has one place, and is accounted for once."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.intervals import Interval
from iotsphere.telemetry.model import Counts, SeriesQuery
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from iotsphere.telemetry.retention import Scope
from iotsphere.telemetry.retention_classes import RetentionService
from iotsphere.telemetry.service import TelemetryService
from repositories.availability import StoreGate
from repositories.telemetry.unit_of_work import SqlAlchemyKeepingUnitOfWork
from tests.fakes.identity import ManualClock

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
# Nothing that is sent is older, so that nothing expires.
RAW_DAYS = 60
ROUNDS, READINGS, METRICS, CLASSES = 40, 5, 6, 5
PATTERNS = ("m0", "m*", "?1", "*2", "m3*", "*")
DAY = timedelta(days=1)


class Platform:
    """Two processes whose clocks are half a day apart, and each of which remembers for itself what it was told."""

    def __init__(self, unit_of_work: TelemetryUnitOfWorkFactory, seed: int) -> None:
        self.device_id = DeviceId(uuid4())
        self.clocks = [ManualClock(NOON), ManualClock(NOON + DAY / 2)]
        self.processes = [TelemetryService(unit_of_work=unit_of_work, clock=clock) for clock in self.clocks]
        self.retention = RetentionService(unit_of_work=unit_of_work, clock=self.clocks[0])
        self.counted = Counts()
        self._random = random.Random(seed)  # noqa: S311  # only to be repeatable

    async def pass_a_while(self) -> None:
        """Write in both, from two connections each, while rules change; then time goes on."""
        pairs = list(zip(self.processes, self.clocks, strict=True))
        await asyncio.gather(self._change_rules(), *(self._write(*pair) for pair in [*pairs, *pairs]))
        # In between, for no transaction is under way for days.
        for clock in self.clocks:
            clock.now += DAY / 4

    async def _write(self, process: TelemetryService, clock: ManualClock) -> None:
        report = await process.record_readings(device_id=self.device_id, document=self._readings(clock()))
        self.counted += report.counts

    def _readings(self, now: datetime) -> list[dict[str, Any]]:
        # Of few times, so that most are met again, in other company.
        times = [now + self._random.randint(-40, 8) * DAY / 8 for _ in range(READINGS)]
        return [
            {
                "ts": ts.isoformat(),
                "values": {
                    f"m{number}": number
                    for number in self._random.sample(range(METRICS), self._random.randint(1, METRICS))
                },
            }
            for ts in times
        ]

    async def _change_rules(self) -> None:
        name = f"class-{self._random.randrange(CLASSES)}"
        scope = Scope(metrics=self._random.choice(PATTERNS), priority=self._random.randrange(3))
        await self.retention.redefine_class(name=name, raw_days=RAW_DAYS, scope=scope)
        if self._random.random() < 0.3:
            await self.retention.remove_class(name=name)

    async def shown(self) -> list[tuple[str, datetime]]:
        page = await self.processes[0].read_points(query=SeriesQuery(self.device_id, 50_000))
        return [(point.metric, point.ts) for points in page.series.values() for point in points]


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_the_rules_become_meanwhile_a_point_is_stored_once(
    unit_of_work: TelemetryUnitOfWorkFactory, engine: AsyncEngine, gate: StoreGate, seed: int
) -> None:
    platform = Platform(unit_of_work, seed)

    for _ in range(ROUNDS):
        await platform.pass_a_while()

    held: list[tuple[str, datetime]] = []
    used: set[int] = set()
    async with SqlAlchemyKeepingUnitOfWork(engine, gate) as keeping:
        for number in range(CLASSES + 1):
            async for part in keeping.chunks.read(NOON - 40 * DAY, NOON + 40 * DAY, number=number):
                own = [each for each in part if each.device_id == platform.device_id]
                held += [(metric, reading.ts) for reading in own for metric in reading.values]
                used |= {number} if own else set()
    assert len(held) == len(set(held)) == platform.counted.stored
    assert sorted(await platform.shown()) == sorted(held)
    assert len(used) > 1
    ledger = await platform.processes[0].read_ledger(
        device_id=platform.device_id, interval=Interval.parse("1d"), limit=1000
    )
    assert sum((entry.counts for entry in ledger.items), Counts()) == platform.counted
