from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Tells the present moment as an aware UTC time. Handed in, so that tests decide what time it is."""


def utc_now() -> datetime:
    return datetime.now(UTC)
