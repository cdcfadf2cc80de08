import builtins
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Protocol, Self

from iotsphere.assets.device_type import DeviceType
from iotsphere.assets.maintenance_event import MaintenanceEvent, MaintenanceFilter
from iotsphere.assets.model import Asset, AssetFilter
from iotsphere.kernel.identifiers import AssetId, DeviceId, MaintenanceEventId, OrganisationId
from iotsphere.kernel.pagination import Page


class AssetRepository(Protocol):
    async def add(self, asset: Asset) -> None:
        """Add an asset. A refusal leaves the transaction usable, and what was in the way visible to it.

        :raises AssetDeviceTakenError: the device has an asset already.
        """

    async def add_missing(self, described: builtins.list[Asset]) -> None:
        """Add those whose device has no asset; where one has, that stays as it is."""

    async def get(self, organisation_id: OrganisationId, asset_id: AssetId, *, for_update: bool = False) -> Asset:
        """Give an asset; ``for_update`` keeps others from changing it until the transaction ends.

        :raises AssetNotFoundError: there is none, or not in this organisation.
        """

    async def find_for_device(self, organisation_id: OrganisationId, device_id: DeviceId) -> Asset | None: ...

    async def save(self, asset: Asset) -> None: ...

    async def remove(self, asset: Asset) -> None: ...

    async def list(
        self, organisation_id: OrganisationId, narrowed_to: AssetFilter, *, limit: int, cursor: str | None
    ) -> Page[Asset]: ...


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


class AssetsUnitOfWork(Protocol):
    assets: AssetRepository
    device_types: DeviceTypeRepository
    maintenance_events: MaintenanceEventRepository

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def commit(self) -> None: ...


AssetsUnitOfWorkFactory = Callable[[], AssetsUnitOfWork]
