"""Assets that are looked for, in PostgreSQL, without going through all that there are (ADR 0042).

Either few candidates come from an index on what is looked for, and are sorted; or the order that is asked for is
walked along for a while, until a page is full.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.errors import SearchOrderError, SearchTooCostlyError
from iotsphere.assets.model import Asset
from iotsphere.assets.search import BY_CREATION, AssetFilter, AssetOrder
from iotsphere.assets.search_position import AssetQuestion
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import Page
from repositories.assets.search_conditions import Values, find_values
from repositories.assets.search_narrowing import EVERYTHING, Narrowable, Narrowing, in_ranges, narrowings
from repositories.assets.search_orders import parts_of, sorted_by
from repositories.assets.search_run import Found, SearchRun
from repositories.assets.search_settings import SECONDS, SearchSettings
from repositories.assets.search_statements import Search, estimate, estimated
from repositories.assets.values import NO_PATHS, find_paths
from repositories.sql import QUERY_CANCELED, sqlstate

FEW = 100
"""Candidates are had in no time."""
COST = 4
"""Of a candidate, which is fetched from anywhere and sorted, when to go past an asset on a walk costs 1."""


@dataclass(frozen=True, slots=True)
class SearchBounds:
    """How many assets a search fetches at the most: as candidates, and on a walk before, or afterwards."""

    candidates: int = 10_000
    short_walk: int = 5_000
    long_walk: int = 20_000


BOUNDS = SearchBounds()


class SqlAlchemyAssetSearchRepository:
    """:param is_alone: the connection is one of those on which there are searches and nothing else."""

    def __init__(
        self,
        connection: AsyncConnection,
        *,
        is_alone: bool = False,
        bounds: SearchBounds = BOUNDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._is_alone = is_alone
        self._bounds = bounds
        self._monotonic = monotonic

    async def list(
        self,
        organisation_id: OrganisationId,
        narrowed_to: AssetFilter,
        order: AssetOrder = BY_CREATION,
        *,
        limit: int,
        cursor: str | None,
    ) -> Page[Asset]:
        question = AssetQuestion(organisation_id, narrowed_to, order)
        after = None if cursor is None else question.decode(cursor)
        until = self._monotonic() + SECONDS
        is_transaction = await self._begin(question)
        settings = SearchSettings(self._connection, lambda: until - self._monotonic(), is_local=is_transaction)
        try:
            await settings.begin()
            search, values, ways = await self._prepare(question)
            run = SearchRun(self._connection, settings, search, values, after, limit)
            found = await self._find(run, values, ways)
        except DBAPIError as error:
            if sqlstate(error) == QUERY_CANCELED:
                # Without its cause, which the unit of work would take for a store that is busy.
                raise SearchTooCostlyError from None
            raise
        return Page(found.assets, None if found.end is None else question.encode(found.end))

    async def _begin(self, question: AssetQuestion) -> bool:
        """Whatever is asked is asked of one state of things; tell whether that takes a transaction.

        It takes none where one statement gives the answer.
        """
        if self._connection.in_transaction():
            return True
        looks_up = bool(question.narrowed_to.named) or _reads_values(question)
        is_transaction = looks_up or not self._is_alone
        isolation_level = "REPEATABLE READ" if is_transaction else "AUTOCOMMIT"
        await self._connection.execution_options(isolation_level=isolation_level)
        return is_transaction

    async def _prepare(self, question: AssetQuestion) -> tuple[Search, Values, Sequence[Narrowing]]:
        """Give what is to be asked, and by which ways few candidates may be had."""
        wanted, order = question.narrowed_to, question.order
        values = await find_values(self._connection, question.organisation_id, wanted)
        paths = await find_paths(self._connection, question.organisation_id) if _reads_values(question) else NO_PATHS
        values |= in_ranges(wanted, paths) | sorted_by(order, paths)
        narrowable = Narrowable.of(wanted, paths, is_by_creation=order.by == BY_CREATION.by)
        parts = parts_of(order, paths, has_type=wanted.asset_type is not None)
        return Search(parts, narrowable.conditions), values, narrowings(narrowable)

    async def _find(self, run: SearchRun, values: Values, ways: Sequence[Narrowing]) -> Found:
        bounds = self._bounds
        if not run.search.is_walkable:
            expected = await self._expect(values, (EVERYTHING, *ways))
            found = await run.sort(expected.way, at_most=bounds.candidates)
            if found is None:
                raise SearchOrderError(bounds.candidates)
            return found
        walked: Found | None = None
        if ways:
            expected = await self._expect(values, ways)
            if expected.candidates > bounds.candidates or expected.are_more_than_a_walk(run.most):
                walked = await run.walk(bounds.short_walk)
                if walked.is_full:
                    return walked
            found = await run.sort(expected.way, at_most=bounds.candidates)
            if found is not None:
                return found
        return await run.walk(bounds.long_walk, since=walked)

    async def _expect(self, values: Values, ways: Sequence[Narrowing]) -> "Expected":
        """Ask the planner by which way the fewest candidates are to be had."""
        only = next((way for way in ways if way.is_one), None)
        if only is not None:
            return Expected(only, 1, share=0)
        plan = await self._connection.scalar(estimate((EVERYTHING, *ways)), values)
        owned, *counts = estimated(plan)
        candidates = min(counts)
        # As if what is by one way had nothing to do with what is by another.
        share = math.prod(min(1, count / max(1, owned)) for count in counts)
        return Expected(ways[counts.index(candidates)], candidates, share)


def _reads_values(question: AssetQuestion) -> bool:
    path = question.narrowed_to.path
    return bool(question.order.keys or (path is not None and path.ranges))


@dataclass(frozen=True, slots=True)
class Expected:
    """So many ``candidates``, by the planner's word, and the ``share`` that fits of all that the organisation has."""

    way: Narrowing
    candidates: float
    share: float

    def are_more_than_a_walk(self, most: int) -> bool:
        """Tell whether they cost more than to walk until there are ``most``, if those lie anywhere."""
        return self.candidates > FEW and self.candidates * self.share > most / COST
