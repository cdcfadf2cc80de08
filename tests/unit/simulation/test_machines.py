"""Every machine, whatever it is: believable ranges, repeatable readings, wear that only a repair takes away."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotsphere.simulation.fleet import FleetPlan, build_fleet, run_fleet
from iotsphere.simulation.machine import Machine, MachineEvent, Metric
from iotsphere.simulation.pump import Pump
from iotsphere.simulation.vending_machine import VendingMachine
from iotsphere.simulation.water_heater import WaterHeater

KINDS = (WaterHeater, Pump, VendingMachine)
MIDNIGHT = datetime(2024, 6, 3, tzinfo=UTC)

kinds = st.sampled_from(KINDS)
seeds = st.integers(0, 2**32)
starts = st.datetimes(datetime(2001, 1, 1), datetime(2039, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # its rule
intervals = st.sampled_from((1, 7, 60, 61, 300, 3600))
delta_values = st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from(("eco", "off"))
deltas = st.dictionaries(st.sampled_from(("set_point_c", "set_point_bar", "mode", "firmware", "x")), delta_values)


def make(kind: type[Machine], seed: int) -> Machine:
    return kind("machine", Random(seed))  # noqa: S311  # repeatable, not unguessable


def run(
    machine: Machine, *, steps: int, seconds: int = 300, start: datetime = MIDNIGHT
) -> list[tuple[datetime, dict[str, float], list[MachineEvent]]]:
    moments = [start + timedelta(seconds=number * seconds) for number in range(steps)]
    walked = [(at, machine.step(at=at, seconds=seconds)) for at in moments]
    return [(at, step.values, step.events) for at, step in walked]


@settings(max_examples=60, deadline=None)
@given(kind=kinds, seed=seeds, start=starts, interval=intervals, wanted=st.lists(deltas, max_size=4))
def test_every_reading_lies_in_the_range_of_its_metric(
    kind: type[Machine], seed: int, start: datetime, interval: int, wanted: list[dict[str, Any]]
) -> None:
    machine = make(kind, seed)
    for delta in [{}, *wanted]:
        machine.apply_desired(delta)
        for _, values, _ in run(machine, steps=30, seconds=interval, start=start):
            assert values.keys() == {metric.name for metric in machine.metrics}
            for metric in machine.metrics:
                assert metric.low <= values[metric.name] <= metric.high


@settings(max_examples=20, deadline=None)
@given(kind=kinds, seed=seeds, start=starts, interval=intervals)
def test_the_same_seed_gives_the_same_readings_and_events(
    kind: type[Machine], seed: int, start: datetime, interval: int
) -> None:
    once = run(make(kind, seed), steps=50, seconds=interval, start=start)
    assert once == run(make(kind, seed), steps=50, seconds=interval, start=start)


@settings(max_examples=15, deadline=None)
@given(kind=kinds, seed=seeds)
def test_wear_grows_until_a_repair_which_a_failure_comes_before(kind: type[Machine], seed: int) -> None:
    machine = make(kind, seed)
    machine.part.wear = wear = 0.98
    failed = False
    for hour in range(24 * 10):
        events = machine.step(at=MIDNIGHT + timedelta(hours=hour), seconds=3600).events
        assert [event.kind for event in events] in ([], ["replacement" if failed else "failure"])
        failed ^= bool(events)
        assert machine.part.failed == failed
        assert machine.part.wear >= wear or (events and machine.part.wear < 0.1)
        wear = machine.part.wear


@settings(max_examples=50, deadline=None)
@given(kind=kinds, seed=seeds, delta=deltas)
def test_only_what_is_possible_is_taken_over_from_the_desired_state(
    kind: type[Machine], seed: int, delta: dict[str, Any]
) -> None:
    machine = make(kind, seed)
    before = machine.reported_state()
    machine.apply_desired(delta)
    for key, value in machine.reported_state().items():
        if key in machine.words:
            assert value in machine.words[key]
        elif key in machine.ranges:
            assert machine.ranges[key][0] <= value <= machine.ranges[key][1]
        else:
            assert value == before[key]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_fails_and_is_repaired(kind: type[Machine]) -> None:
    machine = make(kind, 1)
    machine.part.wear = 0.99
    events = [event for _, _, events in run(machine, steps=24 * 10, seconds=3600) for event in events]
    assert [event.kind for event in events] == ["failure", "replacement"]
    assert {event.component for event in events} == {machine.part_name}


def test_a_sensor_reads_no_further_than_its_range() -> None:
    metric = Metric("x", "°C", -5, 45, 1, "test")
    assert [metric.read(value) for value in (-9.0, 21.26, 99.0)] == [-5, 21.3, 45]


def mean(machine: Machine, metric: str, wear: float, steps: int = 288) -> float:
    machine.part.wear = wear
    readings = [values[metric] for _, values, _ in run(machine, steps=steps)]
    return sum(readings) / len(readings)


def test_a_worn_bearing_shakes_heats_and_draws_more_current() -> None:
    for metric in ("vibration_mm_s", "bearing_temperature_c", "motor_current_a"):
        assert mean(make(Pump, 3), metric, 0.9) > 1.03 * mean(make(Pump, 3), metric, 0.0)


def test_a_scaled_element_needs_more_energy_for_the_same_water() -> None:
    assert mean(make(WaterHeater, 3), "element_power_w", 0.85) > 1.2 * mean(
        make(WaterHeater, 3), "element_power_w", 0
    )


def test_a_leaking_circuit_runs_its_compressor_longer() -> None:
    assert mean(make(VendingMachine, 3), "compressor_duty", 0.8) > 1.5 * mean(
        make(VendingMachine, 3), "compressor_duty", 0
    )


def test_a_heater_without_its_element_grows_cold_and_a_pump_without_its_bearing_stands_still() -> None:
    heater, pump = make(WaterHeater, 5), make(Pump, 5)
    for machine in (heater, pump):
        machine.part.wear = 0.9999
    cold = min(values["tank_temperature_c"] for _, values, _ in run(heater, steps=288))
    assert cold < heater.state["set_point_c"] - 5
    after = [values for at, values, _ in run(pump, steps=288) if pump.part.failed or at > MIDNIGHT]
    assert any(values["flow_l_per_min"] == values["motor_current_a"] == values["speed_rpm"] == 0 for values in after)


def test_a_changed_set_point_moves_the_tank_temperature() -> None:
    heater = make(WaterHeater, 2)
    heater.part.wear = 0.0
    heater.apply_desired({"set_point_c": 70})
    tank = [values["tank_temperature_c"] for _, values, _ in run(heater, steps=288)]
    assert max(tank) > 69
    assert heater.reported_state()["set_point_c"] == 70


def test_more_hot_water_is_drawn_in_the_morning_than_at_night() -> None:
    drawn = run(make(WaterHeater, 4), steps=288 * 14)
    morning = sum(values["water_draw_l_per_min"] for at, values, _ in drawn if at.hour in {6, 7})
    night = sum(values["water_draw_l_per_min"] for at, values, _ in drawn if at.hour in {1, 2})
    assert morning > 3 * night


def test_every_sale_leaves_one_item_less_and_stock_rises_in_the_refill_hour_alone() -> None:
    machine = make(VendingMachine, 6)
    machine.part.wear = 0.0
    slots = [metric.name for metric in machine.metrics if metric.name.startswith("stock_slot")]
    readings = run(machine, steps=288 * 7)
    for (_, before, _), (at, after, _) in pairwise(readings):
        sold = sum(before[slot] for slot in slots) - sum(after[slot] for slot in slots)
        assert sold == after["sales"] or at.hour == 7
    assert any(values["coin_box_eur"] == 0 for at, values, _ in readings if at.hour == 7)


PLAN = FleetPlan(water_heaters=2, pumps=1, vending_machines=1, seed=1, serial_prefix="s-")


def test_a_fleet_reads_in_the_order_of_time_with_numbers_of_its_own() -> None:
    steps = list(run_fleet(build_fleet(PLAN), start=MIDNIGHT, interval_seconds=60, steps=2))
    assert [step.machine.serial_number for step in steps[:4]] == [
        "s-water-heater-001",
        "s-water-heater-002",
        "s-pump-001",
        "s-vending-machine-001",
    ]
    assert [step.at for step in steps] == [MIDNIGHT] * 4 + [MIDNIGHT + timedelta(minutes=1)] * 4


def test_a_machine_does_the_same_in_a_larger_fleet_under_another_name() -> None:
    [small] = build_fleet(replace(PLAN, water_heaters=0, pumps=1, vending_machines=0))
    large = build_fleet(replace(PLAN, pumps=3, serial_prefix="other-"))[2]
    assert run(small, steps=20) == run(large, steps=20)


def test_machines_of_one_fleet_and_of_another_seed_differ() -> None:
    one, two = build_fleet(PLAN)[:2]
    other = build_fleet(replace(PLAN, seed=2))[0]
    assert len({str(run(machine, steps=20)) for machine in (one, two, other)}) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_documentation_lists_every_metric_with_its_unit_and_range(kind: type[Machine]) -> None:
    text = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    for metric in kind.metrics:
        assert f"| `{metric.name}` | {metric.unit} | {metric.low:,g} to {metric.high:,g} | {metric.meaning} |" in text
