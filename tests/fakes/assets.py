"""The asset database in memory; the contract suite holds it to what PostgreSQL does."""

import builtins
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from iotsphere.assets.device_type import DeviceType, name_behind
from iotsphere.assets.errors import (
    AssetDeviceTakenError,
    AssetNotFoundError,
    MaintenanceEventNotFoundError,
)
from iotsphere.assets.maintenance_event import MaintenanceEvent, MaintenanceFilter
from iotsphere.assets.model import Asset, AssetFilter
from iotsphere.assets.ports import AssetRepository, DeviceTypeRepository, MaintenanceEventRepository
from iotsphere.kernel.identifiers import AssetId, DeviceId, MaintenanceEventId, OrganisationId
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor

DeviceTypes = dict[tuple[OrganisationId, str], DeviceType]
MaintenanceEvents = dict[MaintenanceEventId, MaintenanceEvent]


class InMemoryAssetRepository:
    def __init__(self, stored: dict[AssetId, Asset]) -> None:
        self.stored = stored

    async def add(self, asset: Asset) -> None:
        if asset.device_id is not None and any(other.device_id == asset.device_id for other in self.stored.values()):
            raise AssetDeviceTakenError
        self.stored[asset.id] = asset

    async def add_missing(self, described: builtins.list[Asset]) -> None:
        for asset in described:
            with suppress(AssetDeviceTakenError):
                await self.add(asset)

    async def get(self, organisation_id: OrganisationId, asset_id: AssetId, *, for_update: bool = False) -> Asset:
        asset = self.stored.get(asset_id)
        if asset is None or asset.organisation_id != organisation_id:
            raise AssetNotFoundError
        return asset

    async def find_for_device(self, organisation_id: OrganisationId, device_id: DeviceId) -> Asset | None:
        found = _found(self.stored.values(), organisation_id, AssetFilter(device_id=device_id))
        return found[0] if found else None

    async def save(self, asset: Asset) -> None:
        if self._owned(asset):
            self.stored[asset.id] = asset

    async def remove(self, asset: Asset) -> None:
        if self._owned(asset):
            del self.stored[asset.id]

    async def list(
        self, organisation_id: OrganisationId, narrowed_to: AssetFilter, *, limit: int, cursor: str | None
    ) -> Page[Asset]:
        found = _found(self.stored.values(), organisation_id, narrowed_to)
        if cursor is not None:
            last = decode_cursor(cursor, tuple[datetime, UUID])
            found = [asset for asset in found if (asset.created_at, asset.id) > last]
        shown = found[:limit]
        more = len(found) > limit
        return Page(shown, encode_cursor(shown[-1].created_at, shown[-1].id) if more else None)

    def _owned(self, asset: Asset) -> bool:
        stored = self.stored.get(asset.id)
        return stored is not None and stored.organisation_id == asset.organisation_id


def _found(stored: Iterable[Asset], organisation_id: OrganisationId, narrowed_to: AssetFilter) -> list[Asset]:
    return sorted(
        (
            asset
            for asset in stored
            if asset.organisation_id == organisation_id
            and narrowed_to.asset_type in {None, asset.asset_type}
            and narrowed_to.device_id in {None, asset.device_id}
            and contains(asset.properties, narrowed_to.match or {})
        ),
        key=lambda asset: (asset.created_at, asset.id),
    )


def contains(document: Any, sought: Any) -> bool:
    """Tell what JSONB's ``document @> sought`` does below the top: no scalar stands for an array of itself."""
    if isinstance(sought, dict):
        return isinstance(document, dict) and all(
            key in document and contains(document[key], value) for key, value in sought.items()
        )
    if isinstance(sought, list):
        return isinstance(document, list) and all(
            any(contains(element, value) for element in document) for value in sought
        )
    # Python takes True for 1, JSON does not.
    return isinstance(document, bool) == isinstance(sought, bool) and bool(document == sought)


class InMemoryDeviceTypeRepository:
    def __init__(self, stored: DeviceTypes) -> None:
        self.stored = stored

    async def add(self, device_type: DeviceType) -> bool:
        return self.stored.setdefault((device_type.organisation_id, device_type.name), device_type) is device_type

    async def find(
        self, organisation_id: OrganisationId, name: str, *, for_update: bool = False
    ) -> DeviceType | None:
        return self.stored.get((organisation_id, name))

    async def save(self, device_type: DeviceType) -> None:
        key = device_type.organisation_id, device_type.name
        if key in self.stored:
            self.stored[key] = device_type

    async def list(
        self, organisation_id: OrganisationId, *, even_removed: Collection[str], limit: int, cursor: str | None
    ) -> Page[DeviceType]:
        last = name_behind(cursor) if cursor is not None else ""
        names = sorted(
            name
            for (owner, name), kept in self.stored.items()
            if owner == organisation_id and name > last and (not kept.is_removed or name in even_removed)
        )
        shown = [self.stored[organisation_id, name] for name in names[:limit]]
        return Page(shown, encode_cursor(shown[-1].name) if len(names) > limit else None)


class InMemoryMaintenanceEventRepository:
    def __init__(self, stored: MaintenanceEvents) -> None:
        self.stored = stored

    async def add(self, *events: MaintenanceEvent) -> None:
        self.stored.update({event.id: event for event in events})

    async def get(
        self, device_id: DeviceId, event_id: MaintenanceEventId, *, for_update: bool = False
    ) -> MaintenanceEvent:
        event = self.stored.get(event_id)
        if event is None or event.device_id != device_id:
            raise MaintenanceEventNotFoundError
        return event

    async def remove(self, event: MaintenanceEvent) -> None:
        self.stored.pop(event.id, None)

    async def list(
        self, organisation_id: OrganisationId, narrowed_to: MaintenanceFilter, *, limit: int, cursor: str | None
    ) -> Page[MaintenanceEvent]:
        found = sorted(
            (
                event
                for event in self.stored.values()
                if event.organisation_id == organisation_id and _is_wanted(event, narrowed_to)
            ),
            key=lambda event: (event.occurred_at, event.id),
        )
        if cursor is not None:
            last = decode_cursor(cursor, tuple[datetime, UUID])
            found = [event for event in found if (event.occurred_at, event.id) > last]
        more = len(found) > limit
        return Page(found[:limit], encode_cursor(found[limit - 1].occurred_at, found[limit - 1].id) if more else None)


def _is_wanted(event: MaintenanceEvent, narrowed_to: MaintenanceFilter) -> bool:
    return (
        (narrowed_to.device_ids is None or event.device_id in narrowed_to.device_ids)
        and narrowed_to.kind in {None, event.kind}
        and narrowed_to.component in {None, event.component}
        and (narrowed_to.start is None or event.occurred_at >= narrowed_to.start)
        and (narrowed_to.end is None or event.occurred_at < narrowed_to.end)
    )


class InMemoryAssetsUnitOfWork:
    """A transaction on what is committed, which unit after unit shares."""

    assets: AssetRepository
    device_types: DeviceTypeRepository
    maintenance_events: MaintenanceEventRepository

    def __init__(
        self,
        committed: dict[AssetId, Asset],
        committed_types: DeviceTypes | None = None,
        committed_events: MaintenanceEvents | None = None,
    ) -> None:
        self._committed = committed
        self._committed_types = {} if committed_types is None else committed_types
        self._committed_events = {} if committed_events is None else committed_events

    async def __aenter__(self) -> Self:
        self._stored = dict(self._committed)
        self._types = dict(self._committed_types)
        self.assets = InMemoryAssetRepository(self._stored)
        self.device_types = InMemoryDeviceTypeRepository(self._types)
        self._events = dict(self._committed_events)
        self.maintenance_events = InMemoryMaintenanceEventRepository(self._events)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def commit(self) -> None:
        self._committed.clear()
        self._committed.update(self._stored)
        self._committed_types.clear()
        self._committed_types.update(self._types)
        self._committed_events.clear()
        self._committed_events.update(self._events)
