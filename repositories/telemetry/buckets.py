"""Intervals of one device in figures: merged from what was worked out ahead, or from the readings alone."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.errors import FigureOverflowError
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import Aggregate, Bucket, Selection
from iotsphere.telemetry.rollups import Span, coarsest_for, cut
from repositories.telemetry.aggregating import aggregate_query, row_to_bucket
from repositories.telemetry.merging import is_mergeable, merge_query
from repositories.telemetry.reading import read
from repositories.telemetry.sources import Source


class BucketReader:
    def __init__(
        self, connection: AsyncConnection, selection: Selection, grid: Grid, aggregates: Collection[Aggregate]
    ) -> None:
        self._connection = connection
        self._selection = selection
        self._grid = grid
        self._aggregates = aggregates

    async def read(self, source: Source, stale: Sequence[Span], *, limit: int) -> list[Bucket]:
        """Give the figures of the source's metrics, of which the hours of ``stale`` are asked of the readings."""
        start, end = self._selection.start, self._selection.end
        stretches = []
        if is_mergeable(self._aggregates):
            stretches = cut(start, end, stale, coarsest_for(self._grid, start, end))
        if any(stretch.resolution for stretch in stretches):
            # Where numbers are so large that sums of them are not kept, the readings may still have an answer.
            with suppress(FigureOverflowError):
                query, parameters = merge_query(source, self._selection, stretches, self._grid, self._aggregates)
                return await self._read(query, parameters, limit)
        return await self._read(*aggregate_query(source, self._selection, self._grid, self._aggregates), limit)

    async def _read(self, query: sa.TextClause, parameters: dict[str, Any], limit: int) -> list[Bucket]:
        rows = await read(self._connection, query, parameters | {"limit": limit})
        return [row_to_bucket(row, self._aggregates) for row in rows]
