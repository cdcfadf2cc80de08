"""Long files of points, written as ``iotsphere.cli.tables`` reads them: every value comes back as it was.

The columns are those of the API's own tables, behind the device: numbers in ``value``, and in ``other``, as JSON,
what is no number. Parquet tells the units of each device's metrics in its metadata.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from iotsphere.cli.point_pages import COLUMNS, METRIC, OTHER, TIME, VALUE, PointPage

DEVICE = "serial_number"


class PointWriter(Protocol):
    def write(self, serial_number: str, page: PointPage) -> None: ...

    def close(self) -> None: ...


class CsvPointWriter:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow([DEVICE, *COLUMNS])

    def write(self, serial_number: str, page: PointPage) -> None:
        moments = page.points[TIME].cast("timestamp[us]").cast("string").to_pylist()
        times = [f"{day}T{time}Z" for day, time in map(str.split, moments)]
        others = [page.points[name].to_pylist() for name in (METRIC, VALUE, OTHER)]
        self._writer.writerows(zip([serial_number] * len(times), times, *others, strict=True))

    def close(self) -> None:
        self._file.close()


class ParquetPointWriter:
    def __init__(self, path: Path) -> None:
        # Loading it takes longer than most commands do.
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415

        name = pa.dictionary(pa.int32(), pa.string())
        moment = pa.timestamp("us", "UTC")
        kinds = {DEVICE: name, TIME: moment, METRIC: name, VALUE: pa.float64(), OTHER: pa.string()}
        self._schema = pa.schema(kinds)
        self._repeated = pa.repeat
        self._units: dict[str, Mapping[str, str]] = {}
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, serial_number: str, page: PointPage) -> None:
        devices = self._repeated(serial_number, len(page.points))
        self._writer.write_table(page.points.add_column(0, DEVICE, devices).cast(self._schema))
        if page.units:
            self._units[serial_number] = page.units

    def close(self) -> None:
        self._writer.add_key_value_metadata({"units": msgspec.json.encode(self._units).decode()})
        self._writer.close()
