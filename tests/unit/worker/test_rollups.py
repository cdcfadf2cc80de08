import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Self

from structlog.testing import capture_logs

from iotsphere.kernel.errors import UnavailableError
from iotsphere.telemetry.model import StaleHour
from iotsphere.telemetry.rollups import RollupService
from iotsphere.worker.rollups import roll_up_hours
from tests.fakes.telemetry import InMemoryRollupUnitOfWork, TelemetryData

NOW = datetime(2026, 11, 20, tzinfo=UTC)


async def test_rolling_up_goes_on_when_the_store_is_back_and_its_absence_is_said_once() -> None:
    hours = [StaleHour(1, NOW - number * timedelta(hours=1), number) for number in range(2, 9)]
    data, stop, is_away = TelemetryData(stale={(1, each.hour): each for each in hours}), asyncio.Event(), [True]

    class Leaving(InMemoryRollupUnitOfWork):
        async def __aenter__(self) -> Self:
            if is_away[0]:
                raise UnavailableError("telemetry", "It is away.")
            return self

    service = RollupService(unit_of_work=partial(Leaving, data), clock=lambda: NOW)
    with capture_logs() as logs:
        rolling = asyncio.create_task(roll_up_hours(service, stop=stop))
        async with asyncio.timeout(10):
            while not logs:  # noqa: ASYNC110  # only a look tells
                await asyncio.sleep(0.01)
            is_away[0] = False
            while data.stale:  # noqa: ASYNC110  # only a look tells
                await asyncio.sleep(0.01)
        stop.set()
        await asyncio.wait_for(rolling, timeout=10)

    assert [line["event"] for line in logs] == ["worker.rollups.postponed"]
