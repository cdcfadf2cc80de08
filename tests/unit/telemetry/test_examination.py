from datetime import UTC, datetime, timedelta

from iotsphere.kernel.findings import Finding
from iotsphere.telemetry.errors import QueryTooCostlyError
from iotsphere.telemetry.examination import TelemetryExamination
from iotsphere.telemetry.model import RollupBacklog
from iotsphere.telemetry.rollups import RollupService
from tests.fakes.keeping import House

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class SomeRollups(RollupService):
    def __init__(self, backlog: RollupBacklog | None) -> None:
        self._backlog = backlog

    async def find_backlog(self) -> RollupBacklog:
        if self._backlog is None:
            raise QueryTooCostlyError
        return self._backlog


async def examined(backlog: RollupBacklog | None) -> Finding:
    house = House()
    examination = TelemetryExamination(
        unit_of_work=house.unit_of_work, rollups=SomeRollups(backlog), clock=lambda: NOW
    )
    [figures] = [finding for finding in await examination.examine() if finding.check == "figures"]
    return figures


async def test_hours_that_wait_for_a_moment_are_well() -> None:
    waiting = await examined(RollupBacklog(7, NOW - timedelta(minutes=59), 0))
    idle = await examined(RollupBacklog(0, None, 2))

    assert (waiting.is_well, waiting.detail) == (True, "7 hours wait for their figures")
    assert idle.is_well
    assert "2 took too long" in idle.detail


async def test_hours_that_wait_for_long_are_told_with_what_to_do() -> None:
    finding = await examined(RollupBacklog(7000, NOW - timedelta(hours=1), 0))

    assert not finding.is_well
    assert "7,000 hours wait for their figures, the first of them since 2026-11-20 11:00 UTC." in finding.detail
    assert "Is a worker running" in finding.detail


async def test_more_than_can_be_counted_is_not_well() -> None:
    assert not (await examined(None)).is_well
