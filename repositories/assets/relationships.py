"""Relationships of assets in PostgreSQL."""

from dataclasses import fields, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.assets.errors import AssetNotFoundError, RelationshipNotFoundError
from iotsphere.assets.relationship import Direction, Link, Relationship, RelationshipFilter, last_behind
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from iotsphere.kernel.pagination import Page, encode_cursor
from repositories.assets.pages import last_shown, within_room
from repositories.assets.tables import relationships
from repositories.sql import violated_constraint

ENDS = {"fk_relationships_asset_id", "fk_relationships_other_id"}

KEEP_ASSET = sa.text("SELECT FROM assets WHERE id = :asset_id FOR KEY SHARE")

IS = """
relationships.asset_id = :asset_id AND type = :type AND other_id = :other_id AND organisation_id = :organisation_id
"""
BEGIN_BEHIND = sa.text(f"""
UPDATE relationships SET version = ended.version + 1 FROM ended_relationships AS ended
WHERE ended.asset_id = relationships.asset_id AND {IS} RETURNING relationships.version
""")  # noqa: S608  # of constants, as below
END = sa.text(f"""
WITH ended AS (DELETE FROM relationships WHERE {IS} RETURNING asset_id, version)
INSERT INTO ended_relationships (asset_id, version) SELECT asset_id, version FROM ended
ON CONFLICT (asset_id) DO UPDATE SET version = greatest(ended_relationships.version, excluded.version)
""")  # noqa: S608


class SqlAlchemyRelationshipRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, relationship: Relationship) -> Relationship | None:
        # Not a violation to be caught: that would end the transaction, in which the other one is then replaced.
        statement = insert(relationships).values(_relationship_to_row(relationship)).on_conflict_do_nothing()
        try:
            added = await self._connection.execute(statement.returning(relationships.c.version))
        except IntegrityError as error:
            if violated_constraint(error) in ENDS:
                raise AssetNotFoundError from error
            raise
        if added.first() is None:
            return None
        # Not before: whoever has ended the same one just now is known to have done so from here on.
        version = await self._connection.scalar(BEGIN_BEHIND, _ends(relationship.link))
        return relationship if version is None else replace(relationship, version=version)

    async def get(self, link: Link, *, for_update: bool = False) -> Relationship:
        if for_update:
            # Whoever removes the asset has it first, and its relationships afterwards.
            await self._connection.execute(KEEP_ASSET, {"asset_id": link.asset_id})
        query = sa.select(relationships).where(_is(link))
        row = (await self._connection.execute(query.with_for_update() if for_update else query)).first()
        if row is None:
            raise RelationshipNotFoundError
        return _row_to_relationship(row)

    async def save(self, relationship: Relationship) -> None:
        where = _is(relationship.link)
        row = _relationship_to_row(relationship)
        await self._connection.execute(sa.update(relationships).where(where).values(row))

    async def remove(self, link: Link) -> None:
        await self._connection.execute(END, _ends(link))

    async def list(
        self, organisation_id: OrganisationId, narrowed_to: RelationshipFilter, *, limit: int, cursor: str | None
    ) -> Page[Relationship]:
        own, other = relationships.c.asset_id, relationships.c.other_id
        if narrowed_to.direction is Direction.IN:
            own, other = other, own
        query = sa.select(relationships).where(
            own == narrowed_to.asset_id, relationships.c.organisation_id == organisation_id
        )
        if narrowed_to.type is not None:
            query = query.where(relationships.c.type == narrowed_to.type)
        if cursor is not None:
            type_name, last = last_behind(cursor)
            behind = sa.tuple_(sa.literal(type_name, relationships.c.type.type), sa.literal(last, sa.Uuid))
            query = query.where(sa.tuple_(relationships.c.type, other) > behind)
        in_order = query.order_by(relationships.c.type, other).limit(limit + 1)
        rows = (await self._connection.execute(within_room(in_order, "properties"))).all()
        end = last_shown(rows, limit)
        next_cursor = None if end is None else encode_cursor(end.type, getattr(end, other.name))
        return Page([_row_to_relationship(row) for row in rows[:limit]], next_cursor)


def _is(link: Link) -> sa.ColumnElement[bool]:
    return sa.and_(
        relationships.c.asset_id == link.asset_id,
        relationships.c.type == link.type,
        relationships.c.other_id == link.other_id,
        relationships.c.organisation_id == link.organisation_id,
    )


def _ends(link: Link) -> dict[str, Any]:
    return {field.name: getattr(link, field.name) for field in fields(link)}


def _relationship_to_row(relationship: Relationship) -> dict[str, Any]:
    link = relationship.link
    return {
        "organisation_id": link.organisation_id,
        "asset_id": link.asset_id,
        "type": link.type,
        "other_id": link.other_id,
        "properties": relationship.properties,
        "created_at": relationship.created_at,
        "updated_at": relationship.updated_at,
        "version": relationship.version,
    }


def _row_to_relationship(row: sa.Row[Any]) -> Relationship:
    return Relationship(
        link=Link(OrganisationId(row.organisation_id), AssetId(row.asset_id), row.type, AssetId(row.other_id)),
        properties=row.properties,
        created_at=row.created_at,
        updated_at=row.updated_at,
        version=row.version,
    )
