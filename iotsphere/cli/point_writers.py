"""Long files of points, written as ``iotsphere.cli.tables`` reads them: every value comes back as it was."""

import csv
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from iotsphere.cli.tables import METRIC, NUMBER_COLUMN, OTHER, VALUE

Points = Sequence[tuple[str, str, Any]]
"""Time, metric and value of each, as the platform gives them."""


class PointWriter(Protocol):
    def write(self, serial_number: str, points: Points) -> None: ...

    def close(self) -> None: ...


class CsvPointWriter:
    """A value is JSON, so that a text is told from a number."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(["serial_number", "ts", METRIC, VALUE])

    def write(self, serial_number: str, points: Points) -> None:
        self._writer.writerows(
            (serial_number, ts, metric, msgspec.json.encode(value).decode()) for ts, metric, value in points
        )

    def close(self) -> None:
        self._file.close()


class ParquetPointWriter:
    """Numbers have a column of their own; what is no number is JSON in another."""

    def __init__(self, path: Path) -> None:
        # Loading it takes longer than most commands do.
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415

        self._schema = pa.schema(
            [
                ("serial_number", pa.dictionary(pa.int32(), pa.string())),
                ("ts", pa.timestamp("us", "UTC")),
                (METRIC, pa.dictionary(pa.int32(), pa.string())),
                (NUMBER_COLUMN, pa.float64()),
                (OTHER, pa.string()),
            ]
        )
        self._pa = pa
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, serial_number: str, points: Points) -> None:
        are_numbers = [isinstance(value, int | float) and not isinstance(value, bool) for _, _, value in points]
        columns = [
            [serial_number] * len(points),
            [datetime.fromisoformat(ts) for ts, _, _ in points],
            [metric for _, metric, _ in points],
            [float(point[2]) if is_it else None for point, is_it in zip(points, are_numbers, strict=True)],
            [
                None if is_it else msgspec.json.encode(point[2]).decode()
                for point, is_it in zip(points, are_numbers, strict=True)
            ],
        ]
        arrays = [self._pa.array(column, kind.type) for column, kind in zip(columns, self._schema, strict=True)]
        self._writer.write_batch(self._pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()
