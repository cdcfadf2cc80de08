"""Files of assets, in which devices are called as people call them: by serial number."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

from iotsphere.assets.asset_files import AssetFileService
from iotsphere.assets.asset_line import AssetFile, AssetLine
from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.model import Asset
from iotsphere.assets.portion import ImportOutcome, Schemas
from iotsphere.assets.search import AssetFilter
from iotsphere.kernel.errors import DomainError, UnavailableError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.kernel.pagination import Page
from iotsphere.registry.errors import DeviceNotFoundError
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.workflows.device_kinds import DeviceKinds


@dataclass(frozen=True, slots=True)
class ListedAsset:
    asset: Asset
    serial_number: str | None


class AssetFileWorkflow:
    def __init__(
        self, *, devices: DeviceRegistryService, kinds: DeviceKinds, types: KnownTypes, assets: AssetFileService
    ) -> None:
        self._devices = devices
        self._kinds = kinds
        self._types = types
        self._assets = assets

    async def settle_lines(self, *, file: AssetFile, lines: Sequence[AssetLine]) -> list[ImportOutcome]:
        """Do what lines of a file say; give for each what has become of it, or why nothing has.

        The lines of a file come portion by portion, with the same ``file``.
        """
        try:
            named = await file.patiently(partial(self._name, file, lines))
        except UnavailableError as error:
            return [error for _ in lines]
        settled = iter(
            await self._assets.settle_lines(
                file=file,
                lines=[line for line in named if isinstance(line, AssetLine)],
                find_schemas=partial(self._find_schemas, file.organisation_id),
            )
        )
        return [line if isinstance(line, DomainError) else next(settled) for line in named]

    async def list_assets(
        self, *, organisation_id: OrganisationId, narrowed_to: AssetFilter, limit: int, cursor: str | None
    ) -> Page[ListedAsset]:
        """List assets in the order of the trees, each before what is below it, with the names of devices."""
        page = await self._assets.list_assets(
            organisation_id=organisation_id, narrowed_to=narrowed_to, limit=limit, cursor=cursor
        )
        device_ids = {asset.device_id for asset in page.items if asset.device_id is not None}
        serial_numbers: dict[DeviceId, str] = {}
        if device_ids:
            serial_numbers = await self._devices.find_serial_numbers(
                organisation_id=organisation_id, device_ids=device_ids
            )
        listed = [
            ListedAsset(asset, serial_numbers.get(asset.device_id) if asset.device_id else None)
            for asset in page.items
        ]
        return Page(listed, page.next_cursor)

    async def _name(self, file: AssetFile, lines: Sequence[AssetLine]) -> list[AssetLine | DomainError]:
        """Put the ids of devices in the place of their serial numbers; of those that are not there, tell so."""
        named = [_as_copy(line) if file.is_copy else line for line in lines]
        sought = {number for line in named if isinstance(line, AssetLine) and (number := _sought_number(line))}
        found: dict[str, DeviceId] = {}
        if sought:
            found = await self._devices.find_ids(organisation_id=file.organisation_id, serial_numbers=sought)
        return [line if isinstance(line, DomainError) else _with_device(line, found) for line in named]

    async def _find_schemas(self, organisation_id: OrganisationId, device_ids: Collection[DeviceId]) -> Schemas:
        types = await self._kinds.find_types(organisation_id, device_ids) if device_ids else {}
        of_types = {
            device_type: await self._types.find_properties_schema(
                organisation_id=organisation_id, device_type=device_type
            )
            for device_type in set(types.values())
        }
        return {device_id: schema for device_id, name in types.items() if (schema := of_types[name]) is not None}


def _as_copy(line: AssetLine) -> AssetLine | DomainError:
    try:
        return line.as_copy()
    except DomainError as error:
        return error


def _sought_number(line: AssetLine) -> str | None:
    """Give the serial number where it is needed: an id says more, also in a line that an export has written."""
    return line.serial_number if line.asset_id is None and line.device_id is None else None


def _with_device(line: AssetLine, found: dict[str, DeviceId]) -> AssetLine | DomainError:
    serial_number = _sought_number(line)
    if serial_number is None:
        return line
    device_id = found.get(serial_number)
    return DeviceNotFoundError() if device_id is None else replace(line, device_id=device_id)
