import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Self

from structlog.testing import capture_logs

from iotsphere.kernel.errors import UnavailableError
from iotsphere.telemetry.compressing import CompressingService
from iotsphere.worker.compressing import compress_chunks
from tests.fakes.columnstore import InMemoryColumnstore, InMemoryColumnstoreUnitOfWork
from tests.fakes.identity import ManualClock
from tests.fakes.telemetry import TelemetryData

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class EndlessColumnstore(InMemoryColumnstore):
    """It has a chunk with which nobody gets done."""

    begun = asyncio.Event()
    broken_off = asyncio.Event()

    async def list(self, *, before: datetime) -> list[str]:
        return ["readings_2026_09"]

    async def compress(self, name: str) -> bool:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.broken_off.set()
        raise AssertionError("Nobody sets the event")


class AwayColumnstore(InMemoryColumnstore):
    asked = asyncio.Event()

    async def claim(self) -> bool:
        self.asked.set()
        raise UnavailableError("telemetry", "It is away.")


class House(InMemoryColumnstoreUnitOfWork):
    """A unit of work on the columnstore that it is given."""

    def __init__(self, columnstore: InMemoryColumnstore) -> None:
        super().__init__(TelemetryData(can_compress=True))
        self.given = columnstore

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.columnstore = self.given
        return self


def compressing(columnstore: InMemoryColumnstore) -> CompressingService:
    return CompressingService(
        unit_of_work=partial(House, columnstore), clock=ManualClock(NOW), compress_after=timedelta(days=7)
    )


async def test_what_is_under_way_is_broken_off_when_told_to_stop() -> None:
    stop = asyncio.Event()
    columnstore = EndlessColumnstore(TelemetryData(can_compress=True))
    working = asyncio.create_task(compress_chunks(compressing(columnstore), stop=stop))
    async with asyncio.timeout(5):
        await columnstore.begun.wait()

        stop.set()
        await working

    assert columnstore.broken_off.is_set()


async def test_a_store_that_is_away_is_asked_again() -> None:
    stop = asyncio.Event()
    with capture_logs() as logs:
        away = AwayColumnstore(TelemetryData())
        working = asyncio.create_task(compress_chunks(compressing(away), stop=stop))
        async with asyncio.timeout(5):
            await away.asked.wait()
            stop.set()
            await working

    assert [(entry["event"], entry["detail"]) for entry in logs] == [("worker.compressing.postponed", "It is away.")]
