"""What it costs PostgreSQL to work out figures over 160 000 assets of an organisation, beside 40 000 of others."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.aggregate import Aggregation, Groups, Measure, MeasureOp, read_grouping, read_measure
from iotsphere.assets.errors import AggregateTooCostlyError
from iotsphere.assets.predicate import read_predicate
from iotsphere.assets.relationship import Direction
from iotsphere.assets.search import AssetFilter, RelatedTo
from iotsphere.kernel.identifiers import DeviceId
from repositories.assets.aggregates import MOST_DOCUMENTS, SqlAlchemyAssetAggregateRepository
from tests.integration.assets.fleet import HALL, IN_HALL, OURS, SITE, SIZE, TANK

PLACES, NAMED = 3, 1
ALL = SIZE + PLACES
IN_SITE, ROBOTS, OF_MAKER = 60_001, 320, 4_000
TABLES = {"assets", "places", "property_values", "relationships"}
COUNT = Measure(MeasureOp.COUNT)
MEAN = read_measure(MeasureOp.AVG, "properties.kw")
MEDIAN = read_measure(MeasureOp.P50, "properties.kw")
# No values are kept of a path that is so long.
UNKEPT = f"properties.{'x' * 257}"
Plan = dict[str, Any]
LOOKED_AT = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
# What of a table is at the beginning of each of its indexes.
BEGINS = sa.text("""
    SELECT index.relname, attname FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid
    JOIN pg_attribute AS first ON attrelid = indrelid AND attnum = indkey[0]
    WHERE indrelid = ANY (CAST(:tables AS text[])::regclass[])
""")


@pytest_asyncio.fixture
async def begins(fleet: AsyncConnection) -> dict[str, str]:
    return {row.relname: row.attname for row in await fleet.execute(BEGINS, {"tables": sorted(TABLES)})}


@contextmanager
def planned(fleet: AsyncConnection) -> Iterator[list[Plan]]:
    """Give what PostgreSQL does for each question that it is asked, at the moment and as it is asked."""
    plans: list[Plan] = []

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith("EXPLAIN") and "set_config" not in statement:
            explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
            plans.extend(_nodes(connection.exec_driver_sql(explained, parameters).scalar_one()[0]["Plan"]))

    assert fleet.sync_connection is not None
    sa.event.listen(fleet.sync_connection, "before_cursor_execute", explain)
    yield plans
    sa.event.remove(fleet.sync_connection, "before_cursor_execute", explain)


def _nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def gone_through(plans: list[Plan], table: str, looked_at: Sequence[str] = LOOKED_AT) -> int:
    """Tell how many rows of a table were looked at."""
    return sum(
        round(plan["Actual Loops"] * sum(plan.get(count, 0) for count in looked_at))
        for plan in plans
        if plan.get("Relation Name") == table
    )


def assert_by_index(plans: list[Plan], begins: dict[str, str]) -> None:
    """No table is gone through from end to end, and no index: what is looked for is in what it begins with."""
    assert not [plan for plan in plans if plan["Node Type"] == "Seq Scan" and plan["Relation Name"] in TABLES]
    indexed = [plan for plan in plans if plan.get("Index Name") in begins]
    assert indexed
    for plan in indexed:
        assert re.search(rf"\b{begins[plan['Index Name']]}\b", plan.get("Index Cond", "")), plan


async def aggregate(fleet: AsyncConnection, asked: Aggregation, most_documents: int = MOST_DOCUMENTS) -> Groups:
    """Work figures out, however long it takes here."""
    repository = SqlAlchemyAssetAggregateRepository(fleet, most_documents=most_documents, milliseconds=60_000)
    return await repository.aggregate(OURS, asked)


def asked_for(*groupings: str, of: Sequence[Measure] = (COUNT,), **wanted: Any) -> Aggregation:
    if "path" in wanted:
        wanted["path"] = read_predicate(wanted["path"])
    return Aggregation(tuple(map(read_grouping, groupings)), tuple(of), AssetFilter(**wanted))


@dataclass(frozen=True)
class Case:
    """So many ``assets`` and ``values`` are looked at, and no more, with those that are named."""

    asked: Aggregation
    assets: int
    values: int = 0


CASES = {
    "count": Case(asked_for(), ALL),
    "count by type": Case(asked_for("asset_type"), ALL),
    "count of a type": Case(asked_for(asset_type="robot"), ROBOTS),
    "count of a type that others have alone": Case(asked_for(asset_type="lorry"), 0),
    "count by a property": Case(asked_for("properties.maker"), ALL, SIZE),
    "count by what no asset has": Case(asked_for("properties.nothing"), ALL),
    "mean": Case(asked_for(of=[MEAN]), ALL, SIZE),
    "mean and median by a property": Case(asked_for("properties.maker", of=[MEAN, MEDIAN]), ALL, 3 * SIZE),
    "mean by type": Case(asked_for("asset_type", of=[MEAN]), ALL),
    "mean by what is not kept": Case(asked_for(UNKEPT, of=[MEAN]), ALL),
    "mean by two properties": Case(asked_for("properties.maker", "properties.volts", of=[MEAN]), ALL),
    "mean of a type": Case(asked_for(of=[MEAN], asset_type="robot"), ROBOTS),
    "count by ancestor": Case(asked_for("ancestor.place"), ALL + PLACES),
    "count by ancestor of what is below": Case(asked_for("ancestor.place", ancestor=HALL), IN_HALL + NAMED + PLACES),
    "count by parent": Case(asked_for("parent_id"), ALL),
    "count of a match": Case(asked_for(match={"maker": "M7"}), OF_MAKER),
    "count of a match that others have alone": Case(asked_for(match={"batch": "elsewhere"}), 0),
    "mean by parent of an equality": Case(asked_for("parent_id", of=[MEAN], path='$.maker == "M7"'), OF_MAKER),
    "count of a range": Case(asked_for("properties.maker", path="$.kw > 99.85"), 160, 160),
    "count of a range of nothing": Case(asked_for("properties.maker", path="$.kw > 1000"), 0),
    "count of a word": Case(asked_for("asset_type", words="s1"), 72),
    "mean below a site": Case(asked_for("properties.maker", of=[MEAN], ancestor=SITE), IN_SITE + NAMED),
    "mean below a hall": Case(asked_for("properties.maker", of=[MEAN], ancestor=HALL), IN_HALL + NAMED),
    "mean in a hall": Case(asked_for("properties.maker", of=[MEAN], parent_id=HALL), IN_HALL + NAMED),
    "mean of a match below a hall": Case(asked_for(of=[MEAN], ancestor=HALL, match={"volts": 230}), IN_HALL + NAMED),
    "count of the related": Case(asked_for("asset_type", related_to=RelatedTo(TANK)), ROBOTS + NAMED),
    "count of what leads there": Case(asked_for(related_to=RelatedTo(TANK, "feeds", Direction.IN)), NAMED),
    "mean of a device": Case(asked_for(of=[MEAN], device_id=DeviceId(UUID(int=9))), 0),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_figures_go_through_what_is_asked_for_and_nothing_else(
    fleet: AsyncConnection, begins: dict[str, str], case: Case
) -> None:
    with planned(fleet) as plans:
        await aggregate(fleet, case.asked)

    assert_by_index(plans, begins)
    assert gone_through(plans, "assets") <= case.assets
    assert gone_through(plans, "property_values") <= case.values


REFUSED = {
    "of all": asked_for("asset_type", of=[MEAN]),
    "of a match": asked_for(of=[MEAN], match={"volts": 230}),
    "of a range": asked_for(of=[MEAN], path="$.kw > 50"),
    "of a site": asked_for(of=[MEAN], ancestor=SITE),
    "of a parent": asked_for(of=[MEAN], parent_id=SITE),
    "of a type": asked_for(of=[MEAN], asset_type="pump"),
}


@pytest.mark.parametrize("asked", REFUSED.values(), ids=REFUSED)
async def test_what_is_beyond_the_bounds_is_refused_without_more_than_them(
    fleet: AsyncConnection, begins: dict[str, str], asked: Aggregation
) -> None:
    with planned(fleet) as plans, pytest.raises(AggregateTooCostlyError, match="Narrow them down"):
        await aggregate(fleet, asked, most_documents=50_000)

    assert_by_index(plans, begins)
    # Of ours the planner may take some that are not asked for along, where they are few.
    assert all(gone_through(plans, table, LOOKED_AT[:1]) <= 50_001 + NAMED for table in TABLES)
    assert all(gone_through(plans, table) <= ALL for table in TABLES)


async def test_what_takes_too_long_on_the_whole_is_refused_likewise(fleet: AsyncConnection) -> None:
    # A second goes by whenever somebody looks, and that there are too many is asked before.
    repository = SqlAlchemyAssetAggregateRepository(
        fleet, most_documents=1_000, monotonic=map(float, count()).__next__
    )

    with pytest.raises(AggregateTooCostlyError):
        await repository.aggregate(OURS, asked_for(of=[MEAN], path='$.maker == "M7" && $.kw > 99'))
