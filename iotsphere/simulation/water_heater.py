"""A domestic storage water heater whose element slowly scales up until it burns out."""

import math
from datetime import datetime
from random import Random
from typing import Any

from iotsphere.simulation.machine import Machine, Metric
from iotsphere.simulation.surroundings import daily_peak, hour_of_day, outdoor_temperature_c

HEAT_CAPACITY = 4186.0
"""Of a litre of water, in J/K."""
HYSTERESIS_K = 2.0
ECO_REDUCTION_K = 8.0
MORNING, NIGHT = 5.0, 22.0
LEAST_SET_POINT_C = 40.0


class WaterHeater(Machine):
    device_type = "water-heater"
    part_name = "heating_element"
    typical_life_hours = 1500.0
    ranges = {"set_point_c": (LEAST_SET_POINT_C, 75.0)}  # noqa: RUF012  # Machine says ClassVar
    words = {"mode": ("normal", "eco", "off")}  # noqa: RUF012
    metrics = (
        Metric("tank_temperature_c", "°C", 0, 90, 2, "water in the upper third of the tank"),
        Metric("set_point_c", "°C", 40, 75, 1, "what the thermostat aims at"),
        Metric("element_power_w", "W", 0, 5000, 1, "electric power of the element, mean over the interval"),
        Metric("water_draw_l_per_min", "l/min", 0, 15, 2, "hot water drawn, mean over the interval"),
        Metric("inlet_temperature_c", "°C", 0, 25, 2, "cold water feed"),
        Metric("energy_kwh", "kWh", 0, 100_000, 4, "meter of the element since the simulation began"),
    )

    def __init__(self, serial_number: str, chance: Random) -> None:
        super().__init__(serial_number, chance)
        self.state |= {"set_point_c": float(chance.randint(50, 62)), "mode": "normal"}
        self._litres = chance.uniform(120, 300)
        self._rated_w = chance.choice((2000.0, 3000.0, 4500.0))
        self._loss_w_per_k = chance.uniform(1.4, 2.4)
        self._habits = chance.uniform(0.7, 1.4)
        self._tank_c: float = self.state["set_point_c"] - chance.uniform(0, HYSTERESIS_K)
        self._inlet_c = 10.0
        self._heating = False
        self._draw_l_per_s = 0.0
        self._draw_left_seconds = 0.0
        self._energy_j = self._interval_j = self._interval_litres = 0.0

    @property
    def plate(self) -> dict[str, Any]:
        return {"volume_l": round(self._litres), "rated_power_kw": self._rated_w / 1000}

    def _load(self) -> float:
        """Scale builds up faster in hotter water."""
        return max(0.2, 1 + (self._tank_c - 60) / 40)

    def _advance(self, at: datetime, seconds: float) -> None:
        drawn = self._draw(at, seconds)
        self._inlet_c = 8 + 0.3 * outdoor_temperature_c(at)
        self._switch(at)
        power = 0.0 if self.part.failed or not self._heating else self._rated_w
        self._heat(power * self._efficiency, drawn, seconds)
        self._interval_j += power * seconds
        self._interval_litres += drawn * seconds

    @property
    def _efficiency(self) -> float:
        """Scale keeps the heat of the element from the water: at the end of its life 45 % does not arrive."""
        return 1 - 0.45 * self.part.wear**2

    def _draw(self, at: datetime, seconds: float) -> float:
        """Give the flow in l/s; people take showers in the morning, wash up in the evening."""
        per_hour = self._habits * (0.15 + 2.2 * daily_peak(at, 7, 1.2) + 1.5 * daily_peak(at, 19.5, 2))
        if self._draw_left_seconds <= 0 and self.chance.random() < 1 - math.exp(-per_hour * seconds / 3600):
            self._draw_left_seconds = self.chance.uniform(60, 480)
            self._draw_l_per_s = self.chance.uniform(3, 9) / 60
        running = min(seconds, max(self._draw_left_seconds, 0.0))
        self._draw_left_seconds -= running
        return self._draw_l_per_s * running / seconds

    def _switch(self, at: datetime) -> None:
        target = self._target_c(at)
        if self.state["mode"] == "off" or self._tank_c >= target:
            self._heating = False
        elif self._tank_c < target - HYSTERESIS_K:
            self._heating = True

    def _target_c(self, at: datetime) -> float:
        at_night = not MORNING <= hour_of_day(at) < NIGHT
        reduction = ECO_REDUCTION_K if self.state["mode"] == "eco" and at_night else 0.0
        return float(self.state["set_point_c"]) - reduction

    def _heat(self, heat_w: float, drawn_l_per_s: float, seconds: float) -> None:
        """Solve the tank's heat balance over the step: heater, losses to a cellar of 18 °C, cold water let in."""
        capacity = self._litres * HEAT_CAPACITY
        rate = self._loss_w_per_k / capacity + drawn_l_per_s / self._litres
        gain = (heat_w + self._loss_w_per_k * 18) / capacity + drawn_l_per_s / self._litres * self._inlet_c
        balance = gain / rate
        self._tank_c = balance + (self._tank_c - balance) * math.exp(-rate * seconds)

    def _sense(self, seconds: float) -> dict[str, float]:
        power, flow = self._interval_j / seconds, self._interval_litres / seconds * 60
        self._energy_j += self._interval_j
        self._interval_j = self._interval_litres = 0.0
        return {
            "tank_temperature_c": self._tank_c + self.chance.gauss(0, 0.05),
            "set_point_c": self.state["set_point_c"],
            "element_power_w": power * self.chance.gauss(1, 0.01),
            "water_draw_l_per_min": flow,
            "inlet_temperature_c": self._inlet_c + self.chance.gauss(0, 0.1),
            "energy_kwh": self._energy_j / 3.6e6,
        }
