"""What is looked for, as conditions on an asset.

Statements are made once for each kind of question and kept: what is asked for comes in parameters, of these names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.relationship import Direction
from iotsphere.assets.search import AssetFilter
from iotsphere.kernel.identifiers import OrganisationId
from repositories.assets.places import END, get_path
from repositories.assets.search_orders import OF_TYPE, ORGANISATION_ID, Columns
from repositories.assets.tables import places, relationships

Condition = sa.ColumnElement[bool]
Values = dict[str, Any]
WORDS = ARRAY(sa.Text)

MATCH = sa.bindparam("match", type_=JSONB)
PATH = sa.bindparam("fits_path", type_=JSONPATH)
INDEXED_PATH = sa.bindparam("indexed_path", type_=JSONPATH)
BELOW = sa.bindparam("below", type_=sa.LargeBinary), sa.bindparam("below_end", type_=sa.LargeBinary)
RELATED_ID = sa.bindparam("related_id", type_=sa.Uuid)
RELATED_TYPE = sa.bindparam("related_type", type_=sa.Text)
WORDS_OF = sa.func.name_words(sa.bindparam("words", type_=sa.Text), type_=WORDS)
EQUAL = {
    "asset_type": OF_TYPE,
    "device_id": sa.bindparam("of_device", type_=sa.Uuid),
    "parent_id": sa.bindparam("of_parent", type_=sa.Uuid),
}


@dataclass(frozen=True, slots=True)
class Conditions:
    """By which members of a filter assets are looked for, whatever is in them."""

    names: frozenset[str]
    direction: Direction = Direction.OUT
    has_type: bool = False

    @classmethod
    def of(cls, wanted: AssetFilter) -> Self:
        # Whatever there is contains an object without members.
        given = (name for name in wanted.__slots__ if getattr(wanted, name) not in (None, {}))
        if wanted.related_to is None:
            return cls(frozenset(given))
        return cls(frozenset(given), wanted.related_to.direction, wanted.related_to.type is not None)

    def on(self, columns: Columns, *, but: frozenset[str] = frozenset()) -> list[Condition]:
        """Give the conditions, those that cost more at the end; without what is known already."""
        return [condition for name, condition in self._named(columns) if name in self.names - but]

    def related(self) -> tuple[sa.ColumnElement[Any], Condition]:
        """Give where in a relationship the asset is that is looked for, and what holds of the relationship."""
        here, there = relationships.c.asset_id, relationships.c.other_id
        if self.direction is Direction.IN:
            here, there = there, here
        holds = there == RELATED_ID
        return here, sa.and_(holds, relationships.c.type == RELATED_TYPE) if self.has_type else holds

    def _named(self, columns: Columns) -> Iterator[tuple[str, Condition]]:
        for name, value in EQUAL.items():
            yield name, columns[name] == value
        yield "match", columns["properties"].contains(MATCH)
        yield "words", _has_words(columns)
        yield "ancestor", _is_below(columns)
        yield "related_to", self._is_related(columns)
        yield "path", fits(columns, PATH)

    # As sub-queries that give one value, since of those that EXISTS takes the planner may make one that is gone
    # through from end to end before the first asset is looked at.

    def _is_related(self, columns: Columns) -> Condition:
        here, holds = self.related()
        found = sa.select(sa.true()).where(here == columns["id"], holds).limit(sa.literal_column("1"))
        return sa.func.coalesce(found.scalar_subquery(), sa.false())


async def find_values(connection: AsyncConnection, organisation_id: OrganisationId, wanted: AssetFilter) -> Values:
    """Give what is asked for in the conditions of a filter, of which the assets are there that it speaks of.

    :raises AssetNotFoundError: one of them is not.
    """
    paths = {asset_id: await get_path(connection, organisation_id, asset_id) for asset_id in wanted.named}
    values: Values = {
        ORGANISATION_ID.key: organisation_id,
        MATCH.key: wanted.match,
        "words": wanted.words,
        **{parameter.key: getattr(wanted, name) for name, parameter in EQUAL.items()},
    }
    if wanted.ancestor is not None:
        below = paths[wanted.ancestor]
        values |= {"below": below, "below_end": below + END}
    if wanted.related_to is not None:
        values |= {RELATED_ID.key: wanted.related_to.asset_id, RELATED_TYPE.key: wanted.related_to.type}
    if wanted.path is not None:
        values |= {PATH.key: wanted.path.text, INDEXED_PATH.key: wanted.path.indexed}
    return values


def fits(columns: Columns, path: sa.BindParameter[Any]) -> Condition:
    condition: Condition = columns["properties"].path_match(path)
    return condition


def is_within(column: sa.ColumnElement[bytes]) -> Condition:
    start, end = BELOW
    return sa.and_(column > start, column < end)


def _is_below(columns: Columns) -> Condition:
    place = sa.select(is_within(places.c.path)).where(places.c.number == columns["number"])
    return place.scalar_subquery()


def _has_words(columns: Columns) -> Condition:
    """Tell what the index on the beginnings of words does, without making those of every name that is looked at."""
    name = sa.func.lower(sa.func.normalize(columns["name"], sa.literal_column("NFKC")).collate("pg_c_utf8"))
    word = sa.func.unnest(WORDS_OF).column_valued("word")
    beginnings = sa.func.array(sa.select("(^|[^[:alnum:]])" + word).scalar_subquery(), type_=WORDS)
    return name.op("~", is_comparison=True)(sa.all_(beginnings))
