"""What nobody writes to any more is kept by column, where the engine can: in less room, with the same answers."""

from collections.abc import Callable
from datetime import timedelta

from iotsphere.kernel.clock import Clock
from iotsphere.telemetry.ports import ColumnstoreUnitOfWorkFactory
from iotsphere.telemetry.storage import READINGS, ChunkContent, StorageReport, StoredChunk, part_by_table


class CompressingService:
    """What a worker does now and then about chunks that are old enough; of several workers one at a time."""

    def __init__(
        self, *, unit_of_work: ColumnstoreUnitOfWorkFactory, clock: Clock, compress_after: timedelta | None
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._compress_after = compress_after

    async def compress_chunks(self) -> None:
        """Compress the chunks that ended long enough ago, and again those that were written to since.

        One that somebody wants to write to meanwhile is left for the next time.

        :raises UnavailableError: the store does not answer, or it took too long.
        """
        if self._compress_after is None:
            return
        async with self._unit_of_work() as uow:
            if not await uow.columnstore.claim() or not await uow.columnstore.can_compress():
                return
            await uow.columnstore.prepare()
            for name in await uow.columnstore.list(before=self._clock() - self._compress_after):
                await uow.columnstore.compress(name)

    async def measure(self, *, tell: Callable[[int, int], None]) -> StorageReport:
        """Go through all readings and tell what room they take.

        :param tell: hears how many bytes were gone through, and of how many.
        :raises UnavailableError: the store does not answer.
        """
        async with self._unit_of_work() as uow:
            can_compress = await uow.columnstore.can_compress()
            due = []
            if can_compress and self._compress_after is not None:
                due = await uow.columnstore.list(before=self._clock() - self._compress_after)
            stored = await uow.columnstore.find_stored()
            total = sum(chunk.size for chunk in stored)
            gone_through = 0
            counted: list[tuple[StoredChunk, ChunkContent | None]] = []
            for chunk in stored:
                content = await uow.columnstore.count(chunk.name) if chunk.table == READINGS else None
                counted.append((chunk, content))
                gone_through += chunk.size
                tell(gone_through, total)
        return StorageReport(can_compress, self._compress_after, len(due), part_by_table(counted))
