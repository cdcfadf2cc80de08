import builtins
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from iotsphere.assets.aggregate import Aggregation, Groups
from iotsphere.assets.asset_line import KnownAsset
from iotsphere.assets.change import AssetChange
from iotsphere.assets.device_type import DeviceType
from iotsphere.assets.maintenance_event import MaintenanceEvent, MaintenanceFilter
from iotsphere.assets.model import Asset
from iotsphere.assets.place import Place
from iotsphere.assets.relationship import Link, Relationship, RelationshipFilter
from iotsphere.assets.search import BY_CREATION, AssetFilter, AssetOrder
from iotsphere.kernel.identifiers import AssetId, DeviceId, MaintenanceEventId, OrganisationId
from iotsphere.kernel.pagination import Page


class AssetRepository(Protocol):
    async def add(self, asset: Asset) -> None:
        """Add an asset, below its parent if it has one.

        A device that is taken leaves the transaction usable, and what was in the way visible to it.

        :raises AssetDeviceTakenError: the device has an asset already.
        :raises AssetParentUnknownError: there is no such parent any more.
        :raises AssetTooDeepError: the parent is at the lowest level that there may be.
        """

    async def add_missing(self, described: builtins.list[Asset]) -> None:
        """Add those whose device has no asset, below their parents; where one has, that stays as it is.

        :raises AssetParentUnknownError: one of the parents is not there any more.
        :raises AssetTooDeepError: one of them is at the lowest level that there may be.
        """

    async def get(self, organisation_id: OrganisationId, asset_id: AssetId, *, for_update: bool = False) -> Asset:
        """Give an asset; ``for_update`` keeps others from changing it until the transaction ends.

        :raises AssetNotFoundError: there is none, or not in this organisation.
        """

    async def find_names(self, organisation_id: OrganisationId, asset_ids: Collection[AssetId]) -> dict[AssetId, str]:
        """Give what those are called that are there in this organisation."""

    async def find_for_device(self, organisation_id: OrganisationId, device_id: DeviceId) -> Asset | None: ...

    async def save(self, asset: Asset) -> None:
        """Keep what has changed. Its place, and those of all below it, are kept by ``PlaceRepository.save``.

        Who has changed it, and how, is kept by ``AssetChangeRepository.add``; what it was is kept here, where that
        does not tell it.
        """

    async def remove(self, asset: Asset) -> None:
        """Remove an asset, its relationships and its history.

        :raises AssetHasChildrenError: others are below it.
        """


class AssetSearchRepository(Protocol):
    async def list(
        self,
        organisation_id: OrganisationId,
        narrowed_to: AssetFilter,
        order: AssetOrder = BY_CREATION,
        *,
        limit: int,
        cursor: str | None,
    ) -> Page[Asset]:
        """List assets. A page may be short, or empty, and have a next one all the same.

        :raises AssetNotFoundError: there is no such asset as the filter names, or not in this organisation.
        :raises CursorMalformedError: the cursor is not one of the answer to this question.
        :raises SearchOrderError: there is no such order of so many assets.
        :raises SearchTooCostlyError: it would take too long.
        """


class PlaceRepository(Protocol):
    """The trees of an organisation's assets."""

    async def hold(self, organisation_id: OrganisationId, *, alone: bool) -> None:
        """Keep the tree as it is until the transaction ends, for oneself ``alone`` or beside others who do the same.

        Comes before all that is read: it shows what others have committed before it was had.
        """

    async def get(self, organisation_id: OrganisationId, asset_id: AssetId) -> Place:
        """:raises AssetNotFoundError: there is no such asset, or not in this organisation."""

    async def find(self, organisation_id: OrganisationId, asset_ids: Collection[AssetId]) -> dict[AssetId, Place]:
        """Give where those stand that are there in this organisation."""

    async def count(self, place: Place, *, at_most: int) -> int:
        """Count the asset that is there and all below it, as far as ``at_most``."""

    async def save(self, place: Place, *, below: Place) -> None:
        """Put the asset that is at a place, with all below it, below another one; below nothing it is a root.

        The tree is held alone, and ``below`` is no part of what is moved.

        :raises AssetTooDeepError: something would be deeper than there are levels.
        """

    async def list_ancestors(
        self, organisation_id: OrganisationId, asset_id: AssetId, *, limit: int, cursor: str | None
    ) -> Page[Asset]:
        """List what an asset is part of, from the root down to its parent.

        :raises AssetNotFoundError: there is no such asset, or not in this organisation.
        """

    async def list_descendants(
        self, organisation_id: OrganisationId, asset_id: AssetId, *, depth: int, limit: int, cursor: str | None
    ) -> Page[Asset]:
        """List what is below an asset, down to ``depth`` levels: each before what is below it, the older first."""


class AssetChangeRepository(Protocol):
    """The history of assets. A version of which nobody has told anything was found, by nobody that is known."""

    async def add(self, *changes: AssetChange) -> None:
        """Keep changes in the transaction that makes them; those of an asset that is not there go nowhere.

        Of an asset with more than ``KEPT_VERSIONS`` the oldest go.
        """

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
        """List changes, the newest first; ``whole`` is there for those that have no patch."""

    async def find_version_at(self, organisation_id: OrganisationId, asset_id: AssetId, at: datetime) -> int | None:
        """Give the version that the asset had at a time, if that is known."""

    async def list_since_whole(
        self, organisation_id: OrganisationId, asset_id: AssetId, *, version: int
    ) -> Sequence[AssetChange]:
        """List the changes up to a version before the last, from one that is kept whole; none if some are missing."""


class AssetFileRepository(Protocol):
    """Assets by the file: many at once, and all of them in the order of their trees."""

    async def find_known(
        self, organisation_id: OrganisationId, *, asset_ids: Collection[AssetId], device_ids: Collection[DeviceId]
    ) -> builtins.list[KnownAsset]:
        """Give those of the assets that are there in this organisation, named by their ids or by their devices."""

    async def find(self, organisation_id: OrganisationId, asset_ids: Collection[AssetId]) -> builtins.list[Asset]:
        """Give those that are there in this organisation, and keep others from changing them until the end."""

    async def find_places(
        self, organisation_id: OrganisationId, asset_ids: Collection[AssetId]
    ) -> dict[AssetId, Place]:
        """Give where those stand that are there in this organisation, and keep others from removing them."""

    async def add(self, drafted: Sequence[Asset]) -> set[AssetId]:
        """Add assets of one organisation, none of which is a device's, in this order below parents that are there.

        The tree is held, and there is room below the parents. What was added before stays as it is: give the others.
        """

    async def save(self, changed: Sequence[Asset]) -> None:
        """Keep what has changed of assets of one organisation, but for their places."""

    async def save_places(self, moved: Sequence[Place]) -> None:
        """Put assets below which there are none where they now belong; the tree is held alone."""

    async def list(
        self, organisation_id: OrganisationId, narrowed_to: AssetFilter, *, limit: int, cursor: str | None
    ) -> Page[Asset]:
        """List assets in the order of the trees, each before what is below it; the older trees come first.

        If there is an ancestor, it comes before what is below it. Of ``limit`` assets those are given that are
        wanted; so a page may have fewer, and be followed by others.

        :raises AssetNotFoundError: what is looked for is below, or related to, an asset that is not there.
        """


class RelationshipRepository(Protocol):
    async def add(self, relationship: Relationship) -> Relationship | None:
        """Add a relationship, unless there is such a one: None means that nothing was added.

        Where others were ended that led from the asset, its version is higher than theirs.

        :raises AssetNotFoundError: one of the two assets is not there any more.
        """

    async def get(self, link: Link, *, for_update: bool = False) -> Relationship:
        """Give a relationship; ``for_update`` keeps others from changing it until the transaction ends.

        :raises RelationshipNotFoundError: there is none, or not in this organisation.
        """

    async def save(self, relationship: Relationship) -> None: ...

    async def remove(self, link: Link) -> None: ...

    async def list(
        self, organisation_id: OrganisationId, narrowed_to: RelationshipFilter, *, limit: int, cursor: str | None
    ) -> Page[Relationship]:
        """List the relationships of an asset by type, those of a type by the id of the other asset."""


class DeviceTypeRepository(Protocol):
    async def add(self, device_type: DeviceType) -> bool:
        """Add a type, unless there is one of that name, even removed: False means that nothing was added."""

    async def find(
        self, organisation_id: OrganisationId, name: str, *, for_update: bool = False
    ) -> DeviceType | None:
        """Give a type, even a removed one; ``for_update`` keeps others from changing it until the end."""

    async def save(self, device_type: DeviceType) -> None: ...

    async def list(
        self, organisation_id: OrganisationId, *, even_removed: Collection[str], limit: int, cursor: str | None
    ) -> Page[DeviceType]:
        """List the types of an organisation by name; a removed one only where it has one of those names."""


class MaintenanceEventRepository(Protocol):
    async def add(self, *events: MaintenanceEvent) -> None: ...

    async def get(
        self, device_id: DeviceId, event_id: MaintenanceEventId, *, for_update: bool = False
    ) -> MaintenanceEvent:
        """Give an event; ``for_update`` keeps others from removing it until the transaction ends.

        :raises MaintenanceEventNotFoundError: the device has none of that id.
        """

    async def remove(self, event: MaintenanceEvent) -> None: ...

    async def list(
        self, organisation_id: OrganisationId, narrowed_to: MaintenanceFilter, *, limit: int, cursor: str | None
    ) -> Page[MaintenanceEvent]:
        """List events in the order of when they happened, then of their ids."""


class AssetAggregateRepository(Protocol):
    async def aggregate(self, organisation_id: OrganisationId, asked: Aggregation) -> Groups:
        """Work out figures over assets.

        :raises AssetNotFoundError: what is looked for is below, or related to, an asset that is not there.
        :raises AggregateTooCostlyError: more assets are looked at than can be in time.
        :raises AggregateOverflowError: a figure is larger than a double can be.
        """


class AssetsUnitOfWork(Protocol):
    assets: AssetRepository
    search: AssetSearchRepository
    places: PlaceRepository
    changes: AssetChangeRepository
    asset_files: AssetFileRepository
    relationships: RelationshipRepository
    device_types: DeviceTypeRepository
    maintenance_events: MaintenanceEventRepository
    aggregates: AssetAggregateRepository

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def commit(self) -> None: ...


AssetsUnitOfWorkFactory = Callable[[], AssetsUnitOfWork]
