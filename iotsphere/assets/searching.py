"""Finds assets."""

from iotsphere.assets.errors import SearchBusyError, SearchTooCostlyError
from iotsphere.assets.model import Asset
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.assets.search import BY_CREATION, AssetFilter, AssetOrder
from iotsphere.assets.turns import LONGEST_WAIT_SECONDS, Turns
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import Page

# Of five connections. Each may be at it for nearly two seconds.
PLACES_OF_ONE = 3


class AssetSearchService:
    def __init__(
        self, *, unit_of_work: AssetsUnitOfWorkFactory, longest_wait_seconds: float = LONGEST_WAIT_SECONDS
    ) -> None:
        self._unit_of_work = unit_of_work
        self._turns = Turns(SearchBusyError, places_of_one=PLACES_OF_ONE, longest_wait_seconds=longest_wait_seconds)

    async def search_assets(
        self,
        *,
        organisation_id: OrganisationId,
        narrowed_to: AssetFilter,
        order: AssetOrder = BY_CREATION,
        limit: int,
        cursor: str | None,
    ) -> Page[Asset]:
        """List the assets of an organisation that are looked for.

        What stays as it is between two pages is met once, whatever else is added, changed or removed. A page may be
        short, or empty, and have a next one all the same: much was gone through, and little of it was looked for.

        :raises AssetNotFoundError: what is looked for is below, or related to, an asset that is not there.
        :raises CursorMalformedError: the cursor is not one of such a search.
        :raises SearchOrderError: there is no such order of so many assets.
        :raises SearchTooCostlyError: it would take too long; ``errors`` names the field in which to say more.
        :raises SearchBusyError: others of the organisation are at it.
        """
        async with self._turns.turn(organisation_id), self._unit_of_work() as uow:
            try:
                return await uow.search.list(organisation_id, narrowed_to, order, limit=limit, cursor=cursor)
            except SearchTooCostlyError as error:
                raise SearchTooCostlyError(narrowed_to.widest) from error
