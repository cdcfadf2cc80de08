"""A speed-controlled circulation pump that holds a pressure; its bearing wears until the motor trips."""

import math
from datetime import datetime
from random import Random
from typing import Any

from iotsphere.simulation.machine import Machine, Metric, approach
from iotsphere.simulation.surroundings import daily_peak, is_weekend, outdoor_temperature_c

RATED_RPM = 2900.0
SHUT_OFF_BAR = 6.5
"""Pressure at full speed against a closed valve."""
VALVE_L_PER_MIN = 60.0
"""Flow through the fully open consumers at 1 bar."""
PUMP_CURVE = 1.2e-4
"""Pressure lost inside the pump, in bar per (l/min)²."""
WATTS_PER_BAR_L_PER_MIN = 100 / 60
WATTS_PER_AMPERE = math.sqrt(3) * 400 * 0.82


class Pump(Machine):
    device_type = "pump"
    part_name = "bearing"
    typical_life_hours = 1800.0
    ranges = {"set_point_bar": (1.0, 5.0)}  # noqa: RUF012  # Machine says ClassVar
    words = {"mode": ("auto", "off")}  # noqa: RUF012
    metrics = (
        Metric("flow_l_per_min", "l/min", 0, 150, 2, "flow at the outlet"),
        Metric("pressure_bar", "bar", 0, 8, 3, "pressure at the outlet, above the suction side"),
        Metric("speed_rpm", "1/min", 0, 3000, 0, "speed of the shaft"),
        Metric("vibration_mm_s", "mm/s", 0, 25, 3, "vibration velocity at the bearing, RMS"),
        Metric("motor_current_a", "A", 0, 10, 3, "current of one phase of the 400 V motor"),
        Metric("bearing_temperature_c", "°C", -20, 120, 2, "temperature of the bearing's housing"),
    )

    def __init__(self, serial_number: str, chance: Random) -> None:
        super().__init__(serial_number, chance)
        self.state |= {"set_point_bar": round(chance.uniform(2.5, 4.5), 1), "mode": "auto"}
        self._balance = chance.uniform(0.6, 1.1)
        self._whim = 0.0
        self._flow = self._pressure = self._speed = 0.0
        self._hall_c = 15.0
        self._bearing_c = 30.0

    @property
    def plate(self) -> dict[str, Any]:
        return {"rated_speed_rpm": RATED_RPM}

    @property
    def _running(self) -> bool:
        return self.state["mode"] != "off" and not self.part.failed

    def _load(self) -> float:
        """A bearing lives longer at lower speed and not at all longer for standing still in a failed pump."""
        return 0.5 + self._speed**3 if self._running else 0.0

    def _advance(self, at: datetime, seconds: float) -> None:
        demand = self._demand(at, seconds)
        self._pressure = self._held_pressure(demand) if self._running else 0.0
        self._flow = VALVE_L_PER_MIN * demand * math.sqrt(self._pressure)
        self._speed = math.sqrt((self._pressure + PUMP_CURVE * self._flow**2) / self._available_bar)
        self._hall_c = 17 + 0.4 * (outdoor_temperature_c(at) - 12)
        heat = 18 * self._speed**2 + (45 * self.part.wear**4 if self._running else 0)
        self._bearing_c = approach(self._bearing_c, self._hall_c + heat, seconds, 1200)

    @property
    def _available_bar(self) -> float:
        """Play in a worn bearing opens the gap of the impeller, and pressure leaks back through it."""
        return SHUT_OFF_BAR * (1 - 0.15 * self.part.wear**2)

    def _held_pressure(self, demand: float) -> float:
        """Give the pressure set, or as much of it as full speed yields at this demand."""
        at_full_speed = self._available_bar / (1 + PUMP_CURVE * (VALVE_L_PER_MIN * demand) ** 2)
        return min(float(self.state["set_point_bar"]), at_full_speed)

    def _demand(self, at: datetime, seconds: float) -> float:
        """Say how far the consumers are open, 0.15 to 1: two shifts a day, less at the weekend, and their whims."""
        self._whim = approach(self._whim, 0, seconds, 900) + self.chance.gauss(0, 0.004 * math.sqrt(seconds))
        shifts = 0.45 * daily_peak(at, 9, 2.5) + 0.35 * daily_peak(at, 16, 3)
        return min(max(0.3 + shifts * (0.4 if is_weekend(at) else 1) + self._whim, 0.15), 1)

    def _motor_w(self) -> float:
        hydraulic = WATTS_PER_BAR_L_PER_MIN * self._pressure * self._flow
        friction = 80 * self._speed * (1 + 2 * self.part.wear**3)
        return hydraulic / 0.62 * (1 + 0.25 * self.part.wear**3) + friction

    def _sense(self, seconds: float) -> dict[str, float]:  # noqa: ARG002  # nothing here counts over the interval
        noise = self.chance.gauss
        running = 1.0 if self._running else 0.0
        vibration = self._balance + 0.9 * self._speed**2 + 6.5 * self.part.wear**4
        return {
            "flow_l_per_min": self._flow * noise(1, 0.005),
            "pressure_bar": self._pressure * noise(1, 0.003),
            "speed_rpm": RATED_RPM * self._speed,
            "vibration_mm_s": running * vibration * noise(1, 0.06),
            "motor_current_a": self._motor_w() / WATTS_PER_AMPERE * noise(1, 0.01),
            "bearing_temperature_c": self._bearing_c + noise(0, 0.1),
        }
