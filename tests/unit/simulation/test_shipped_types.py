"""Simulated machines are what the device types that come with the platform say of them."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.assets.device_type import DeviceType
from iotsphere.assets.properties_schema import PropertiesSchema
from iotsphere.assets.shadow_schema import ShadowSchema
from iotsphere.assets.shipped_types import ShippedTypes
from iotsphere.cli.metric_names import metric_names
from iotsphere.cli.recordings import CMAPSS_METRICS
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.simulation.machine import Machine
from iotsphere.simulation.pump import Pump
from iotsphere.simulation.vending_machine import VendingMachine
from iotsphere.simulation.water_heater import WaterHeater

KINDS = (WaterHeater, Pump, VendingMachine)
MIDNIGHT = datetime(2024, 6, 3, tzinfo=UTC)
SKAB_TITLES = (
    "Accelerometer1RMS",
    "Accelerometer2RMS",
    "Current",
    "Pressure",
    "Temperature",
    "Thermocouple",
    "Voltage",
    "Volume Flow RateRMS",
)


def shipped(name: str) -> DeviceType:
    found = ShippedTypes.load().present(OrganisationId(uuid4()), name, None)
    assert found is not None
    return found


def metrics_of(device_type: DeviceType) -> dict[str, dict[str, Any]]:
    return {metric["name"]: metric for metric in device_type.metrics}


def make(kind: type[Machine], seed: int) -> Machine:
    return kind("machine", Random(seed))  # noqa: S311  # repeatable, not unguessable


@pytest.mark.parametrize("kind", KINDS)
def test_the_type_has_every_sensor_of_a_machine_with_its_unit_and_at_least_its_range(kind: type[Machine]) -> None:
    metrics = metrics_of(shipped(kind.device_type))

    for sensor in kind.metrics:
        metric = metrics[sensor.name]
        assert (metric["unit"], metric["type"]) == (sensor.unit, "number")
        assert metric["min"] <= sensor.low < sensor.high <= metric["max"], sensor


@pytest.mark.parametrize("kind", KINDS)
def test_a_month_of_a_machine_s_readings_is_plausible_and_its_states_fit(kind: type[Machine]) -> None:
    device_type = shipped(kind.device_type)
    metrics, schema = metrics_of(device_type), ShadowSchema(device_type.shadow_schema or {})
    machine = make(kind, 7)
    machine.part.wear = 0.9
    statuses = set()

    for hour in range(24 * 30):
        values = machine.step(at=MIDNIGHT + timedelta(hours=hour), seconds=3600).values
        for name, value in values.items():
            assert metrics[name]["min"] <= value <= metrics[name]["max"], (name, value)
        state = machine.reported_state()
        statuses.add(state["status"])
        assert schema.violations(state, is_whole=True, limit=20) == []

    # It has failed and was repaired meanwhile.
    assert statuses == {"ok", f"{machine.part_name}_failed"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_machine_can_be_asked_for_may_be_asked_for(kind: type[Machine]) -> None:
    schema = ShadowSchema(shipped(kind.device_type).shadow_schema or {})

    for key, bounds in kind.ranges.items():
        for bound in bounds:
            assert schema.violations({key: bound}, is_whole=False, limit=20) == []
        assert schema.violations({key: 1000}, is_whole=False, limit=20) != []
    for key, words in kind.words.items():
        for word in words:
            assert schema.violations({key: word}, is_whole=False, limit=20) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_plate_of_a_machine_says_what_its_type_knows(kind: type[Machine]) -> None:
    schema = shipped(kind.device_type).properties_schema or {}
    plate = make(kind, 7).plate

    PropertiesSchema(schema).check(plate)
    assert plate
    assert plate.keys() <= schema["properties"].keys()


@pytest.mark.parametrize("kind", KINDS)
def test_the_part_that_wears_is_among_the_components(kind: type[Machine]) -> None:
    components = shipped(kind.device_type).maintenance["components"]

    assert kind.part_name in [component["name"] for component in components]


def test_recorded_engines_and_pumps_have_their_sensors_too() -> None:
    assert set(CMAPSS_METRICS) <= metrics_of(shipped("turbofan")).keys()
    assert set(metric_names(SKAB_TITLES)) <= metrics_of(shipped("pump")).keys()
