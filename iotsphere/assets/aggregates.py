"""Works out figures over assets."""

from iotsphere.assets.aggregate import Aggregation, Groups
from iotsphere.assets.errors import AggregateBusyError
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.assets.turns import Turns
from iotsphere.kernel.identifiers import OrganisationId

# Of ten connections. Each may be at it for nearly two seconds.
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
            return await uow.aggregates.aggregate(organisation_id, asked)
