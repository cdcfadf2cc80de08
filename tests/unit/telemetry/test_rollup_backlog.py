import math
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Self

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from iotsphere.kernel.errors import UnavailableError
from iotsphere.telemetry.model import StaleHour
from iotsphere.telemetry.rollup_backlog import RollupBacklogReport
from iotsphere.telemetry.rollups import RollupService
from tests.fakes.telemetry import InMemoryRollupUnitOfWork, TelemetryData

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class AwayRollupUnitOfWork(InMemoryRollupUnitOfWork):
    async def __aenter__(self) -> Self:
        raise UnavailableError("telemetry", "It is away.")


def told() -> dict[str, float]:
    return {
        sample.name.removeprefix("iotsphere_rollups_"): sample.value
        for family in text_string_to_metric_families(generate_latest().decode())
        for sample in family.samples
        if sample.name.startswith("iotsphere_rollups_")
    }


async def test_the_metrics_tell_what_waits_and_nothing_while_the_store_is_away() -> None:
    hours = [StaleHour(1, NOW - number * timedelta(hours=1), number) for number in (1, 3, 5, 7)]
    data = TelemetryData(stale={(1, each.hour): each for each in hours}, put_off={hours[3]})
    for unit_of_work, expected in (
        (InMemoryRollupUnitOfWork, {"waiting_hours": 2, "waiting_age_seconds": 4 * 3600, "put_off_hours": 1}),
        (AwayRollupUnitOfWork, dict.fromkeys(["waiting_hours", "waiting_age_seconds", "put_off_hours"], math.nan)),
    ):
        rollups = RollupService(unit_of_work=partial(unit_of_work, data), clock=lambda: NOW)

        await RollupBacklogReport(rollups=rollups, clock=lambda: NOW).tell_metrics()

        assert str(sorted(told().items())) == str(sorted((name, float(value)) for name, value in expected.items()))
