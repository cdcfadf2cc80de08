"""What is looked for, as conditions on an asset."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONPATH
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.relationship import Direction
from iotsphere.assets.search import AssetFilter, RelatedTo
from iotsphere.kernel.identifiers import OrganisationId
from repositories.assets.places import END, get_path
from repositories.assets.search_orders import Columns
from repositories.assets.tables import places, relationships

Condition = sa.ColumnElement[bool]
WORDS = ARRAY(sa.Text)


@dataclass(frozen=True, slots=True)
class Conditions:
    """``below`` is the path of the asset below which is looked."""

    narrowed_to: AssetFilter
    below: bytes | None = None

    def on(self, columns: Columns, *, but: frozenset[str] = frozenset()) -> list[Condition]:
        """Give the conditions, those that cost more at the end; without what is known already."""
        return [condition for name, condition in self._named(columns) if name not in but]

    def _named(self, columns: Columns) -> Iterator[tuple[str, Condition]]:
        wanted = self.narrowed_to
        for name in ("asset_type", "device_id", "parent_id"):
            if getattr(wanted, name) is not None:
                yield name, columns[name] == getattr(wanted, name)
        if wanted.match:
            yield "match", columns["properties"].contains(wanted.match)
        if wanted.words is not None:
            yield "words", _has_words(columns, wanted.words)
        if self.below is not None:
            yield "ancestor", _is_below(columns, self.below)
        if wanted.related_to is not None:
            yield "related_to", _is_related(columns, wanted.related_to)
        if wanted.path is not None:
            yield "path", fits_path(columns, wanted.path.text)


async def find_conditions(
    connection: AsyncConnection, organisation_id: OrganisationId, wanted: AssetFilter
) -> Conditions:
    """Give the conditions of a filter, of which the assets are there that it speaks of.

    :raises AssetNotFoundError: one of them is not.
    """
    paths = {asset_id: await get_path(connection, organisation_id, asset_id) for asset_id in wanted.named}
    return Conditions(wanted, None if wanted.ancestor is None else paths[wanted.ancestor])


def fits_path(columns: Columns, text: str) -> Condition:
    fits: Condition = columns["properties"].path_match(sa.literal(text, JSONPATH))
    return fits


def words_of(text: str) -> sa.ColumnElement[Any]:
    return sa.func.name_words(sa.literal(text, sa.Text), type_=WORDS)


def is_within(column: sa.ColumnElement[bytes], below: bytes) -> Condition:
    return sa.and_(column > below, column < below + END)


def related(wanted: RelatedTo) -> tuple[sa.ColumnElement[Any], Condition]:
    """Give where in a relationship the asset is that is looked for, and what holds of the relationship."""
    here, there = relationships.c.asset_id, relationships.c.other_id
    if wanted.direction is Direction.IN:
        here, there = there, here
    holds = there == wanted.asset_id
    return here, holds if wanted.type is None else sa.and_(holds, relationships.c.type == wanted.type)


# As sub-queries that give one value, since of those that EXISTS takes the planner may make one that is gone through
# from end to end before the first asset is looked at.


def _is_below(columns: Columns, below: bytes) -> Condition:
    place = sa.select(is_within(places.c.path, below)).where(places.c.number == columns["number"])
    return place.scalar_subquery()


def _is_related(columns: Columns, wanted: RelatedTo) -> Condition:
    here, holds = related(wanted)
    found = sa.select(sa.true()).where(here == columns["id"], holds).limit(1)
    return sa.func.coalesce(found.scalar_subquery(), sa.false())


def _has_words(columns: Columns, text: str) -> Condition:
    """Tell what the index on the beginnings of words does, without making those of every name that is looked at."""
    name = sa.func.lower(sa.func.normalize(columns["name"], sa.literal_column("NFKC")).collate("pg_c_utf8"))
    word = sa.func.unnest(words_of(text)).column_valued("word")
    beginnings = sa.func.array(sa.select("(^|[^[:alnum:]])" + word).scalar_subquery(), type_=WORDS)
    return name.op("~", is_comparison=True)(sa.all_(beginnings))
