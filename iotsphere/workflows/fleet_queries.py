"""Figures over a fleet: the registry knows whose the devices are and of which type, the telemetry what they sent."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from iotsphere.kernel.errors import RuleViolationError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.registry.errors import DeviceNotFoundError
from iotsphere.registry.model import DeviceFilter
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.telemetry.fleet import FleetSeries, FleetTelemetryService
from iotsphere.telemetry.model import Summary
from iotsphere.workflows.metric_units import MetricUnits

MAX_DEVICES = 1000


class GroupBy(StrEnum):
    DEVICE = "device"
    DEVICE_TYPE = "device_type"
    NONE = "none"


class FleetFigures(NamedTuple):
    """``device_ids`` are those of the devices whose figures they are."""

    series: list[FleetSeries]
    device_ids: Collection[DeviceId]


class TooManyDevicesError(RuleViolationError):
    code = "telemetry.query.too_many_devices"

    def __init__(self) -> None:
        detail = f"More than {MAX_DEVICES} devices match. Narrow the filter down, or name the devices."
        super().__init__(detail, {"filter": [detail]})


class FleetQueries:
    def __init__(
        self, *, devices: DeviceRegistryService, telemetry: FleetTelemetryService, units: MetricUnits
    ) -> None:
        self._devices = devices
        self._telemetry = telemetry
        self._units = units

    async def read_buckets(
        self,
        *,
        organisation_id: OrganisationId,
        devices: Collection[DeviceId] | DeviceFilter,
        group_by: GroupBy,
        metrics: tuple[str, ...],
        start: datetime | None,
        end: datetime | None,
        summary: Summary,
    ) -> FleetFigures:
        """Give figures over the points of each group of the organisation's devices.

        A group has the device's id for its name, or the device type, or none.

        :raises DeviceNotFoundError: one of the devices is not there, or not in this organisation.
        :raises TooManyDevicesError: more match than are gone through at once.
        :raises QueryBusyError: too many others are being answered.
        :raises TooManyIntervalsError: there would be more than anybody can look at.
        :raises QueryTooCostlyError: it would take too long.
        :raises FigureOverflowError: a figure exceeds the largest double.
        """
        types = await self._find_types(organisation_id, devices)
        groups = {device_id: _name_group(group_by, device_id, types[device_id]) for device_id in sorted(types)}
        found = await self._telemetry.read_buckets(
            groups=groups,
            metrics=metrics,
            start=start,
            end=end,
            summary=summary,
            organisation_id=organisation_id,
        )
        units = await self._units.find_units_of_types(
            organisation_id=organisation_id, device_types=set(types.values())
        )
        types_of: dict[str, set[str]] = defaultdict(set)
        for device_id, name in groups.items():
            types_of[name].add(types[device_id])
        series = [replace(each, unit=_unit_of(each.metric, types_of[each.group], units)) for each in found]
        return FleetFigures(series, types.keys())

    async def _find_types(
        self, organisation_id: OrganisationId, devices: Collection[DeviceId] | DeviceFilter
    ) -> Mapping[DeviceId, str]:
        if isinstance(devices, DeviceFilter):
            page = await self._devices.list_devices(
                organisation_id=organisation_id, narrowed_to=devices, limit=MAX_DEVICES, cursor=None
            )
            if page.next_cursor is not None:
                raise TooManyDevicesError
            return {device.id: device.device_type for device in page.items}
        types = await self._devices.find_types(organisation_id=organisation_id, device_ids=devices)
        if len(types) < len(set(devices)):
            raise DeviceNotFoundError
        return types


def _name_group(group_by: GroupBy, device_id: DeviceId, device_type: str) -> str:
    if group_by is GroupBy.DEVICE:
        return str(device_id)
    return device_type if group_by is GroupBy.DEVICE_TYPE else ""


def _unit_of(metric: str, device_types: Collection[str], units: Mapping[str, Mapping[str, str]]) -> str | None:
    """Give the unit that all of the types have for the metric."""
    different = {units.get(name, {}).get(metric) for name in device_types}
    return different.pop() if len(different) == 1 else None
