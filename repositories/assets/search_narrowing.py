"""By which indexes few candidates can be had for what is looked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import sqlalchemy as sa

from iotsphere.assets.predicate import Range
from iotsphere.assets.search import AssetFilter
from repositories.assets.search_conditions import (
    EQUAL,
    INDEXED_PATH,
    MATCH,
    WORDS_OF,
    Condition,
    Conditions,
    Values,
    fits,
    is_within,
)
from repositories.assets.search_orders import NUMBER, ORGANISATION_ID
from repositories.assets.tables import assets, places, property_values, relationships
from repositories.assets.values import KeptPaths

# Says that numbers are in an array on the way.
IN_ARRAY = 3


@dataclass(frozen=True, slots=True, eq=False)
class Narrowing:
    """Candidates by one index: ``query`` gives the assets, or what is in a column by which they are looked up.

    What is ``known`` of them need not be looked at again. Where other ways lead to the same assets, past many more,
    they have to come from a bitmap. Contested is a way for which the planner has to know what is looked for, lest it
    takes another index.
    """

    query: sa.Select[Any]
    known: frozenset[str] = frozenset()
    looked_up_by: sa.Column[Any] | None = None
    is_bitmap: bool = False
    is_contested: bool = False
    is_one: bool = False

    def candidates(self, at_most: sa.ColumnElement[int]) -> "Candidates":
        """Give what the index gives, and one more if that is more than ``at_most``."""
        first = self.query.limit(at_most + 1)
        if self.looked_up_by is None:
            return Candidates(first.subquery("a"))
        met = first.cte("looked_up")
        # None is looked up where there are too many.
        are_few = sa.select(sa.func.count()).select_from(met).scalar_subquery() <= at_most
        found = sa.select(met.c.found).where(are_few).distinct().subquery("found")
        looked_up = sa.select(assets).where(self.looked_up_by == found.c.found)
        one = looked_up.offset(sa.literal_column("0")).lateral("one")
        return Candidates(sa.select(one).select_from(found.join(one, sa.true())).subquery("a"), met)


@dataclass(frozen=True, slots=True)
class Candidates:
    """``rows`` are assets; they may have been ``met`` several times each."""

    rows: sa.FromClause
    met: sa.CTE | None = None

    def counted(self, rows: sa.CTE) -> sa.Subquery:
        """Tell how many were met, if ``rows`` are all of the assets."""
        met = rows if self.met is None else self.met
        return sa.select(sa.func.count().label("candidates")).select_from(met).subquery("counted")


OWNED = sa.select(assets).where(assets.c.organisation_id == ORGANISATION_ID)
EVERYTHING = Narrowing(OWNED)
"""All that an organisation has, which may be little."""


@dataclass(frozen=True, slots=True)
class Narrowable:
    """What there may be an index on: ``ranges`` are those of values that are kept, and types have one without order.

    Of a predicate the index on properties knows the whole, a part, or nothing.
    """

    conditions: Conditions
    knows_part: bool
    knows_whole: bool
    ranges: int
    has_type: bool

    @classmethod
    def of(cls, wanted: AssetFilter, paths: KeptPaths, *, is_by_creation: bool) -> Self:
        indexed = wanted.path.indexed if wanted.path is not None else None
        knows_whole = wanted.path is not None and indexed == wanted.path.text
        # For the order of creation there is an index on each type's.
        has_type = wanted.asset_type is not None and not is_by_creation
        ranges = len(_kept_ranges(wanted, paths))
        return cls(Conditions.of(wanted), indexed is not None, knows_whole, ranges, has_type)


def in_ranges(wanted: AssetFilter, paths: KeptPaths) -> Values:
    """Give what the narrowings ask for, beside the conditions."""
    values: Values = {}
    for nth, (path, within) in enumerate(_kept_ranges(wanted, paths)):
        values |= zip(_range_names(nth), (path, within.at_least, within.at_most), strict=True)
    return values


@lru_cache(maxsize=64)
def narrowings(narrowable: Narrowable) -> Sequence[Narrowing]:
    """Give the ways to have few candidates."""
    return tuple(_narrowings(narrowable))


def _narrowings(narrowable: Narrowable) -> Iterator[Narrowing]:
    conditions = narrowable.conditions
    names = conditions.names
    if "device_id" in names:
        yield Narrowing(OWNED.where(_equal("device_id")), frozenset({"device_id"}), is_one=True)
    # One index each: what only another one has would be looked up in every row, before anybody counts.
    of_properties = dict(_of_properties(narrowable))
    if of_properties:
        yield Narrowing(OWNED.where(*of_properties.values()), frozenset(of_properties), is_bitmap=True)
    if "words" in names:
        beginnings = sa.func.name_prefixes(assets.c.name).op("@>", is_comparison=True)(WORDS_OF)
        yield Narrowing(OWNED.where(beginnings), frozenset({"words"}), is_bitmap=True)
    if "parent_id" in names:
        # It is one of the organisation, and so is what is below it.
        children = sa.select(assets).where(_equal("parent_id"))
        yield Narrowing(children, frozenset({"parent_id"}), is_bitmap=True)
    if "ancestor" in names:
        below = sa.select(places.c.number.label("found")).where(is_within(places.c.path))
        yield Narrowing(below, frozenset({"ancestor"}), assets.c.number)
    if "related_to" in names:
        here, holds = conditions.related()
        ends = sa.select(here.label("found")).select_from(relationships).where(holds)
        yield Narrowing(ends, frozenset({"related_to"}), assets.c.id)
    if narrowable.has_type:
        of_type = OWNED.where(_equal("asset_type"))
        yield Narrowing(of_type, frozenset({"asset_type"}), is_bitmap=True, is_contested=True)
    for nth in range(narrowable.ranges):
        yield Narrowing(_in_range(nth), looked_up_by=assets.c.number)


def _equal(name: str) -> Condition:
    condition: Condition = assets.c[name] == EQUAL[name]
    return condition


def _of_properties(narrowable: Narrowable) -> Iterator[tuple[str, Condition]]:
    if "match" in narrowable.conditions.names:
        yield "match", assets.c.properties.contains(MATCH)
    # What the index knows nothing of would be looked up in every row, before anybody counts.
    if narrowable.knows_part:
        yield "path" if narrowable.knows_whole else "part of path", fits(assets.c, INDEXED_PATH)


def _kept_ranges(wanted: AssetFilter, paths: KeptPaths) -> list[tuple[int, Range]]:
    """Give in which range the number is to which keys lead, if it is one that is in no array."""
    ranges = wanted.path.ranges if wanted.path is not None else ()
    kept: list[tuple[int, Range]] = []
    for keys in dict.fromkeys(found.keys for found in ranges):
        of_keys = [found for found in ranges if found.keys == keys]
        path = paths.find(keys)
        if path is not None:
            within = Range(keys, max(found.at_least for found in of_keys), min(found.at_most for found in of_keys))
            kept.append((path, within))
    return kept


def _range_names(nth: int) -> tuple[str, str, str]:
    return f"range_{nth}_path", f"range_{nth}_from", f"range_{nth}_to"


def _in_range(nth: int) -> sa.Select[Any]:
    """Give those with a number in the range, and all with numbers in an array, two of which may do what none does."""
    values = property_values.c
    path, at_least, at_most = _range_names(nth)
    found = sa.select(values.asset.label("found")).where(values.path == sa.bindparam(path, type_=sa.Integer))
    number = found.where(
        values.kind == NUMBER,
        values.num >= sa.bindparam(at_least, type_=sa.Double),
        values.num <= sa.bindparam(at_most, type_=sa.Double),
    )
    both = sa.union_all(number, found.where(values.kind == IN_ARRAY)).subquery("values")
    return sa.select(both.c.found)
