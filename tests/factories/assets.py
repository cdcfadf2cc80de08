# mypy: disable-error-code="no-untyped-call"
# factory-boy's declarations carry no types; the two functions at the end put them back.

from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

from factory.base import Factory
from factory.declarations import LazyFunction, SelfAttribute, Sequence

from iotsphere.assets.device_type import DeviceType
from iotsphere.assets.maintenance_event import MaintenanceEvent, MaintenanceKind
from iotsphere.assets.model import Asset, AssetDescription

FIRST_DAY = datetime(2026, 11, 20, tzinfo=UTC)


class AssetDescriptionFactory(Factory[AssetDescription]):
    class Meta:
        model = AssetDescription

    asset_type = "pump"
    name = Sequence(lambda number: f"Circulation pump {number}")
    properties = LazyFunction(lambda: {"manufacturer": "Grundfos", "rated_power_kw": 1.5})
    capabilities = LazyFunction(lambda: [{"name": "variable-speed", "max_rpm": 2900}])


class AssetFactory(AssetDescriptionFactory):
    """Assets of one organisation each, every one a second younger than the one before."""

    class Meta:
        model = Asset

    id = LazyFunction(uuid4)
    organisation_id = LazyFunction(uuid4)
    device_id = None
    created_at = Sequence(lambda number: FIRST_DAY + timedelta(seconds=number))
    updated_at = SelfAttribute("created_at")
    version = 1


class DeviceTypeFactory(Factory[DeviceType]):
    """Device types of one organisation each."""

    class Meta:
        model = DeviceType

    organisation_id = LazyFunction(uuid4)
    name = Sequence(lambda number: f"pump-{number}")
    metrics = LazyFunction(lambda: [{"name": "flow", "unit": "l/min", "type": "number", "min": 0, "max": 60.5}])
    capabilities = LazyFunction(lambda: [{"name": "variable-speed", "max_rpm": 2900}])
    shadow_schema = LazyFunction(lambda: {"properties": {"speed": {"maximum": 2900}}})
    maintenance = LazyFunction(lambda: {"seal": {"every_hours": 8000}})
    properties_schema = LazyFunction(lambda: {"properties": {"rated_power_kw": {"maximum": 500}}})
    created_at = FIRST_DAY
    updated_at = SelfAttribute("created_at")
    version = 1


class MaintenanceEventFactory(Factory[MaintenanceEvent]):
    """Events of one device each, every one an hour after the one before."""

    class Meta:
        model = MaintenanceEvent

    id = LazyFunction(uuid4)
    organisation_id = LazyFunction(uuid4)
    device_id = LazyFunction(uuid4)
    kind = MaintenanceKind.REPAIR
    component = "seal"
    occurred_at = Sequence(lambda number: FIRST_DAY + timedelta(hours=number))
    notes = "Leaking; faces polished."
    cost = 120.5
    recorded_by = LazyFunction(lambda: f"user:{uuid4()}")
    recorded_at = SelfAttribute("occurred_at")


def build_description(**given: Any) -> AssetDescription:
    return AssetDescriptionFactory.build(**given)


def build_asset(**given: Any) -> Asset:
    return cast("Asset", AssetFactory.build(**given))


def build_device_type(**given: Any) -> DeviceType:
    return DeviceTypeFactory.build(**given)


def build_maintenance_event(**given: Any) -> MaintenanceEvent:
    return MaintenanceEventFactory.build(**given)
