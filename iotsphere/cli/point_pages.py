"""Pages of points as the platform gives them to whoever accepts Arrow: a small part of the work that JSON is."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

ARROW = "application/vnd.apache.arrow.stream"
NEXT_CURSOR = "X-Next-Cursor"
ARCHIVED = "X-Archived"
# Behind as many stretches of time as a header holds.
AND_MORE = "..."
TIME, METRIC, VALUE, OTHER = "ts", "metric", "value", "other"
COLUMNS = [TIME, METRIC, VALUE, OTHER]


class PointPage(NamedTuple):
    """``points`` is a table of Arrow with ``COLUMNS``, ``units`` are those of metrics.

    ``archived`` are stretches of time, as they are told, of which readings lie in the archive alone; there may be
    more of them.
    """

    points: Any
    units: Mapping[str, str]
    archived: list[tuple[str, str]]
    is_more_archived: bool
    next_cursor: str | None


def read_page(content: bytes, headers: Mapping[str, str]) -> PointPage:
    """Read an answer of the platform.

    :raises ValueError: it is no table of points.
    """
    # Loading it takes longer than most commands do.
    import pyarrow as pa  # noqa: PLC0415

    try:
        points = pa.ipc.open_stream(content).read_all().select(COLUMNS)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ValueError(f"no table of points: {error}") from error
    told = headers[ARCHIVED].split(", ") if ARCHIVED in headers else []
    stretches = [tuple(stretch.split("/")) for stretch in told if stretch != AND_MORE]
    units = msgspec.json.decode((points.schema.metadata or {}).get(b"units", b"{}"))
    archived = [(start, end) for start, end in stretches]
    return PointPage(points, units, archived, AND_MORE in told, headers.get(NEXT_CURSOR))
