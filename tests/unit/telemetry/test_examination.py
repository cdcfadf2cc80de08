from datetime import UTC, datetime, timedelta

from iotsphere.kernel.findings import Finding
from iotsphere.telemetry.errors import QueryTooCostlyError
from iotsphere.telemetry.examination import TelemetryExamination
from iotsphere.telemetry.model import RollupBacklog
from iotsphere.telemetry.rollups import RollupService
from tests.fakes.keeping import House, build_examination

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
        unit_of_work=house.unit_of_work,
        keeping=house.keeping_unit_of_work,
        rollups=SomeRollups(backlog),
        clock=lambda: NOW,
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


async def dropping(house: House) -> Finding:
    [found] = [finding for finding in await build_examination(house).examine() if finding.check == "dropping"]
    return found


async def test_what_is_past_its_age_for_a_day_and_still_there_is_told_with_what_may_keep_it() -> None:
    house = House()
    house.store(8, 11)
    await house.retention.redefine_class(name="default", raw_days=30)
    # Whoever shortens an age gives a worker time.
    house.clock.advance(days=1)
    assert (await dropping(house)).is_well

    house.clock.advance(minutes=10)
    found = await dropping(house)
    assert not found.is_well
    assert "Readings are past their age, and still there: those of class default before 2026-09-01." in found.detail

    await house.keeping.keep_readings()
    assert (await dropping(house)).is_well


async def test_what_was_restored_is_not_past_its_age() -> None:
    house = House()
    house.store(8)
    await house.retention.redefine_class(name="default", raw_days=30, archive_days=400)
    house.clock.advance(days=2)
    await house.keeping.keep_readings()
    await house.archive.restore_days(start=NOW - timedelta(days=200), end=NOW, tell=lambda *_: None)

    assert house.months == [8]
    assert (await dropping(house)).is_well
