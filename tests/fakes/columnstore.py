"""A store that keeps chunks by column, or cannot."""

import builtins
from datetime import datetime
from types import TracebackType
from typing import Self

from iotsphere.telemetry.model import Point
from iotsphere.telemetry.ports import Columnstore
from iotsphere.telemetry.retention import ReadingChunk
from iotsphere.telemetry.storage import ChunkContent, StoredChunk
from tests.fakes.telemetry import TelemetryData, month_of


class InMemoryColumnstore:
    """Chunks are the months that have points; what they held when they were compressed is noted."""

    def __init__(self, data: TelemetryData) -> None:
        self._data = data
        self.has_claimed = False

    async def claim(self) -> bool:
        if "columnstore" in self._data.claimed:
            return False
        self._data.claimed.add("columnstore")
        self.has_claimed = True
        return True

    async def can_compress(self) -> bool:
        return self._data.can_compress

    async def prepare(self) -> None:
        """There is nothing to be said here of how rows lie."""

    async def list(self, *, before: datetime) -> builtins.list[str]:
        if not self._data.can_compress:
            return []
        return [
            name
            for name, chunk in sorted(self._chunks().items())
            if chunk.end <= before
            and self._data.compressed.get(name) != self._held(chunk)
            and not any(chunk.start <= hour < chunk.end for _, hour in self._data.stale)
        ]

    async def compress(self, name: str) -> bool:
        if name in self._data.written_to:
            return False
        self._data.compressed[name] = self._held(self._chunks()[name])
        return True

    async def find_stored(self) -> builtins.list[StoredChunk]:
        return [
            StoredChunk("readings", name, 100 * len(self._held(chunk)), name in self._data.compressed)
            for name, chunk in sorted(self._chunks().items())
        ]

    async def count(self, name: str) -> ChunkContent:
        held = self._held(self._chunks()[name])
        return ChunkContent(len({(point.device_id, point.ts) for point in held}), len(held))

    def _chunks(self) -> dict[str, ReadingChunk]:
        chunks = {month_of(point.ts) for point in self._data.points.values()}
        return {f"readings_{chunk.start:%Y_%m}": chunk for chunk in chunks}

    def _held(self, chunk: ReadingChunk) -> builtins.list[Point]:
        return [point for point in self._data.points.values() if chunk.start <= point.ts < chunk.end]


class InMemoryColumnstoreUnitOfWork:
    columnstore: Columnstore

    def __init__(self, data: TelemetryData) -> None:
        self._data = data

    async def __aenter__(self) -> Self:
        self._columnstore = InMemoryColumnstore(self._data)
        self.columnstore = self._columnstore
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._columnstore.has_claimed:
            self._data.claimed.discard("columnstore")
