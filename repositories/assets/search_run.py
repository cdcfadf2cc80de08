"""One search, by candidates that are sorted, or by a walk."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.model import Asset
from iotsphere.assets.search_position import SearchPosition
from repositories.assets.pages import was_cut
from repositories.assets.rows import row_to_asset
from repositories.assets.search_conditions import Values
from repositories.assets.search_narrowing import Narrowing
from repositories.assets.search_settings import SearchSettings
from repositories.assets.search_statements import Search, behind

# A row, and in which part of the order it is.
Placed = tuple[sa.Row[Any], int]


@dataclass(frozen=True, slots=True)
class Found:
    """What a page shows, and its end, unless it is the last one. A page that is full, or the last, needs no more."""

    rows: Sequence[Placed]
    end: SearchPosition | None
    is_full: bool = True

    @property
    def assets(self) -> list[Asset]:
        return [row_to_asset(row) for row, _ in self.rows]


class SearchRun:
    def __init__(
        self,
        connection: AsyncConnection,
        settings: SearchSettings,
        search: Search,
        values: Values,
        after: SearchPosition | None,
        limit: int,
    ) -> None:
        self.search = search
        self.most = limit + 1
        self._connection = connection
        self._values = values
        self._after = after
        self._settings = settings

    async def walk(self, width: int, *, since: Found | None = None) -> Found:
        """Go along the order, past so many assets at the most, from the beginning or from where a walk ended."""
        await self._settings.for_walk()
        rows = [*since.rows] if since is not None else []
        after = since.end if since is not None else self._after
        each = width // len(self.search.parts)
        for nth in range(after.part if after is not None else 0, len(self.search.parts)):
            statement = self.search.walk(nth, is_behind=after is not None and nth == after.part)
            found = await self._ask(statement, after, width=each, most=self.most - len(rows))
            rows += [(row, nth) for row in found if row.fits]
            if len(rows) == self.most:
                break
            is_cut = was_cut(found)
            if is_cut or (found and found[-1].place == each):
                return Found(rows, self.search.position_of(found[-1], nth), is_cut)
        return self._page(rows)

    async def sort(self, way: Narrowing, *, at_most: int) -> Found | None:
        """Sort the candidates, unless there are more than ``at_most``."""
        await self._settings.for_candidates(way)
        statement = self.search.candidates(way, self._after.part if self._after is not None else None)
        found = await self._ask(statement, self._after, at_most=at_most, most=self.most)
        if found[0].candidates > at_most:
            return None
        rows = [(row, row.part) for row in found if row.part is not None]
        return self._page(rows, is_cut=was_cut(found))

    async def _ask(
        self, statement: sa.Select[Any], after: SearchPosition | None, **bounds: int
    ) -> Sequence[sa.Row[Any]]:
        asked = self._values | behind(after) | bounds
        rows: Sequence[sa.Row[Any]] = (await self._connection.execute(statement, asked)).all()
        return rows

    def _page(self, rows: Sequence[Placed], *, is_cut: bool = False) -> Found:
        shown = rows[: self.most - 1]
        is_last = not is_cut and len(rows) == len(shown)
        return Found(shown, None if is_last else self.search.position_of(*shown[-1]))
