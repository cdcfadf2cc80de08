from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.compressing import CompressingService
from iotsphere.telemetry.model import Point, StaleHour
from iotsphere.telemetry.storage import StorageShare
from tests.fakes.columnstore import InMemoryColumnstoreUnitOfWork
from tests.fakes.identity import ManualClock
from tests.fakes.telemetry import TelemetryData

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DEVICE = DeviceId(UUID(int=1))


class House:
    """A store with readings of some months of 2026, on the 20th of November."""

    def __init__(self, *months: int, compress_after: timedelta | None = timedelta(days=7)) -> None:
        self.data = TelemetryData(can_compress=True)
        self.unit_of_work = partial(InMemoryColumnstoreUnitOfWork, self.data)
        self.compressing = CompressingService(
            unit_of_work=self.unit_of_work, clock=ManualClock(NOW), compress_after=compress_after
        )
        for month in months:
            self.store(datetime(2026, month, 10, tzinfo=UTC))

    def store(self, ts: datetime) -> None:
        for metric in ("a", "b"):
            self.data.points[DEVICE, metric, ts] = Point(DEVICE, metric, ts, 1.0)

    @property
    def compressed(self) -> set[str]:
        return set(self.data.compressed)


async def test_chunks_are_compressed_so_long_after_their_end() -> None:
    house = House(9, 10, 11, compress_after=timedelta(days=20))

    await house.compressing.compress_chunks()

    # October ended 19 days and a half ago.
    assert house.compressed == {"readings_2026_09"}


async def test_nothing_is_compressed_where_that_is_said() -> None:
    house = House(9, compress_after=None)

    await house.compressing.compress_chunks()

    assert house.compressed == set()


async def test_nothing_is_compressed_where_the_engine_cannot() -> None:
    house = House(9)
    house.data.can_compress = False

    await house.compressing.compress_chunks()

    assert house.compressed == set()


async def test_what_figures_are_still_to_be_worked_out_from_is_left_alone() -> None:
    house = House(8, 9)
    hour = datetime(2026, 8, 31, 23, tzinfo=UTC)
    house.data.stale[1, hour] = StaleHour(1, hour, 0)

    await house.compressing.compress_chunks()

    assert house.compressed == {"readings_2026_09"}


async def test_what_was_written_late_is_compressed_again() -> None:
    house = House(9)
    await house.compressing.compress_chunks()
    house.store(datetime(2026, 9, 11, tzinfo=UTC))

    await house.compressing.compress_chunks()

    assert len(house.data.compressed["readings_2026_09"]) == 4


async def test_a_chunk_that_somebody_writes_to_keeps_no_other_waiting() -> None:
    house = House(8, 9)
    house.data.written_to.add("readings_2026_08")

    await house.compressing.compress_chunks()
    assert house.compressed == {"readings_2026_09"}

    house.data.written_to.clear()
    await house.compressing.compress_chunks()
    assert house.compressed == {"readings_2026_08", "readings_2026_09"}


async def test_of_two_workers_one_compresses() -> None:
    house = House(9)
    async with house.unit_of_work() as other:
        assert await other.columnstore.claim()

        await house.compressing.compress_chunks()

        assert house.compressed == set()


async def test_the_report_tells_what_is_compressed_and_what_is_yet_to_be() -> None:
    house = House(8, 9, 11)
    await house.compressing.compress_chunks()
    house.store(datetime(2026, 9, 11, tzinfo=UTC))
    told: list[tuple[int, int]] = []

    report = await house.compressing.measure(tell=lambda *progress: told.append(progress))

    assert report.shares == [
        StorageShare("readings", False, chunks=1, size=200, readings=1, points=2),
        StorageShare("readings", True, chunks=2, size=600, readings=3, points=6),
    ]
    assert (report.can_compress, report.compress_after, report.due) == (True, timedelta(days=7), 1)
    assert (report.points, report.size) == (8, 800)
    assert told == [(200, 800), (600, 800), (800, 800)]


async def test_the_report_tells_that_the_engine_cannot() -> None:
    house = House(9)
    house.data.can_compress = False

    report = await house.compressing.measure(tell=lambda *_: None)

    assert (report.can_compress, report.due) == (False, 0)
    assert [share.is_compressed for share in report.shares] == [False]
