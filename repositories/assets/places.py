"""The trees of assets in PostgreSQL: where each asset stands, as a path of numbers (ADR 0038).

An asset that is added is given its place by the database itself, below its parent or as a root.
"""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.errors import AssetNotFoundError, AssetTooDeepError
from iotsphere.assets.model import Asset
from iotsphere.assets.place import MAX_LEVELS, Place, encode_place, level_behind, place_behind
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from iotsphere.kernel.pagination import Page, encode_cursor
from repositories.assets.pages import last_shown, within_room
from repositories.assets.rows import DOCUMENTS, row_to_asset
from repositories.assets.tables import assets, places
from repositories.sql import violated_constraint

NUMBER_BYTES = 8
# Comes after every number, of which none is negative.
END = b"\xff"
LENGTH = "ck_places_path"
"""The constraint that keeps assets above the last level."""
# Any number will do that no other advisory locks of this database have.
LOCK_SPACE = 4072036

HOLD_ALONE = sa.text("SELECT pg_advisory_xact_lock(:space, hashtext(CAST(:organisation_id AS text)))")
HOLD_TOGETHER = sa.text("SELECT pg_advisory_xact_lock_shared(:space, hashtext(CAST(:organisation_id AS text)))")

# In order, so that it is counted in the index, where they lie together.
COUNT = sa.text("""
SELECT count(*) FROM (SELECT FROM places WHERE path >= :path AND path < :end ORDER BY path LIMIT :at_most) counted
""")

MOVE = sa.text("""
UPDATE places SET path = CAST(:below AS bytea) || substring(path FROM :own) WHERE path >= :path AND path < :end
""")

# From one to the next in the order of the tree. What is too deep is not looked at: from whatever is as deep as may
# be, the way leads past all that is below it. So a page costs what it shows, whatever else there is.
DESCENDANTS = (
    sa.text("""
WITH RECURSIVE top AS (
    SELECT path, path || CAST(:end AS bytea) AS behind, length(path) AS above
    FROM places JOIN assets USING (number) WHERE id = :asset_id AND organisation_id = :organisation_id
), walk AS (
    (SELECT path, number, 1 AS nth FROM places
     WHERE path > (SELECT path || CAST(:start AS bytea) FROM top) AND path < (SELECT behind FROM top)
     ORDER BY path LIMIT 1)
    UNION ALL
    SELECT next.path, next.number, nth + 1
    FROM walk CROSS JOIN LATERAL (
        SELECT places.path, places.number FROM places
        WHERE places.path > CASE WHEN length(walk.path) < (SELECT above FROM top) + CAST(:depth_bytes AS integer)
                                 THEN walk.path ELSE walk.path || CAST(:end AS bytea) END
          AND places.path < (SELECT behind FROM top)
        ORDER BY places.path LIMIT 1
    ) next
    WHERE nth < :most
)
SELECT number, nth, substring(path FROM (SELECT above FROM top) + 1) AS below FROM walk
""")
    .columns(sa.column("number", sa.BigInteger), sa.column("nth", sa.Integer), sa.column("below", sa.LargeBinary))
    .subquery("found")
)


class SqlAlchemyPlaceRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def hold(self, organisation_id: OrganisationId, *, alone: bool) -> None:
        # A statement of its own: what one sees is settled before it waits.
        lock = HOLD_ALONE if alone else HOLD_TOGETHER
        await self._connection.execute(lock, {"space": LOCK_SPACE, "organisation_id": str(organisation_id)})

    async def get(self, organisation_id: OrganisationId, asset_id: AssetId) -> Place:
        return bytes_to_place(await get_path(self._connection, organisation_id, asset_id))

    async def find(self, organisation_id: OrganisationId, asset_ids: Collection[AssetId]) -> dict[AssetId, Place]:
        if not asset_ids:
            return {}
        wanted = sa.literal(list(asset_ids), sa.ARRAY(sa.Uuid))
        query = sa.select(assets.c.id, places.c.path).join(places, places.c.number == assets.c.number)
        owned = query.where(assets.c.id == sa.any_(wanted), assets.c.organisation_id == organisation_id)
        return {AssetId(row.id): bytes_to_place(row.path) for row in await self._connection.execute(owned)}

    async def count(self, place: Place, *, at_most: int) -> int:
        counted: int = await self._connection.scalar(COUNT, _range_of(place) | {"at_most": at_most})
        return counted

    async def save(self, place: Place, *, below: Place) -> None:
        own = (len(place) - 1) * NUMBER_BYTES + 1
        try:
            await self._connection.execute(MOVE, _range_of(place) | {"below": place_to_bytes(below), "own": own})
        except IntegrityError as error:
            if violated_constraint(error) == LENGTH:
                raise AssetTooDeepError(MAX_LEVELS) from error
            raise

    async def list_ancestors(
        self, organisation_id: OrganisationId, asset_id: AssetId, *, limit: int, cursor: str | None
    ) -> Page[Asset]:
        first = level_behind(cursor)
        numbers = (await self.get(organisation_id, asset_id))[:-1]
        shown = numbers[first : first + limit]
        named = sa.literal(shown, sa.ARRAY(sa.BigInteger))
        # Who has gone since the place was read is in it no more.
        query = sa.select(assets).where(assets.c.number == sa.any_(named))
        in_order = query.order_by(sa.func.array_position(named, assets.c.number))
        rows = (await self._connection.execute(within_room(in_order, *DOCUMENTS))).all()
        last = last_shown(rows, limit)
        behind = first + (limit if last is None else shown.index(last.number) + 1)
        return Page([row_to_asset(row) for row in rows], encode_cursor(behind) if len(numbers) > behind else None)

    async def list_descendants(
        self, organisation_id: OrganisationId, asset_id: AssetId, *, depth: int, limit: int, cursor: str | None
    ) -> Page[Asset]:
        last = place_behind(cursor)
        query = sa.select(assets, DESCENDANTS.c.below).join(DESCENDANTS, DESCENDANTS.c.number == assets.c.number)
        found = await self._connection.execute(
            within_room(query.order_by(DESCENDANTS.c.nth), *DOCUMENTS),
            {
                "asset_id": asset_id,
                "organisation_id": organisation_id,
                # Past all that is below the last one, if that is not asked for.
                "start": place_to_bytes(last[:depth]) + (END if len(last) >= depth else b""),
                "end": END,
                "depth_bytes": depth * NUMBER_BYTES,
                "most": limit + 1,
            },
        )
        rows = found.all()
        end = last_shown(rows, limit)
        next_cursor = None if end is None else encode_place(bytes_to_place(end.below))
        return Page([row_to_asset(row) for row in rows[:limit]], next_cursor)


async def get_path(connection: AsyncConnection, organisation_id: OrganisationId, asset_id: AssetId) -> bytes:
    """Give where an asset stands, as the database has it.

    :raises AssetNotFoundError: there is no such asset, or not in this organisation.
    """
    query = sa.select(places.c.path).join(assets, assets.c.number == places.c.number)
    owned = query.where(assets.c.id == asset_id, assets.c.organisation_id == organisation_id)
    path: bytes | None = await connection.scalar(owned)
    if path is None:
        raise AssetNotFoundError
    return path


def _range_of(place: Place) -> dict[str, bytes]:
    """Give the path at a place and the end of all below it."""
    path = place_to_bytes(place)
    return {"path": path, "end": path + END}


def place_to_bytes(place: Place) -> bytes:
    return b"".join(number.to_bytes(NUMBER_BYTES) for number in place)


def bytes_to_place(path: bytes) -> Place:
    return tuple(int.from_bytes(path[at : at + NUMBER_BYTES]) for at in range(0, len(path), NUMBER_BYTES))
