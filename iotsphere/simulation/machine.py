"""What every simulated machine has: sensors with a range, a part that wears, a state it reports and obeys.

A machine is a pure function of its seed and of the times and desired states it is given: no clock, no I/O.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, ClassVar, Literal

LONGEST_SUBSTEP_SECONDS = 60.0
"""Thermostats and customers act within a minute, however seldom the sensors are read."""

LIFE_SHAPE = 3.0
OLDEST_WEAR_AT_START = 0.9


@dataclass(frozen=True, slots=True)
class Metric:
    """A sensor. What lies beyond ``low`` and ``high`` it reads as ``low`` and ``high``, as real ones do."""

    name: str
    unit: str
    low: float
    high: float
    digits: int
    meaning: str

    def read(self, value: float) -> float:
        reading = round(min(max(value, self.low), self.high), self.digits)
        return reading if self.digits else int(reading)


@dataclass(frozen=True, slots=True)
class MachineEvent:
    """What a maintenance log would note: the truth behind the readings."""

    at: datetime
    component: str
    kind: Literal["failure", "replacement"]


@dataclass(frozen=True, slots=True)
class MachineStep:
    values: dict[str, float]
    events: list[MachineEvent]


class WearingPart:
    """Wears from 0 to 1 with the load put on it, fails at 1, stands still until it is renewed, and starts again at 0.

    Lives follow a Weibull distribution with ``typical_life_hours`` as its scale (63 % have failed by then). The
    first part of a machine is already worn by some random amount, so that a fleet does not fail all at once.
    """

    def __init__(self, name: str, chance: Random, typical_life_hours: float) -> None:
        self.name = name
        self._chance = chance
        self._typical_life_hours = typical_life_hours
        self._renewed_at: datetime | None = None
        self._life_hours = self._draw_life()
        self.wear = chance.uniform(0, OLDEST_WEAR_AT_START)

    @property
    def failed(self) -> bool:
        return self._renewed_at is not None

    def use(self, *, until: datetime, seconds: float, load: float) -> MachineEvent | None:
        """Wear for ``seconds`` up to ``until``; ``load`` is 1 for ordinary service and never negative."""
        if self._renewed_at is not None:
            return self._renew(until) if until >= self._renewed_at else None
        self.wear = min(1.0, self.wear + load * seconds / 3600 / self._life_hours)
        return self._fail(until) if self.wear >= 1 else None

    def _fail(self, at: datetime) -> MachineEvent:
        self._renewed_at = at + timedelta(hours=self._chance.uniform(2, 12))
        return MachineEvent(at, self.name, "failure")

    def _renew(self, at: datetime) -> MachineEvent:
        self._renewed_at = None
        self._life_hours = self._draw_life()
        self.wear = 0.0
        return MachineEvent(at, self.name, "replacement")

    def _draw_life(self) -> float:
        return max(self._chance.weibullvariate(self._typical_life_hours, LIFE_SHAPE), self._typical_life_hours / 10)


class Machine(ABC):
    """One simulated device: advance it in time, read its sensors, ask it for something."""

    device_type: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    ranges: ClassVar[Mapping[str, tuple[float, float]]]
    """The numbers that ``desired`` may set, with the lowest and highest."""
    words: ClassVar[Mapping[str, tuple[str, ...]]]
    """The other things that ``desired`` may set, with the words allowed."""
    part_name: ClassVar[str]
    typical_life_hours: ClassVar[float]

    def __init__(self, serial_number: str, chance: Random) -> None:
        self.serial_number = serial_number
        self.chance = chance
        self.part = WearingPart(self.part_name, chance, self.typical_life_hours)
        self.state: dict[str, Any] = {"firmware": f"1.{chance.randint(0, 4)}.{chance.randint(0, 9)}"}

    @property
    @abstractmethod
    def plate(self) -> dict[str, Any]:
        """Say what is written on it: the properties that it has for life."""

    def step(self, *, at: datetime, seconds: float) -> MachineStep:
        """Live through the ``seconds`` that end ``at``, then read every sensor once."""
        events = []
        for moment, span in _substeps(at, seconds):
            event = self.part.use(until=moment, seconds=span, load=self._load())
            events += [event] if event else []
            self._advance(moment, span)
        raw = self._sense(seconds)
        return MachineStep({metric.name: metric.read(raw[metric.name]) for metric in self.metrics}, events)

    def reported_state(self) -> dict[str, Any]:
        return self.state | {"status": f"{self.part.name}_failed" if self.part.failed else "ok"}

    def apply_desired(self, delta: Mapping[str, Any]) -> None:
        """Take over what is asked for and possible; the rest stays in the delta, where whoever asked can see it."""
        self.state |= {key: value for key, value in delta.items() if self._accepts(key, value)}

    def _accepts(self, key: str, value: object) -> bool:
        if isinstance(value, str):
            return value in self.words.get(key, ())
        low, high = self.ranges.get(key, (math.inf, -math.inf))
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    @abstractmethod
    def _load(self) -> float:
        """Say how hard the part works just now: 1 is ordinary service."""

    @abstractmethod
    def _advance(self, at: datetime, seconds: float) -> None:
        """Move the physics on by at most a minute."""

    @abstractmethod
    def _sense(self, seconds: float) -> dict[str, float]:
        """Give the true values with the sensors' noise, and start the counts of the next interval."""


def approach(value: float, target: float, seconds: float, time_constant_seconds: float) -> float:
    """Move towards a target as heat does: exactly, so that no step is too long."""
    return target + (value - target) * math.exp(-seconds / time_constant_seconds)


def _substeps(at: datetime, seconds: float) -> Iterator[tuple[datetime, float]]:
    count = max(1, math.ceil(seconds / LONGEST_SUBSTEP_SECONDS))
    span = seconds / count
    for left in range(count - 1, -1, -1):
        yield at - timedelta(seconds=left * span), span
