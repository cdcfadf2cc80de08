"""What machines share without knowing each other: the hour of the day, the week, the weather. Times are UTC."""

import math
from datetime import datetime

WEEKEND = 5
"""Saturday, as ``datetime.weekday`` counts."""


def hour_of_day(at: datetime) -> float:
    return at.hour + at.minute / 60 + at.second / 3600


def daily_peak(at: datetime, hour: float, width_hours: float) -> float:
    """Rise to 1 every day at ``hour`` and fall to 0 on both sides of it, also across midnight."""
    distance = abs((hour_of_day(at) - hour + 12) % 24 - 12)
    return math.exp(-((distance / width_hours) ** 2) / 2)


def outdoor_temperature_c(at: datetime) -> float:
    """Give a temperate climate's temperature, between -1 and 25 °C: coldest in late January and before dawn."""
    season = -math.cos(2 * math.pi * (at.timetuple().tm_yday - 25) / 365)
    time_of_day = -math.cos(2 * math.pi * (hour_of_day(at) - 3) / 24)
    return 12 + 9 * season + 4 * time_of_day


def is_weekend(at: datetime) -> bool:
    return at.weekday() >= WEEKEND
