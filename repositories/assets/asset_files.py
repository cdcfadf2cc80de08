"""Assets by the file in PostgreSQL: many at once, and all of them in the order of their trees."""

import builtins
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.asset_line import KnownAsset
from iotsphere.assets.errors import SearchTooCostlyError
from iotsphere.assets.model import Asset
from iotsphere.assets.place import Place
from iotsphere.assets.search import AssetFilter
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor
from repositories.assets.pages import last_shown, within_room
from repositories.assets.places import END, bytes_to_place, place_to_bytes
from repositories.assets.rows import DOCUMENTS, portions_of, row_to_asset
from repositories.assets.search_conditions import Conditions, find_values
from repositories.assets.search_statements import NO_OFFSET
from repositories.assets.tables import assets
from repositories.sql import QUERY_CANCELED, sqlstate

# Each may take half a megabyte, all of which is read to tell how much it is.
MEASURED_AT_ONCE = 100

FIND_KNOWN = sa.text("""
SELECT id, device_id, parent_id, EXISTS (SELECT FROM assets below WHERE below.parent_id = assets.id) AS is_parent,
    octet_length(CAST(properties AS text)) + octet_length(CAST(capabilities AS text)) AS size
FROM assets
WHERE organisation_id = :organisation_id
    AND (id = ANY(CAST(:asset_ids AS uuid[])) OR device_id = ANY(CAST(:device_ids AS uuid[])))
""")

# In the order of the ids, as all who lock many: then of two neither waits for the other.
FIND_PLACES = sa.text("""
SELECT assets.id, places.path FROM assets JOIN places USING (number)
WHERE assets.id = ANY(CAST(:asset_ids AS uuid[])) AND organisation_id = :organisation_id
ORDER BY assets.id FOR KEY SHARE OF assets
""")

# Numbers, and so the order among those below one asset, follow the order in which they are given.
ADD = sa.text("""
INSERT INTO assets (
    id, organisation_id, asset_type, name, properties, capabilities, created_at, updated_at, version, parent_id
)
SELECT id, organisation_id, asset_type, name, CAST(properties AS jsonb), CAST(capabilities AS jsonb),
    created_at, created_at, 1, parent_id
FROM unnest(
    CAST(:ids AS uuid[]), CAST(:organisation_ids AS uuid[]), CAST(:asset_types AS text[]), CAST(:names AS text[]),
    CAST(:properties AS text[]), CAST(:capabilities AS text[]), CAST(:moments AS timestamptz[]),
    CAST(:parent_ids AS uuid[])
) WITH ORDINALITY AS added (
    id, organisation_id, asset_type, name, properties, capabilities, created_at, parent_id, line
)
ORDER BY line
ON CONFLICT (id) DO NOTHING RETURNING id
""")

SAVE = sa.text("""
UPDATE assets SET asset_type = changed.asset_type, name = changed.name,
    properties = CAST(changed.properties AS jsonb), capabilities = CAST(changed.capabilities AS jsonb),
    updated_at = changed.updated_at, parent_id = changed.parent_id, version = changed.version
FROM unnest(
    CAST(:ids AS uuid[]), CAST(:organisation_ids AS uuid[]), CAST(:asset_types AS text[]), CAST(:names AS text[]),
    CAST(:properties AS text[]), CAST(:capabilities AS text[]), CAST(:moments AS timestamptz[]),
    CAST(:parent_ids AS uuid[]), CAST(:versions AS integer[])
) AS changed (
    id, organisation_id, asset_type, name, properties, capabilities, updated_at, parent_id, version
)
WHERE assets.id = changed.id AND assets.organisation_id = changed.organisation_id
""")

SAVE_PLACES = sa.text("""
UPDATE places SET path = moved.path
FROM unnest(CAST(:numbers AS bigint[]), CAST(:paths AS bytea[])) AS moved (number, path)
WHERE places.number = moved.number
""")

# Tree after tree, of which the first is the one that the last page ended in; or what is at an asset and below it.
WALK = """
WITH tops AS ({tops})
SELECT tops.created_at, tops.id, tops.path AS top, walked.path, walked.number
FROM tops CROSS JOIN LATERAL (
    SELECT path, number FROM places
    WHERE path >= CASE WHEN tops.id = :top THEN tops.path || CAST(:behind AS bytea) ELSE tops.path END
        AND path < tops.path || CAST(:end AS bytea)
    ORDER BY path LIMIT :most
) walked
ORDER BY tops.created_at, tops.id, walked.path LIMIT :most
"""
WALK_ALL = sa.text(
    WALK.format(
        tops="""
    SELECT created_at, id, int8send(number) AS path FROM assets
    WHERE organisation_id = :organisation_id AND parent_id IS NULL AND (created_at, id) >= (:created_at, :top)
    ORDER BY created_at, id LIMIT CAST(:most AS integer) + 1
"""
    )
)
WALK_BELOW = sa.text(
    WALK.format(
        tops="""
    SELECT created_at, id, path FROM assets JOIN places USING (number)
    WHERE id = :ancestor AND organisation_id = :organisation_id
"""
    )
)
NUMBERS = sa.bindparam("numbers", type_=sa.ARRAY(sa.BigInteger))
# Comes before every number, of which the least is 1.
START = b"\0"
Last = tuple[datetime, UUID, Place]
BEFORE_ALL: Last = (datetime.min.replace(tzinfo=UTC), UUID(int=0), ())


class SqlAlchemyAssetFileRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find_known(
        self, organisation_id: OrganisationId, *, asset_ids: Collection[AssetId], device_ids: Collection[DeviceId]
    ) -> builtins.list[KnownAsset]:
        ids, of_devices = [*asset_ids], [*device_ids]
        known: dict[AssetId, KnownAsset] = {}
        for first in range(0, max(len(ids), len(of_devices)), MEASURED_AT_ONCE):
            those = slice(first, first + MEASURED_AT_ONCE)
            named = {"organisation_id": organisation_id, "asset_ids": ids[those], "device_ids": of_devices[those]}
            known.update({row.id: KnownAsset(*row) for row in await self._connection.execute(FIND_KNOWN, named)})
        return [*known.values()]

    async def find(self, organisation_id: OrganisationId, asset_ids: Collection[AssetId]) -> builtins.list[Asset]:
        wanted = sa.literal([*asset_ids], sa.ARRAY(sa.Uuid))
        query = sa.select(assets).where(assets.c.id == sa.any_(wanted), assets.c.organisation_id == organisation_id)
        locked = query.order_by(assets.c.id).with_for_update(key_share=True)
        return [row_to_asset(row) for row in await self._connection.execute(locked)]

    async def find_places(
        self, organisation_id: OrganisationId, asset_ids: Collection[AssetId]
    ) -> dict[AssetId, Place]:
        named = {"organisation_id": organisation_id, "asset_ids": [*asset_ids]}
        found = await self._connection.execute(FIND_PLACES, named)
        return {AssetId(row.id): bytes_to_place(row.path) for row in found}

    async def add(self, drafted: Sequence[Asset]) -> set[AssetId]:
        added: set[AssetId] = set()
        for portion in portions_of(drafted):
            found = await self._connection.execute(ADD, _columns_of(portion))
            added.update(AssetId(asset_id) for asset_id in found.scalars())
        return added

    async def save(self, changed: Sequence[Asset]) -> None:
        for portion in portions_of(changed):
            versions = [asset.version for asset in portion]
            await self._connection.execute(SAVE, _columns_of(portion) | {"versions": versions})

    async def save_places(self, moved: Sequence[Place]) -> None:
        columns = {"numbers": [place[-1] for place in moved], "paths": [place_to_bytes(place) for place in moved]}
        await self._connection.execute(SAVE_PLACES, columns)

    async def list(
        self, organisation_id: OrganisationId, narrowed_to: AssetFilter, *, limit: int, cursor: str | None
    ) -> Page[Asset]:
        try:
            return await self._list(organisation_id, narrowed_to, limit, cursor)
        except DBAPIError as error:
            if narrowed_to.path is not None and sqlstate(error) == QUERY_CANCELED:
                # Without its cause, which the unit of work would take for a store that is busy.
                raise SearchTooCostlyError("path") from None
            raise

    async def _list(
        self, organisation_id: OrganisationId, narrowed_to: AssetFilter, limit: int, cursor: str | None
    ) -> Page[Asset]:
        values = await find_values(self._connection, organisation_id, narrowed_to)
        walked = await self._walk(organisation_id, narrowed_to.ancestor, _last(cursor), limit)
        asked = values | {NUMBERS.key: [row.number for row in walked]}
        rows = (await self._connection.execute(_fitting(Conditions.of(narrowed_to)), asked)).all()
        page = [row_to_asset(row) for row in rows]
        last = last_shown(rows, limit)
        if last is not None:
            return Page(page, _behind(next(row for row in walked if row.number == last.number)))
        return Page(page, _behind(walked[-1]) if len(walked) == limit else None)

    async def _walk(
        self, organisation_id: OrganisationId, ancestor: AssetId | None, last: Last, most: int
    ) -> Sequence[sa.Row[Any]]:
        created_at, top, below = last
        asked: dict[str, Any] = {
            "organisation_id": organisation_id,
            "top": top,
            "behind": place_to_bytes(below) + START,
            "end": END,
            "most": most,
        }
        if ancestor is None:
            walked = await self._connection.execute(WALK_ALL, asked | {"created_at": created_at})
        else:
            walked = await self._connection.execute(WALK_BELOW, asked | {"ancestor": ancestor})
        return walked.all()


@lru_cache(maxsize=64)
def _fitting(conditions: Conditions) -> sa.Select[Any]:
    """Give what is looked for of what was walked past; made once for each kind of question, which takes longer."""
    # Of these alone it is told whether they are looked for, whatever the planner thinks of the conditions.
    passed = sa.select(assets).where(assets.c.number == sa.any_(NUMBERS)).offset(NO_OFFSET).subquery("passed")
    # Whatever is walked past is at the ancestor or below it.
    query = sa.select(passed).where(*conditions.on(passed.c, but=frozenset({"ancestor"})))
    return within_room(query.order_by(sa.func.array_position(NUMBERS, passed.c.number)), *DOCUMENTS)


def _columns_of(described: Sequence[Asset]) -> dict[str, builtins.list[object]]:
    return {
        "ids": [asset.id for asset in described],
        "organisation_ids": [asset.organisation_id for asset in described],
        "asset_types": [asset.asset_type for asset in described],
        "names": [asset.name for asset in described],
        "properties": [msgspec.json.encode(asset.properties).decode() for asset in described],
        "capabilities": [msgspec.json.encode(asset.capabilities).decode() for asset in described],
        "moments": [asset.updated_at for asset in described],
        "parent_ids": [asset.parent_id for asset in described],
    }


def _last(cursor: str | None) -> Last:
    return BEFORE_ALL if cursor is None else decode_cursor(cursor, tuple[datetime, UUID, tuple[int, ...]])


def _behind(row: sa.Row[Any]) -> str:
    return encode_cursor(row.created_at, row.id, bytes_to_place(row.path[len(row.top) :]))
