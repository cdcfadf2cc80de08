"""What stands in a cell of a recording: a number, nothing, a time. A ``ValueError`` says why it is none of these."""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from iotsphere.kernel.times import EPOCH

# Digits are never given back, or a million of them with a letter behind would be tried in every way.
NUMBER = re.compile(r"[+-]?(\d++\.?\d*+|\.\d++)([eE][+-]?\d++)?", re.ASCII)
EPOCH_NUMBER = re.compile(r"\d{9,}(\.\d+)?", re.ASCII)
FIRST_EPOCH_MILLISECONDS = 1e11
"""As seconds that would be the year 5138, as milliseconds it is 1973: larger numbers are milliseconds."""
MISSING = frozenset({"", "na", "nan", "n/a", "null", "none"})


def read_values(cells: list[str], metrics: Iterable[tuple[int, str]]) -> dict[str, float]:
    """Read the cells at the metrics' places; those without a value are left out."""
    return {name: read_number(cells[n], name) for n, name in metrics if cells[n].strip().lower() not in MISSING}


def read_time(cell: str) -> datetime:
    """Read ISO 8601, in UTC where it names no offset, or the seconds or milliseconds since 1970."""
    text = cell.strip()
    try:
        return _from_epoch(float(text)) if EPOCH_NUMBER.fullmatch(text) else _from_iso_8601(text)
    except (ValueError, OverflowError) as error:
        reason = f"{text[:40]!r} is not a time in ISO 8601, nor seconds or milliseconds since 1970."
        raise ValueError(reason) from error


def _from_epoch(number: float) -> datetime:
    return EPOCH + timedelta(seconds=number / (1000 if number >= FIRST_EPOCH_MILLISECONDS else 1))


def _from_iso_8601(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def read_number(cell: str, name: str) -> float:
    """Read a number as the file has it; a whole one stays whole, so that the platform sees what it cannot keep."""
    text = cell.strip()
    number = float(text) if NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} is {text[:40]!r}, not a number; --ignore-column leaves a column out.")
    return int(text) if text.lstrip("+-").isdecimal() else number
