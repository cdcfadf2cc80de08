"""The history of assets in PostgreSQL (ADR 0039).

What an asset was before a change the database keeps by itself, where the change does not tell it, whoever makes it.
"""

import builtins
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.change import KEPT_EVERY, KEPT_VERSIONS, UNKNOWN, AssetChange, change_behind
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from iotsphere.kernel.pagination import Page, encode_cursor
from repositories.assets.pages import last_shown, within_room
from repositories.assets.tables import asset_changes, assets

changes = asset_changes.c

ADD = sa.text("""
INSERT INTO asset_changes (asset, version, changed_at, actor, patch)
SELECT number, told.version, told.changed_at, told.actor, CAST(told.patch AS jsonb)
FROM unnest(
    CAST(:ids AS uuid[]), CAST(:organisation_ids AS uuid[]), CAST(:versions AS integer[]),
    CAST(:times AS timestamptz[]), CAST(:actors AS text[]), CAST(:patches AS text[])
) AS told (id, organisation_id, version, changed_at, actor, patch)
JOIN assets USING (id, organisation_id)
""")

# All of an asset that may change, as the database itself writes it down.
DESCRIPTION = sa.func.jsonb_build_object(
    *("asset_type", assets.c.asset_type, "name", assets.c.name),
    *("properties", assets.c.properties, "capabilities", assets.c.capabilities),
    type_=JSONB,
).concat(
    sa.case(
        (assets.c.parent_id.is_(None), sa.literal({}, JSONB)),
        else_=sa.func.jsonb_build_object("parent_id", assets.c.parent_id, type_=JSONB),
    )
)
# Where no patch tells what a version was, it is kept whole, or is what the asset is.
WHOLE = sa.case(
    (
        changes.patch.is_(None),
        sa.func.coalesce(
            changes.whole,
            sa.select(DESCRIPTION)
            .where(assets.c.number == changes.asset, assets.c.version == changes.version)
            .scalar_subquery(),
        ),
    ),
)
Conditions = Callable[[sa.ColumnElement[Any], sa.ColumnElement[Any]], Iterable[sa.ColumnElement[bool]]]


class SqlAlchemyAssetChangeRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, *changes: AssetChange) -> None:
        await self._connection.execute(ADD, _changes_to_arrays(changes))
        for change in changes:
            if change.version > KEPT_VERSIONS and change.version % KEPT_EVERY == 1:
                await self._remove_before(change, change.version - KEPT_VERSIONS)

    async def _remove_before(self, change: AssetChange, version: int) -> None:
        own = changes.asset == _number_of(change.organisation_id, change.asset_id)
        await self._connection.execute(sa.delete(asset_changes).where(own, changes.version < version))

    async def list(
        self,
        organisation_id: OrganisationId,
        asset_id: AssetId,
        *,
        start: datetime | None,
        end: datetime | None,
        limit: int,
        cursor: str | None,
    ) -> Page[AssetChange]:
        after = change_behind(cursor)

        def wanted(at: sa.ColumnElement[Any], version: sa.ColumnElement[Any]) -> Iterable[sa.ColumnElement[bool]]:
            if start is not None:
                yield at >= start
            if end is not None:
                yield at < end
            if after is not None:
                yield sa.tuple_(at, version) < sa.tuple_(sa.literal(after[0], at.type), sa.literal(after[1]))

        query = within_room(_newest(organisation_id, asset_id, wanted, limit + 1), "patch", "whole")
        rows = (await self._connection.execute(query)).all()
        found = [_row_to_change(organisation_id, asset_id, row) for row in rows[:limit]]
        last = last_shown(rows, limit)
        return Page(found, None if last is None else encode_cursor(last.changed_at, last.version))

    async def find_version_at(self, organisation_id: OrganisationId, asset_id: AssetId, at: datetime) -> int | None:
        query = _newest(organisation_id, asset_id, lambda changed_at, _: [changed_at <= at], 1)
        version: int | None = await self._connection.scalar(query)
        return version

    async def list_since_whole(
        self, organisation_id: OrganisationId, asset_id: AssetId, *, version: int
    ) -> Sequence[AssetChange]:
        # Of so many in a row one is kept whole, or some are missing.
        query = sa.select(asset_changes).where(
            changes.asset == _number_of(organisation_id, asset_id),
            changes.version.between(version - KEPT_EVERY + 1, version),
        )
        found: builtins.list[AssetChange] = []
        for row in await self._connection.execute(query.order_by(changes.version.desc())):
            if row.version != version - len(found):
                break
            found.append(_row_to_change(organisation_id, asset_id, row))
            if row.whole is not None:
                return found[::-1]
        return []


def _number_of(organisation_id: OrganisationId, asset_id: AssetId) -> sa.ScalarSelect[int]:
    query = sa.select(assets.c.number).where(assets.c.id == asset_id, assets.c.organisation_id == organisation_id)
    return query.scalar_subquery()


def _newest(
    organisation_id: OrganisationId, asset_id: AssetId, wanted: Conditions, limit: int
) -> sa.Select[tuple[Any, ...]]:
    """Select the newest changes that are wanted: what is told, and what the asset is if nobody has told of that."""
    told = (
        sa.select(changes.version, changes.changed_at, changes.actor, changes.patch, WHOLE.label("whole"))
        .where(changes.asset == _number_of(organisation_id, asset_id), *wanted(changes.changed_at, changes.version))
        .order_by(changes.changed_at.desc(), changes.version.desc())
        .limit(limit)
        .subquery()
    )
    is_told = sa.exists().where(changes.asset == assets.c.number, changes.version == assets.c.version)
    found = sa.select(
        *(assets.c.version, assets.c.updated_at, sa.literal(UNKNOWN), sa.cast(sa.null(), JSONB), DESCRIPTION)
    ).where(
        assets.c.id == asset_id,
        assets.c.organisation_id == organisation_id,
        ~is_told,
        *wanted(assets.c.updated_at, assets.c.version),
    )
    both = sa.union_all(sa.select(told), found).subquery()
    return sa.select(both).order_by(both.c.changed_at.desc(), both.c.version.desc()).limit(limit)


def _changes_to_arrays(changes: Sequence[AssetChange]) -> dict[str, builtins.list[Any]]:
    patches = [None if change.patch is None else msgspec.json.encode(change.patch).decode() for change in changes]
    return {
        "ids": [change.asset_id for change in changes],
        "organisation_ids": [change.organisation_id for change in changes],
        "versions": [change.version for change in changes],
        "times": [change.at for change in changes],
        "actors": [change.actor for change in changes],
        "patches": patches,
    }


def _row_to_change(organisation_id: OrganisationId, asset_id: AssetId, row: sa.Row[Any]) -> AssetChange:
    return AssetChange(
        organisation_id, asset_id, row.version, row.changed_at, row.actor, patch=row.patch, whole=row.whole
    )
