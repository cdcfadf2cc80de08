"""Times as people and programs write them: RFC 3339 with an offset, or an integer of epoch milliseconds."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LENGTH = len("2026-11-20T17:23:00.123456Z")


def parse_time(value: object) -> datetime:
    """Read a time; digits beyond microseconds are dropped.

    :raises ValueError: with a sentence that says what is expected.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("Not a time: give RFC 3339 with an offset, or an integer of epoch milliseconds.")
    try:
        if isinstance(value, int):
            return EPOCH + timedelta(milliseconds=value)
        if RFC_3339.fullmatch(value):
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("No such time: it lies outside the years 1 to 9999.") from error
    except ValueError as error:
        raise ValueError(f"No such time: {error}.") from error
    raise ValueError("Not an RFC 3339 time with an offset, such as 2026-11-20T17:23:00Z.")


def format_time(moment: datetime) -> str:
    """Write a time as every answer shows it: ``2026-11-20T17:23:00.123456Z``."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat(timespec='microseconds')[:26]}Z"


def format_times(moments: Iterable[datetime]) -> list[str]:
    """Write many times, in a tenth of what each takes by itself."""
    in_utc = [moment if moment.tzinfo is UTC else moment.astimezone(UTC) for moment in moments]
    # Those of whole seconds come without their fraction.
    return [text if len(text) == LENGTH else f"{text[:-1]}.000000Z" for text in msgspec.to_builtins(in_utc)]
