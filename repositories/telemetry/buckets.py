"""Intervals of groups of devices in figures: merged from what was worked out ahead, or from the readings alone."""

from collections.abc import Collection
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.telemetry.errors import FigureOverflowError
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import Aggregate, Bucket, FleetSelection
from iotsphere.telemetry.rollups import coarsest_for, cut
from repositories.telemetry.aggregating import aggregate_query, rows_to_buckets
from repositories.telemetry.merging import AnswerPart, is_mergeable, merge_query
from repositories.telemetry.reading import read
from repositories.telemetry.staleness import find_stale_spans
from repositories.telemetry.weighing import refuse_too_much


class BucketReader:
    def __init__(
        self, connection: AsyncConnection, selection: FleetSelection, grid: Grid, aggregates: Collection[Aggregate]
    ) -> None:
        self._connection = connection
        self._selection = selection
        self._grid = grid
        self._aggregates = aggregates

    async def read(self, *, limit: int) -> list[tuple[str, Bucket]]:
        """Give up to ``limit`` buckets by (ts, metric, group), and the name of the group of each."""
        parts = await self._cut() if is_mergeable(self._aggregates) else []
        if any(part.stretch.resolution for part in parts):
            # Where numbers are so large that sums of them are not kept, the readings may still have an answer.
            with suppress(FigureOverflowError):
                for _, stretch in parts:
                    if stretch.resolution is None:
                        await refuse_too_much(self._connection, self._selection, stretch.start, stretch.end)
                return await self._read(*merge_query(self._selection, parts, self._grid, self._aggregates), limit)
        return await self.read_from_readings(limit=limit)

    async def read_from_readings(self, *, limit: int) -> list[tuple[str, Bucket]]:
        """Give the same without what was worked out ahead."""
        await refuse_too_much(self._connection, self._selection, self._selection.start, self._selection.end)
        return await self._read(*aggregate_query(self._selection, self._grid, self._aggregates), limit)

    async def _cut(self) -> list[AnswerPart]:
        start, end = self._selection.start, self._selection.end
        coarsest = coarsest_for(self._grid, start, end)
        if coarsest is None:
            return []
        stale = await find_stale_spans(self._connection, list(self._selection.groups), start, end)
        return [
            AnswerPart(number if len(stale) > 1 else None, stretch)
            for number, spans in stale.items()
            for stretch in cut(start, end, spans, coarsest)
        ]

    async def _read(self, query: sa.TextClause, parameters: dict[str, Any], limit: int) -> list[tuple[str, Bucket]]:
        rows = await read(self._connection, query, parameters | {"limit": limit})
        return rows_to_buckets(rows, self._aggregates)
