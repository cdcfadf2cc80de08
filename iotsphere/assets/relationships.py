"""Relationships between assets, beside the tree: what feeds what, what stands in for what."""

from contextlib import suppress

from iotsphere.assets.documents import JsonObject
from iotsphere.assets.errors import RelationshipNotFoundError
from iotsphere.assets.model import ASSET_TYPE
from iotsphere.assets.ports import AssetsUnitOfWork, AssetsUnitOfWorkFactory
from iotsphere.assets.relationship import Link, Relationship, RelationshipFilter
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import Page


class RelationshipService:
    def __init__(self, *, unit_of_work: AssetsUnitOfWorkFactory, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def relate_assets(
        self, *, link: Link, properties: JsonObject | None = None, expected_version: int | None = None
    ) -> Relationship:
        """Relate two assets, or replace what was said of their relationship.

        Of two who do so at the same time, one comes after the other. One that is made again after it was ended has
        no version that it has had before.

        :raises RuleViolationError: no relationship can be of that type, or the properties cannot be kept; ``errors``
            names the place.
        :raises RelationshipTooLargeError: the properties are over the limit.
        :raises RelationshipToItselfError: the two are the same.
        :raises AssetNotFoundError: one of the two is not there, or not in this organisation.
        :raises PreconditionFailedError: it has another version than the expected one, or there is none.
        """
        now = self._clock()
        relationship = Relationship(link, properties or {}, created_at=now, updated_at=now)
        async with self._unit_of_work() as uow:
            for asset_id in (link.asset_id, link.other_id):
                await uow.places.get(link.organisation_id, asset_id)
            if expected_version is None:
                related = await _put(uow, relationship)
            else:
                present = await _get_expected(uow, link, expected_version)
                related = await _replace(uow, present, relationship)
            await uow.commit()
        return related

    async def get_relationship(self, *, link: Link) -> Relationship:
        """:raises RelationshipNotFoundError: there is none, or not in this organisation."""
        _check_type(link)
        async with self._unit_of_work() as uow:
            return await uow.relationships.get(link)

    async def list_relationships(
        self, *, organisation_id: OrganisationId, narrowed_to: RelationshipFilter, limit: int, cursor: str | None
    ) -> Page[Relationship]:
        """List the relationships of an asset by type, those of a type by the id of the other asset.

        :raises AssetNotFoundError: there is no such asset, or not in this organisation.
        """
        async with self._unit_of_work() as uow:
            await uow.places.get(organisation_id, narrowed_to.asset_id)
            return await uow.relationships.list(organisation_id, narrowed_to, limit=limit, cursor=cursor)

    async def unrelate_assets(self, *, link: Link, expected_version: int | None = None) -> None:
        """End a relationship.

        :raises RelationshipNotFoundError: there is none, or not in this organisation.
        :raises PreconditionFailedError: it has another version than the expected one.
        """
        _check_type(link)
        async with self._unit_of_work() as uow:
            _check_version(await uow.relationships.get(link, for_update=True), expected_version)
            await uow.relationships.remove(link)
            await uow.commit()


def _check_type(link: Link) -> None:
    """Do not look for what nobody can have made: some texts no database takes."""
    if not ASSET_TYPE.fullmatch(link.type):
        raise RelationshipNotFoundError


async def _put(uow: AssetsUnitOfWork, relationship: Relationship) -> Relationship:
    while True:
        added = await uow.relationships.add(relationship)
        if added is not None:
            return added
        # Unless somebody has ended what was there, since we were told of it: then it can be added.
        with suppress(RelationshipNotFoundError):
            present = await uow.relationships.get(relationship.link, for_update=True)
            return await _replace(uow, present, relationship)


async def _replace(uow: AssetsUnitOfWork, present: Relationship, wanted: Relationship) -> Relationship:
    replaced = present.describe(wanted.properties, changed_at=wanted.updated_at)
    await uow.relationships.save(replaced)
    return replaced


async def _get_expected(uow: AssetsUnitOfWork, link: Link, expected_version: int) -> Relationship:
    try:
        present = await uow.relationships.get(link, for_update=True)
    except RelationshipNotFoundError as error:
        raise PreconditionFailedError("The two assets are not related like that yet.") from error
    _check_version(present, expected_version)
    return present


def _check_version(relationship: Relationship, expected_version: int | None) -> None:
    if expected_version not in {None, relationship.version}:
        raise PreconditionFailedError(f"The relationship is at version {relationship.version}.")
