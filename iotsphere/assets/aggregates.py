"""Works out figures over assets."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from iotsphere.assets.aggregate import Aggregation, Groups
from iotsphere.assets.errors import AggregateBusyError
from iotsphere.assets.ports import AssetsUnitOfWork, AssetsUnitOfWorkFactory
from iotsphere.assets.turns import Turns
from iotsphere.kernel.identifiers import AssetId, OrganisationId

# Of four connections. Each may be at it for nine seconds.
PLACES_OF_ONE = 2


class AssetAggregateService:
    def __init__(self, *, unit_of_work: AssetsUnitOfWorkFactory) -> None:
        self._unit_of_work = unit_of_work
        self._turns = Turns(AggregateBusyError, places_of_one=PLACES_OF_ONE)

    async def aggregate_assets(self, *, organisation_id: OrganisationId, asked: Aggregation) -> Groups:
        """Work out figures over the assets that are looked for, exactly.

        :raises AssetNotFoundError: what is looked for is below, or related to, an asset that is not there.
        :raises AggregateTooCostlyError: more assets are looked at than can be in time.
        :raises AggregateOverflowError: a figure is larger than a double can be.
        :raises AggregateBusyError: others of the organisation are at it.
        """
        async with self._turns.turn(organisation_id), self._unit_of_work() as uow:
            found = await uow.aggregates.aggregate(organisation_id, asked)
            by_asset = [grouping.is_by_asset for grouping in asked.groupings]
            return await _name(uow, organisation_id, found, by_asset) if any(by_asset) else found


async def _name(
    uow: AssetsUnitOfWork, organisation_id: OrganisationId, found: Groups, by_asset: Sequence[bool]
) -> Groups:
    """Say beside the ids of assets what these are called."""
    ids = [
        [AssetId(UUID(str(common))) if is_asset and common is not None else None for common, is_asset in pairs]
        for pairs in (zip(group.key, by_asset, strict=True) for group in found.groups)
    ]
    names = await uow.assets.find_names(organisation_id, {each for of_one in ids for each in of_one if each})
    groups = [
        replace(group, names=tuple(names.get(each) if each else None for each in of_one))
        for group, of_one in zip(found.groups, ids, strict=True)
    ]
    return replace(found, groups=groups)
