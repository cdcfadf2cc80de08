"""Intervals of time, as PostgreSQL tells them from one another."""

from typing import Any

from iotsphere.kernel.times import EPOCH, MICROSECOND
from iotsphere.telemetry.intervals import Grid
from iotsphere.telemetry.model import FleetSelection, Selection

FIXED_START = "date_bin(:length, {moment}, :epoch)"
# Where days begin is worked out in Python alone; PostgreSQL sorts the points in between.
CALENDAR_START = "(CAST(:starts AS timestamptz[]))[width_bucket({moment}, CAST(:starts AS timestamptz[]))]"


def interval_start(grid: Grid, moment: str) -> str:
    """Give the expression for the start of the interval that the moment lies in."""
    return (CALENDAR_START if grid.interval.is_calendar else FIXED_START).format(moment=moment)


def interval_parameters(grid: Grid, selection: Selection | FleetSelection) -> dict[str, Any]:
    """Give what the expression needs for moments of the selection."""
    if grid.interval.is_calendar:
        last = max(selection.start, selection.end - MICROSECOND)
        return {"starts": grid.starts(selection.start, last)}
    return {"length": grid.interval.length, "epoch": EPOCH}
