# mypy: disable-error-code="no-untyped-call"
# factory-boy's declarations carry no types.

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from factory.base import Factory
from factory.declarations import LazyFunction, Sequence

from iotsphere.telemetry.model import Point, Reading

FIRST_READING = datetime(2026, 11, 20, tzinfo=UTC)


class PointFactory(Factory[Point]):
    """Points of one device each, every one a second later than the one before."""

    class Meta:
        model = Point

    device_id = LazyFunction(uuid4)
    metric = "temperature"
    ts = Sequence(lambda number: FIRST_READING + timedelta(seconds=number))
    value = 21.5


def build_point(**given: Any) -> Point:
    return PointFactory.build(**given)


def as_readings(points: Iterable[Point]) -> list[Reading]:
    """Hand each point in as a reading of its own."""
    return [Reading(point.device_id, point.ts, {point.metric: point.value}) for point in points]
