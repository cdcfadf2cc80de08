"""By which indexes few candidates can be had for what is looked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from iotsphere.assets.predicate import Range
from iotsphere.assets.search import BY_CREATION, AssetFilter
from iotsphere.assets.search_position import AssetQuestion
from repositories.assets.search_conditions import Condition, Conditions, fits_path, is_within, related, words_of
from repositories.assets.search_orders import NUMBER
from repositories.assets.tables import assets, places, property_values, relationships
from repositories.assets.values import KeptPaths

# Says that numbers are in an array on the way.
IN_ARRAY = 3


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Candidates by one index: ``query`` gives the assets, or what is in a column by which they are looked up.

    What is ``known`` of them need not be looked at again. Where other ways lead to the same assets, past many more,
    they have to come from a bitmap.
    """

    query: sa.Select[Any]
    known: frozenset[str] = frozenset()
    looked_up_by: sa.Column[Any] | None = None
    is_bitmap: bool = False
    is_one: bool = False

    def rows(self, *, at_most: int) -> sa.FromClause:
        first = self.query.limit(at_most)
        if self.looked_up_by is None:
            return first.subquery("a")
        met = first.subquery("met")
        found = sa.select(met.c.found).distinct().subquery("found")
        one = sa.select(assets).where(self.looked_up_by == found.c.found).offset(0).lateral("one")
        return sa.select(one).select_from(found.join(one, sa.true())).subquery("a")


def narrowings(question: AssetQuestion, conditions: Conditions, paths: KeptPaths) -> Iterator[Narrowing]:
    """Give the ways to have few candidates."""
    wanted = conditions.narrowed_to
    owned = everything(question).query
    if wanted.device_id is not None:
        yield Narrowing(owned.where(assets.c.device_id == wanted.device_id), frozenset({"device_id"}), is_one=True)
    # One index each: what only another one has would be looked up in every row, before anybody counts.
    of_properties = dict(_of_properties(wanted))
    if of_properties:
        yield Narrowing(owned.where(*of_properties.values()), frozenset(of_properties), is_bitmap=True)
    if wanted.words is not None:
        beginnings = sa.func.name_prefixes(assets.c.name).op("@>", is_comparison=True)(words_of(wanted.words))
        yield Narrowing(owned.where(beginnings), frozenset({"words"}), is_bitmap=True)
    if wanted.parent_id is not None:
        yield Narrowing(owned.where(assets.c.parent_id == wanted.parent_id), frozenset({"parent_id"}), is_bitmap=True)
    if conditions.below is not None:
        below = sa.select(places.c.number.label("found")).where(is_within(places.c.path, conditions.below))
        yield Narrowing(below, frozenset({"ancestor"}), assets.c.number)
    if wanted.related_to is not None:
        here, holds = related(wanted.related_to)
        ends = sa.select(here.label("found")).select_from(relationships).where(holds)
        yield Narrowing(ends, frozenset({"related_to"}), assets.c.id)
    # For the order of creation there is an index on each type's.
    if wanted.asset_type is not None and question.order.by != BY_CREATION.by:
        yield Narrowing(
            owned.where(assets.c.asset_type == wanted.asset_type), frozenset({"asset_type"}), is_bitmap=True
        )
    for within in _ranges(wanted):
        path = paths.find(within.keys)
        if path is not None:
            yield Narrowing(_in_range(path, within), looked_up_by=assets.c.number)


def everything(question: AssetQuestion) -> Narrowing:
    """Give all that an organisation has, which may be little."""
    return Narrowing(sa.select(assets).where(assets.c.organisation_id == question.organisation_id))


def _of_properties(wanted: AssetFilter) -> Iterator[tuple[str, Condition]]:
    if wanted.match:
        yield "match", assets.c.properties.contains(wanted.match)
    # What the index knows nothing of would be looked up in every row, before anybody counts.
    if wanted.path is not None and wanted.path.indexed is not None:
        is_whole = wanted.path.indexed == wanted.path.text
        yield "path" if is_whole else "part of path", fits_path(assets.c, wanted.path.indexed)


def _ranges(wanted: AssetFilter) -> Iterator[Range]:
    """Give in which range the number is to which keys lead, if it is one that is in no array."""
    ranges = wanted.path.ranges if wanted.path is not None else ()
    for keys in dict.fromkeys(found.keys for found in ranges):
        of_keys = [found for found in ranges if found.keys == keys]
        yield Range(keys, max(found.at_least for found in of_keys), min(found.at_most for found in of_keys))


def _in_range(path: int, within: Range) -> sa.Select[Any]:
    """Give those with a number in the range, and all with numbers in an array, two of which may do what none does."""
    values = property_values.c
    found = sa.select(values.asset.label("found")).where(values.path == path)
    number = found.where(values.kind == NUMBER, values.num >= within.at_least, values.num <= within.at_most)
    both = sa.union_all(number, found.where(values.kind == IN_ARRAY)).subquery("values")
    return sa.select(both.c.found)
