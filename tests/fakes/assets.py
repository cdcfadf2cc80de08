"""The asset database in memory; the contract suite holds it to what PostgreSQL does."""

import builtins
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import count
from types import TracebackType
from typing import Self, TypeVar
from uuid import UUID

from iotsphere.assets.change import KEPT_EVERY, KEPT_VERSIONS, UNKNOWN, AssetChange, change_behind, describe
from iotsphere.assets.device_type import MEMBERS, DeviceType, name_behind
from iotsphere.assets.errors import (
    AssetDeviceTakenError,
    AssetHasChildrenError,
    AssetNotFoundError,
    AssetParentUnknownError,
    AssetTooDeepError,
    MaintenanceEventNotFoundError,
    RelationshipNotFoundError,
)
from iotsphere.assets.maintenance_event import MaintenanceEvent, MaintenanceFilter
from iotsphere.assets.model import Asset
from iotsphere.assets.place import MAX_LEVELS, Place, encode_place, level_behind, place_behind
from iotsphere.assets.ports import (
    AssetAggregateRepository,
    AssetChangeRepository,
    AssetFileRepository,
    AssetRepository,
    AssetSearchRepository,
    DeviceTypeRepository,
    MaintenanceEventRepository,
    PlaceRepository,
    RelationshipRepository,
)
from iotsphere.assets.relationship import Direction, Link, Relationship, RelationshipFilter, last_behind
from iotsphere.kernel.identifiers import AssetId, DeviceId, MaintenanceEventId, OrganisationId
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor
from tests.fakes.asset_aggregates import InMemoryAssetAggregateRepository
from tests.fakes.asset_files import InMemoryAssetFileRepository
from tests.fakes.asset_search import InMemoryAssetSearchRepository
from tests.fakes.pages import documents_of, within_room

K = TypeVar("K")
V = TypeVar("V")
DeviceTypes = dict[tuple[OrganisationId, str], DeviceType]
Changes = dict[tuple[AssetId, int], AssetChange]
MaintenanceEvents = dict[MaintenanceEventId, MaintenanceEvent]
Relationships = dict[Link, Relationship]

_numbers: defaultdict[AssetId, int] = defaultdict(count(1).__next__)
"""What the database gives an asset when it is added."""


def place_of(stored: Mapping[AssetId, Asset], asset_id: AssetId) -> Place:
    """Tell from the parents alone where an asset stands."""
    parent_id = stored[asset_id].parent_id
    return (*(place_of(stored, parent_id) if parent_id else ()), _numbers[asset_id])


class InMemoryAssetRepository:
    def __init__(
        self, stored: dict[AssetId, Asset], relationships: Relationships, changes: "InMemoryAssetChangeRepository"
    ) -> None:
        self.stored = stored
        self.relationships = relationships
        self.changes = changes

    async def add(self, asset: Asset) -> None:
        if asset.parent_id is not None and asset.parent_id not in self.stored:
            raise AssetParentUnknownError
        if asset.device_id is not None and any(other.device_id == asset.device_id for other in self.stored.values()):
            raise AssetDeviceTakenError
        if asset.parent_id is not None and len(place_of(self.stored, asset.parent_id)) == MAX_LEVELS:
            raise AssetTooDeepError(MAX_LEVELS)
        self.stored[asset.id] = asset
        self.changes.keep(asset)
        _numbers[asset.id]

    async def add_missing(self, described: builtins.list[Asset]) -> None:
        for asset in described:
            with suppress(AssetDeviceTakenError):
                await self.add(asset)

    async def get(self, organisation_id: OrganisationId, asset_id: AssetId, *, for_update: bool = False) -> Asset:
        asset = self.stored.get(asset_id)
        if asset is None or asset.organisation_id != organisation_id:
            raise AssetNotFoundError
        return asset

    async def find_names(self, organisation_id: OrganisationId, asset_ids: Collection[AssetId]) -> dict[AssetId, str]:
        owned = (asset for asset in self.stored.values() if asset.organisation_id == organisation_id)
        return {asset.id: asset.name for asset in owned if asset.id in asset_ids}

    async def find_for_device(self, organisation_id: OrganisationId, device_id: DeviceId) -> Asset | None:
        for asset in self.stored.values():
            if (asset.organisation_id, asset.device_id) == (organisation_id, device_id):
                return asset
        return None

    async def save(self, asset: Asset) -> None:
        if self._owned(asset):
            self.changes.keep(self.stored[asset.id])
            self.stored[asset.id] = asset
            self.changes.keep(asset)

    async def remove(self, asset: Asset) -> None:
        if not self._owned(asset):
            return
        if any(other.parent_id == asset.id for other in self.stored.values()):
            raise AssetHasChildrenError
        del self.stored[asset.id]
        for link in [link for link in self.relationships if asset.id in {link.asset_id, link.other_id}]:
            del self.relationships[link]
        self.changes.forget(asset)

    def _owned(self, asset: Asset) -> bool:
        stored = self.stored.get(asset.id)
        return stored is not None and stored.organisation_id == asset.organisation_id


class InMemoryPlaceRepository:
    """Knows no places but those that the parents say; so nobody can forget to keep them."""

    def __init__(self, stored: dict[AssetId, Asset]) -> None:
        self.stored = stored

    async def hold(self, organisation_id: OrganisationId, *, alone: bool) -> None:
        """Nobody comes in between."""

    async def get(self, organisation_id: OrganisationId, asset_id: AssetId) -> Place:
        asset = self.stored.get(asset_id)
        if asset is None or asset.organisation_id != organisation_id:
            raise AssetNotFoundError
        return place_of(self.stored, asset_id)

    async def find(self, organisation_id: OrganisationId, asset_ids: Collection[AssetId]) -> dict[AssetId, Place]:
        found = {asset_id: self.stored[asset_id] for asset_id in asset_ids if asset_id in self.stored}
        return {
            asset_id: place_of(self.stored, asset_id)
            for asset_id, asset in found.items()
            if asset.organisation_id == organisation_id
        }

    async def count(self, place: Place, *, at_most: int) -> int:
        return min(len(self._at_or_below(place)), at_most)

    async def save(self, place: Place, *, below: Place) -> None:
        if len(below) + max(map(len, self._at_or_below(place))) - len(place) + 1 > MAX_LEVELS:
            raise AssetTooDeepError(MAX_LEVELS)
        of_numbers = {_numbers[asset_id]: asset_id for asset_id in self.stored}
        moved = self.stored[of_numbers[place[-1]]]
        self.stored[moved.id] = replace(moved, parent_id=of_numbers[below[-1]] if below else None)

    async def list_ancestors(
        self, organisation_id: OrganisationId, asset_id: AssetId, *, limit: int, cursor: str | None
    ) -> Page[Asset]:
        first = level_behind(cursor)
        above = (await self.get(organisation_id, asset_id))[:-1]
        behind = [self._assets_by_number()[number] for number in above[first:]]
        shown = within_room(behind, limit, documents_of)
        return Page(shown, encode_cursor(first + len(shown)) if len(behind) > len(shown) else None)

    async def list_descendants(
        self, organisation_id: OrganisationId, asset_id: AssetId, *, depth: int, limit: int, cursor: str | None
    ) -> Page[Asset]:
        last = place_behind(cursor)
        top = await self.get(organisation_id, asset_id)
        below = sorted(place[len(top) :] for place in self._at_or_below(top))
        behind = [place for place in below if place > last and len(place) <= depth]
        found = [self._assets_by_number()[place[-1]] for place in behind]
        shown = within_room(found, limit, documents_of)
        return Page(shown, encode_place(behind[len(shown) - 1]) if len(found) > len(shown) else None)

    def _at_or_below(self, top: Place) -> list[Place]:
        places = [place_of(self.stored, asset_id) for asset_id in self.stored]
        return [place for place in places if place[: len(top)] == top]

    def _assets_by_number(self) -> dict[int, Asset]:
        return {_numbers[asset_id]: asset for asset_id, asset in self.stored.items()}


class InMemoryAssetChangeRepository:
    """Keeps every version whole; so nothing has to be made again."""

    def __init__(self, stored: Changes, assets: Mapping[AssetId, Asset]) -> None:
        self.stored = stored
        self.assets = assets

    def keep(self, asset: Asset) -> None:
        found = replace(_found_change(asset), whole=describe(asset))
        self.stored.setdefault((asset.id, asset.version), found)

    def forget(self, asset: Asset) -> None:
        for key in [key for key in self.stored if key[0] == asset.id]:
            del self.stored[key]

    async def add(self, *changes: AssetChange) -> None:
        for change in changes:
            if self._owned(change.organisation_id, change.asset_id) is None:
                continue
            key = change.asset_id, change.version
            kept = self.stored.get(key)
            assert kept is None or kept.actor == UNKNOWN
            self.stored[key] = replace(change, whole=kept.whole if kept else None)
            if change.version > KEPT_VERSIONS and change.version % KEPT_EVERY == 1:
                for version in range(1, change.version - KEPT_VERSIONS):
                    self.stored.pop((change.asset_id, version), None)

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
        last = change_behind(cursor)
        found = [
            change
            for change in self._told(organisation_id, asset_id)
            if (start is None or change.at >= start)
            and (end is None or change.at < end)
            and (last is None or (change.at, change.version) < last)
        ]
        shown = within_room(found, limit, lambda change: change.content)
        more = len(found) > len(shown)
        return Page(shown, encode_cursor(shown[-1].at, shown[-1].version) if more else None)

    async def find_version_at(self, organisation_id: OrganisationId, asset_id: AssetId, at: datetime) -> int | None:
        return next((change.version for change in self._told(organisation_id, asset_id) if change.at <= at), None)

    async def list_since_whole(
        self, organisation_id: OrganisationId, asset_id: AssetId, *, version: int
    ) -> Sequence[AssetChange]:
        kept = self.stored.get((asset_id, version))
        return [kept] if kept and kept.whole and self._owned(organisation_id, asset_id) else []

    def _told(self, organisation_id: OrganisationId, asset_id: AssetId) -> builtins.list[AssetChange]:
        """All changes, the newest first; ``whole`` is there for those that have no patch."""
        asset = self._owned(organisation_id, asset_id)
        if asset is None:
            return []
        self.keep(asset)
        told = {version: change for (owner, version), change in self.stored.items() if owner == asset_id}
        return sorted(
            (change if change.patch is None else replace(change, whole=None) for change in told.values()),
            key=lambda change: (change.at, change.version),
            reverse=True,
        )

    def _owned(self, organisation_id: OrganisationId, asset_id: AssetId) -> Asset | None:
        asset = self.assets.get(asset_id)
        return asset if asset and asset.organisation_id == organisation_id else None


def _found_change(asset: Asset) -> AssetChange:
    return AssetChange(asset.organisation_id, asset.id, asset.version, asset.updated_at, UNKNOWN)


class InMemoryRelationshipRepository:
    def __init__(self, stored: Relationships, assets: Mapping[AssetId, Asset], ended: dict[AssetId, int]) -> None:
        self.stored = stored
        self.ended = ended
        self.assets = assets

    async def add(self, relationship: Relationship) -> Relationship | None:
        if not {relationship.link.asset_id, relationship.link.other_id} <= self.assets.keys():
            raise AssetNotFoundError
        if relationship.link in self.stored:
            return None
        ended = self.ended.get(relationship.link.asset_id)
        added = relationship if ended is None else replace(relationship, version=ended + 1)
        return self.stored.setdefault(relationship.link, added)

    async def get(self, link: Link, *, for_update: bool = False) -> Relationship:
        if link not in self.stored:
            raise RelationshipNotFoundError
        return self.stored[link]

    async def save(self, relationship: Relationship) -> None:
        if relationship.link in self.stored:
            self.stored[relationship.link] = relationship

    async def remove(self, link: Link) -> None:
        if link in self.stored:
            ended = self.stored.pop(link).version
            self.ended[link.asset_id] = max(ended, self.ended.get(link.asset_id, ended))

    async def list(
        self, organisation_id: OrganisationId, narrowed_to: RelationshipFilter, *, limit: int, cursor: str | None
    ) -> Page[Relationship]:
        found = {
            (link.type, link.other_id if narrowed_to.direction is Direction.OUT else link.asset_id): relationship
            for link, relationship in self.stored.items()
            if link.organisation_id == organisation_id
            and narrowed_to.type in {None, link.type}
            and narrowed_to.asset_id == (link.asset_id if narrowed_to.direction is Direction.OUT else link.other_id)
        }
        keys = sorted(key for key in found if cursor is None or key > last_behind(cursor))
        shown = within_room([found[key] for key in keys], limit, lambda relationship: relationship.properties)
        return Page(shown, encode_cursor(*keys[len(shown) - 1]) if len(keys) > len(shown) else None)


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
        found = [self.stored[organisation_id, name] for name in names]
        shown = within_room(found, limit, lambda kept: {member: getattr(kept, member) for member in MEMBERS})
        return Page(shown, encode_cursor(shown[-1].name) if len(names) > len(shown) else None)


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
    search: AssetSearchRepository
    aggregates: AssetAggregateRepository
    places: PlaceRepository
    changes: AssetChangeRepository
    asset_files: AssetFileRepository
    relationships: RelationshipRepository
    device_types: DeviceTypeRepository
    maintenance_events: MaintenanceEventRepository

    def __init__(
        self,
        committed: dict[AssetId, Asset],
        committed_types: DeviceTypes | None = None,
        committed_relationships: Relationships | None = None,
        committed_events: MaintenanceEvents | None = None,
        committed_changes: Changes | None = None,
        committed_ended: dict[AssetId, int] | None = None,
    ) -> None:
        self._committed = committed
        self._committed_types = {} if committed_types is None else committed_types
        self._committed_relationships = {} if committed_relationships is None else committed_relationships
        self._committed_events = {} if committed_events is None else committed_events
        self._committed_changes = {} if committed_changes is None else committed_changes
        self._committed_ended = {} if committed_ended is None else committed_ended

    async def __aenter__(self) -> Self:
        self._stored = dict(self._committed)
        self._types = dict(self._committed_types)
        self._relationships = dict(self._committed_relationships)
        self._changes = dict(self._committed_changes)
        changes = InMemoryAssetChangeRepository(self._changes, self._stored)
        self.changes = changes
        self.assets = InMemoryAssetRepository(self._stored, self._relationships, changes)
        search = InMemoryAssetSearchRepository(self._stored, self._relationships, _numbers)
        self.search = search
        self.aggregates = InMemoryAssetAggregateRepository(self._stored, search)
        self.places = InMemoryPlaceRepository(self._stored)
        self.asset_files = InMemoryAssetFileRepository(self._stored, self.assets, place_of, search.is_wanted)
        self._ended = dict(self._committed_ended)
        self.relationships = InMemoryRelationshipRepository(self._relationships, self._stored, self._ended)
        self.device_types = InMemoryDeviceTypeRepository(self._types)
        self._events = dict(self._committed_events)
        self.maintenance_events = InMemoryMaintenanceEventRepository(self._events)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def commit(self) -> None:
        _put(self._committed, self._stored)
        _put(self._committed_types, self._types)
        _put(self._committed_relationships, self._relationships)
        _put(self._committed_events, self._events)
        _put(self._committed_changes, self._changes)
        _put(self._committed_ended, self._ended)


def _put(committed: dict[K, V], changed: dict[K, V]) -> None:
    committed.clear()
    committed.update(changed)
