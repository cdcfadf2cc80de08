"""Figures over assets in PostgreSQL (ADR 0043)."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.aggregate import Aggregation, Group, GroupedBy, GroupKey, Groups
from iotsphere.assets.errors import AggregateOverflowError, AggregateTooCostlyError
from iotsphere.assets.search import AssetFilter
from iotsphere.kernel.identifiers import OrganisationId
from repositories.assets.aggregate_groups import NOTHING, PARTS
from repositories.assets.aggregate_statements import of_documents, of_types, of_values
from repositories.assets.search_conditions import Values, find_values
from repositories.assets.search_narrowing import EVERYTHING, Narrowable, Narrowing, in_ranges, narrowings
from repositories.assets.search_orders import BOOLEAN, NUMBER
from repositories.assets.search_statements import estimate, estimated
from repositories.assets.values import KeptPaths, Keys, find_paths
from repositories.sql import COMMAND_SECONDS, QUERY_CANCELED, sqlstate

# What is joined is joined as a whole. Where the planner knows little of new assets it takes them for few, and goes
# through them once for each of the others.
SETTINGS = sa.text("""
SELECT set_config('statement_timeout', :milliseconds, true), set_config('enable_seqscan', 'off', true),
       set_config('enable_indexscan', :indexscan, true), set_config('enable_indexonlyscan', :indexscan, true),
       set_config('enable_nestloop', 'off', true)
""")
NUMERIC_VALUE_OUT_OF_RANGE = "22003"
FIGURES_SECONDS = 10.0
"""How long a command may take where figures over a million assets are worked out."""
# More than these takes longer than a statement may, however little is asked of them.
MOST_DOCUMENTS = 1_000_000
LARGEST_EXACT_INTEGER = 2**53


class SqlAlchemyAssetAggregateRepository:
    def __init__(
        self,
        connection: AsyncConnection,
        *,
        most_documents: int = MOST_DOCUMENTS,
        milliseconds: float = COMMAND_SECONDS * 900,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._most_documents = most_documents
        self._milliseconds = milliseconds
        self._monotonic = monotonic
        self._until = 0.0

    async def aggregate(self, organisation_id: OrganisationId, asked: Aggregation) -> Groups:
        self._until = self._monotonic() + self._milliseconds / 1000
        if not self._connection.in_transaction():
            # Which values are kept, and of how many assets, are asked of one state of things.
            await self._connection.execution_options(isolation_level="REPEATABLE READ")
        try:
            rows = await self._find(organisation_id, asked)
        except DBAPIError as error:
            # Without their cause, which the unit of work would take for a store that is busy.
            if sqlstate(error) == QUERY_CANCELED:
                raise AggregateTooCostlyError from None
            if sqlstate(error) == NUMERIC_VALUE_OUT_OF_RANGE:
                raise AggregateOverflowError from None
            raise
        return Groups([_group(row, asked) for row in rows], rows[0].total if rows else 0)

    async def _find(self, organisation_id: OrganisationId, asked: Aggregation) -> Sequence[sa.Row[Any]]:
        if _counts_types_alone(asked):
            return await self._ask(of_types(organisation_id, asked))
        kept = await find_paths(self._connection, organisation_id)
        paths = _paths_of(asked, kept)
        if paths is not None:
            return await self._ask(of_values(organisation_id, asked, paths))
        return await self._find_in_documents(organisation_id, asked, kept)

    async def _find_in_documents(
        self, organisation_id: OrganisationId, asked: Aggregation, kept: KeptPaths
    ) -> Sequence[sa.Row[Any]]:
        wanted = asked.narrowed_to
        values = await find_values(self._connection, organisation_id, wanted) | in_ranges(wanted, kept)
        narrowable = Narrowable.of(wanted, kept, is_by_creation=False)
        way = await self._pick((EVERYTHING, *narrowings(narrowable)), values)
        statement = of_documents(organisation_id, asked, way, narrowable.conditions, at_most=self._most_documents)
        rows = await self._ask(statement, values, is_bitmap=way.is_bitmap)
        if rows[0].candidates > self._most_documents:
            raise AggregateTooCostlyError
        return [row for row in rows if row.total is not None]

    async def _pick(self, ways: Sequence[Narrowing], values: Values) -> Narrowing:
        """Give the way by which the planner expects the fewest candidates.

        :raises AggregateTooCostlyError: there are too many of them, which is not left to the planner to say.
        """
        # One of them twice, since of one alone the planner says it otherwise.
        expected = estimated(await self._connection.scalar(estimate((ways[0], *ways)), values))[1:]
        way = ways[expected.index(min(expected))]
        if min(expected) > self._most_documents:
            some = way.query.with_only_columns(sa.literal_column("1")).limit(self._most_documents + 1).subquery()
            counted = await self._ask(sa.select(sa.func.count().label("candidates")).select_from(some), values)
            if counted[0].candidates > self._most_documents:
                raise AggregateTooCostlyError
        return way

    async def _ask(
        self, statement: sa.Select[Any], values: Values | None = None, *, is_bitmap: bool = False
    ) -> Sequence[sa.Row[Any]]:
        remaining = self._until - self._monotonic()
        if remaining <= 0:
            raise AggregateTooCostlyError
        settings = {"milliseconds": f"{max(1, remaining * 1000):.0f}", "indexscan": "off" if is_bitmap else "on"}
        await self._connection.execute(SETTINGS, settings)
        rows: Sequence[sa.Row[Any]] = (await self._connection.execute(statement, values)).all()
        return rows


def _counts_types_alone(asked: Aggregation) -> bool:
    return (
        not asked.measured
        and all(grouping.by is GroupedBy.ASSET_TYPE for grouping in asked.groupings)
        and asked.narrowed_to == AssetFilter(asset_type=asked.narrowed_to.asset_type)
    )


def _paths_of(asked: Aggregation, kept: KeptPaths) -> Mapping[Keys, int] | None:
    """Give the numbers of the properties, if figures of kept values alone are asked for."""
    if asked.narrowed_to != AssetFilter() or len(asked.groupings) > 1:
        return None
    if any(grouping.by is not GroupedBy.PROPERTY for grouping in asked.groupings):
        return None
    numbers = {keys: kept.find(keys) for keys in (*asked.measured, *(each.keys for each in asked.groupings))}
    paths = {keys: number for keys, number in numbers.items() if number is not None}
    return paths if len(paths) == len(numbers) else None


def _group(row: sa.Row[Any], asked: Aggregation) -> Group:
    found = row._mapping  # noqa: SLF001  # its public name, as the documentation has it
    parts = [[found[f"{part}_{nth}"] for part in PARTS] for nth, _ in enumerate(asked.groupings)]
    numbers = [found[f"figure_{nth}"] for nth, _ in enumerate(asked.measures)]
    if any(number is not None and not math.isfinite(number) for number in numbers):
        raise AggregateOverflowError
    return Group(tuple(_common(*key) for key in parts), tuple(map(_plain, numbers)))


def _common(kind: int, number: float, text: str) -> GroupKey:
    if kind == NOTHING:
        return None
    if kind == NUMBER:
        return _plain(number) if math.isfinite(number) else str(number)
    return text == "true" if kind == BOOLEAN else text


def _plain(number: Any) -> Any:
    """Give a whole number without a fraction."""
    is_whole = isinstance(number, float) and number.is_integer() and abs(number) <= LARGEST_EXACT_INTEGER
    return int(number) if is_whole else number
