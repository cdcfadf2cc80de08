"""A fleet of simulated machines and its history."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from iotsphere.simulation.machine import Machine, MachineStep
from iotsphere.simulation.pump import Pump
from iotsphere.simulation.vending_machine import VendingMachine
from iotsphere.simulation.water_heater import WaterHeater


@dataclass(frozen=True, slots=True)
class FleetPlan:
    water_heaters: int
    pumps: int
    vending_machines: int
    seed: int
    serial_prefix: str


@dataclass(frozen=True, slots=True)
class FleetStep:
    machine: Machine
    at: datetime
    step: MachineStep


def build_fleet(plan: FleetPlan) -> list[Machine]:
    """Make the machines of a plan.

    Each has a seed of its own made of the plan's and its serial number's end, so that what one machine does
    depends neither on how many others there are nor on the prefix.
    """
    counts = ((WaterHeater, plan.water_heaters), (Pump, plan.pumps), (VendingMachine, plan.vending_machines))
    return [_build(kind, number, plan) for kind, count in counts for number in range(1, count + 1)]


def run_fleet(
    fleet: Sequence[Machine], *, start: datetime, interval_seconds: float, steps: int
) -> Iterator[FleetStep]:
    """Step every machine through time, in the order of time. The first readings are those of ``start``."""
    for number in range(steps):
        at = start + timedelta(seconds=number * interval_seconds)
        for machine in fleet:
            yield FleetStep(machine, at, machine.step(at=at, seconds=interval_seconds))


def _build(kind: type[Machine], number: int, plan: FleetPlan) -> Machine:
    name = f"{kind.device_type}-{number:03}"
    chance = Random(f"{plan.seed}:{name}")  # noqa: S311  # a simulation must be repeatable, not unguessable
    return kind(f"{plan.serial_prefix}{name}", chance)
