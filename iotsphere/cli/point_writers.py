"""Long files of points, written as ``iotsphere.cli.tables`` reads them: every value comes back as it was.

The columns are those of the API's own tables, behind the device: numbers in ``value``, and in ``other``, as JSON,
what is no number.
"""

import csv
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from iotsphere.cli.tables import METRIC, OTHER, VALUE

Points = Sequence[tuple[str, str, Any]]
"""Time, metric and value of each, as the platform gives them."""


class PointWriter(Protocol):
    def write(self, serial_number: str, points: Points) -> None: ...

    def close(self) -> None: ...


class CsvPointWriter:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(["serial_number", "ts", METRIC, VALUE, OTHER])

    def write(self, serial_number: str, points: Points) -> None:
        self._writer.writerows((serial_number, ts, metric, *_parted(value)) for ts, metric, value in points)

    def close(self) -> None:
        self._file.close()


class ParquetPointWriter:
    def __init__(self, path: Path) -> None:
        # Loading it takes longer than most commands do.
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415

        name = pa.dictionary(pa.int32(), pa.string())
        moment = pa.timestamp("us", "UTC")
        kinds = {"serial_number": name, "ts": moment, METRIC: name, VALUE: pa.float64(), OTHER: pa.string()}
        self._schema = pa.schema(kinds)
        self._make_batch = pa.RecordBatch.from_arrays
        self._make_column = pa.array
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, serial_number: str, points: Points) -> None:
        parted = [_parted(value) for _, _, value in points]
        columns = [
            [serial_number] * len(points),
            [datetime.fromisoformat(ts) for ts, _, _ in points],
            [metric for _, metric, _ in points],
            [number for number, _ in parted],
            [other for _, other in parted],
        ]
        arrays = [self._make_column(column, kind.type) for column, kind in zip(columns, self._schema, strict=True)]
        self._writer.write_batch(self._make_batch(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _parted(value: Any) -> tuple[float | None, str | None]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value), None
    return None, msgspec.json.encode(value).decode()
