"""A chilled vending machine that is sold out, refilled, emptied of coins, and slowly loses its refrigerant."""

import math
from datetime import date, datetime
from random import Random
from typing import Any

from iotsphere.simulation.machine import Machine, Metric, approach
from iotsphere.simulation.surroundings import daily_peak, hour_of_day, is_weekend, outdoor_temperature_c

SLOTS = 6
SLOT_CAPACITY = 20
REFILL_HOUR = 7
REFILL_BELOW = 0.6
CASH_SHARE = 0.55
CABINET_J_PER_K = 165_000.0
LOSS_W_PER_K = 6.0
COOLING_W = 420.0
OPENING_J = 2_000.0
ECO_RISE_K = 3.0
MORNING, NIGHT = 6.0, 22.0


class VendingMachine(Machine):
    device_type = "vending-machine"
    part_name = "refrigerant_circuit"
    typical_life_hours = 2000.0
    ranges = {"set_point_c": (2.0, 12.0)}  # noqa: RUF012  # Machine says ClassVar
    words = {"mode": ("normal", "eco")}  # noqa: RUF012
    metrics = (
        Metric("cabinet_temperature_c", "°C", -5, 45, 2, "air among the goods"),
        Metric("ambient_temperature_c", "°C", -5, 45, 2, "air around the machine"),
        Metric("set_point_c", "°C", 2, 12, 1, "what the thermostat aims at"),
        Metric("compressor_duty", "1", 0, 1, 3, "share of the interval in which the compressor ran"),
        Metric("door_openings", "1", 0, 200, 0, "openings of the delivery and service doors in the interval"),
        Metric("sales", "1", 0, 60, 0, "items sold in the interval"),
        Metric("coin_box_eur", "EUR", 0, 500, 2, "coins in the box since it was last emptied"),
        *(
            Metric(f"stock_slot_{slot}", "1", 0, SLOT_CAPACITY, 0, f"items left in slot {slot}")
            for slot in range(1, SLOTS + 1)
        ),
    )

    def __init__(self, serial_number: str, chance: Random) -> None:
        super().__init__(serial_number, chance)
        self.state |= {"set_point_c": float(chance.randint(3, 7)), "mode": "normal"}
        self._busyness = chance.uniform(2, 8)
        self._stock = [chance.randint(8, SLOT_CAPACITY) for _ in range(SLOTS)]
        self._prices = [chance.choice((1.2, 1.5, 1.8, 2.0, 2.5)) for _ in range(SLOTS)]
        self._popularity = [chance.uniform(0.4, 1.6) for _ in range(SLOTS)]
        self._coins = 0.0
        self._site_c = chance.uniform(-2, 3)
        self._ambient_c = 21.0
        self._cabinet_c = self.state["set_point_c"]
        self._cooling = False
        self._refilled_on: date | None = None
        self._interval_sales = self._interval_openings = 0
        self._interval_cooling_seconds = 0.0

    @property
    def plate(self) -> dict[str, Any]:
        return {"slots": SLOTS}

    def _load(self) -> float:
        """A leak grows by the vibration of the running compressor."""
        return 1.2 if self._cooling else 0.8

    def _advance(self, at: datetime, seconds: float) -> None:
        self._ambient_c = 20 + self._site_c + 0.35 * (outdoor_temperature_c(at) - 12)
        self._refill(at)
        self._sell(at, seconds)
        self._switch(at)
        power = COOLING_W * (1 - 0.92 * self.part.wear**2) if self._cooling and not self.part.failed else 0.0
        target = self._ambient_c - power / LOSS_W_PER_K
        self._cabinet_c = approach(self._cabinet_c, target, seconds, CABINET_J_PER_K / LOSS_W_PER_K)
        self._interval_cooling_seconds += seconds if power else 0

    def _switch(self, at: datetime) -> None:
        at_night = not MORNING <= hour_of_day(at) < NIGHT
        target = self.state["set_point_c"] + (ECO_RISE_K if self.state["mode"] == "eco" and at_night else 0)
        if self._cabinet_c > target + 1:
            self._cooling = True
        elif self._cabinet_c < target - 1:
            self._cooling = False

    def _sell(self, at: datetime, seconds: float) -> None:
        """Sell at most one item, which is all a minute allows; a machine that cannot cool is out of service."""
        rush = daily_peak(at, 10, 1) + 1.3 * daily_peak(at, 12.5, 0.8) + 0.9 * daily_peak(at, 16, 1.5)
        per_hour = self._busyness * (0.05 + rush) * (0.3 if is_weekend(at) else 1)
        if self.part.failed or self.chance.random() >= 1 - math.exp(-per_hour * seconds / 3600):
            return
        [slot] = self.chance.choices(range(SLOTS), self._popularity)
        if self._stock[slot]:
            self._stock[slot] -= 1
            self._coins += self._prices[slot] if self.chance.random() < CASH_SHARE else 0
            self._interval_sales += 1
            self._open_door(1 if self.chance.random() < 0.8 else 2)  # noqa: PLR2004  # one in five drops it

    def _refill(self, at: datetime) -> None:
        """Once a morning, when enough is sold, fill every slot with goods of room temperature and empty the coins."""
        room = SLOTS * SLOT_CAPACITY
        if at.hour != REFILL_HOUR or self._refilled_on == at.date() or sum(self._stock) > room * REFILL_BELOW:
            return
        new = room - sum(self._stock)
        self._cabinet_c += (self._ambient_c - self._cabinet_c) * 0.4 * new / room
        self._stock = [SLOT_CAPACITY] * SLOTS
        self._coins = 0.0
        self._refilled_on = at.date()
        self._open_door(self.chance.randint(1, 4))

    def _open_door(self, times: int) -> None:
        self._interval_openings += times
        warming = times * OPENING_J / CABINET_J_PER_K
        self._cabinet_c = min(self._cabinet_c + warming, max(self._ambient_c, self._cabinet_c))

    def _sense(self, seconds: float) -> dict[str, float]:
        noise = self.chance.gauss
        raw = {
            "cabinet_temperature_c": self._cabinet_c + noise(0, 0.08),
            "ambient_temperature_c": self._ambient_c + noise(0, 0.1),
            "set_point_c": self.state["set_point_c"],
            "compressor_duty": self._interval_cooling_seconds / seconds,
            "door_openings": self._interval_openings,
            "sales": self._interval_sales,
            "coin_box_eur": self._coins,
        }
        self._interval_sales = self._interval_openings = 0
        self._interval_cooling_seconds = 0.0
        return raw | {f"stock_slot_{slot}": left for slot, left in enumerate(self._stock, 1)}
