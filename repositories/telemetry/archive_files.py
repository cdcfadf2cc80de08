"""The files of the archive: Parquet, a folder for each day, below one folder that all workers share."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archived import ArchiveFile
from iotsphere.telemetry.model import Reading
from repositories.telemetry.rows import NUMBERS

# A point is a row: what is no number is in ``other``, as JSON.
SCHEMA = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("ts", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("number", pa.float64()),
        pa.field("other", pa.string()),
    ]
)
ROWS_IN_A_GROUP = 20_000
ROWS_AT_ONCE = 5000
BYTES_AT_ONCE = 2**20


class ParquetArchiveFiles:
    """:param folder: None where the process was not told of one; then nothing can be asked of it."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    async def write(self, day: date, readings: AsyncIterator[list[Reading]]) -> ArchiveFile | None:
        path = self._path(day)
        partial = path.with_suffix(".partial")
        with _told():
            first = await anext(readings, None)
            if first is None:
                return None
            await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
            count = len(first)
            with partial.open("wb") as file, _writing(file) as writer:
                rows = _to_rows(first)
                async for more in readings:
                    count += len(more)
                    rows += _to_rows(more)
                    if len(rows) >= ROWS_IN_A_GROUP:
                        await asyncio.to_thread(_write_rows, writer, rows)
                        rows = []
                await asyncio.to_thread(_end, writer, rows, file)
            size, sha256 = await asyncio.to_thread(_measure, partial)
            await asyncio.to_thread(_put_in_place, partial, path)
        return ArchiveFile(count, size, sha256)

    async def read(self, day: date) -> AsyncIterator[list[Reading]]:
        with _told():
            file = await asyncio.to_thread(pq.ParquetFile, self._path(day))
            batches: Iterator[pa.RecordBatch] = file.iter_batches(batch_size=ROWS_AT_ONCE)
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                yield await asyncio.to_thread(_to_readings, batch.to_pylist())

    async def is_intact(self, day: date, file: ArchiveFile) -> bool:
        path = self._path(day)
        try:
            return await asyncio.to_thread(_measure, path) == (file.size, file.sha256)
        except OSError:
            return False

    async def remove(self, day: date) -> None:
        path = self._path(day)
        with _told():
            await asyncio.to_thread(path.unlink, missing_ok=True)

    def _path(self, day: date) -> Path:
        if self._folder is None:
            raise UnavailableError("archive", "IOTSPHERE_ARCHIVE_DIR is not set: there is no archive.")
        return self._folder / f"day={day}" / "readings.parquet"


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Without its cause, which the unit of work would take for an outage of the store.
        raise UnavailableError("archive", f"The archive cannot be used: {error.strerror or error}.") from None


@contextmanager
def _writing(file: BinaryIO) -> Iterator[pq.ParquetWriter]:
    writer = pq.ParquetWriter(file, SCHEMA, compression="zstd")
    try:
        yield writer
    finally:
        with suppress(OSError):
            writer.close()
        # Else it would try once more when it is collected, and complain.
        writer.is_open = False


def _to_rows(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    return [
        {
            "device_id": str(reading.device_id),
            "ts": reading.ts,
            "metric": metric,
            "number": value if type(value) in NUMBERS else None,
            "other": None if type(value) in NUMBERS else msgspec.json.encode(value).decode(),
        }
        for reading in readings
        for metric, value in reading.values.items()
    ]


def _to_readings(rows: list[dict[str, Any]]) -> list[Reading]:
    """Put the points of a time together; those that the next part begins with are completed when they are stored."""
    readings = []
    for (device_id, ts), points in groupby(rows, lambda row: (row["device_id"], row["ts"])):
        values = {point["metric"]: _value_of(point) for point in points}
        readings.append(Reading(DeviceId(UUID(device_id)), ts, values))
    return readings


def _value_of(point: dict[str, Any]) -> Any:
    return msgspec.json.decode(point["other"]) if point["number"] is None else point["number"]


def _write_rows(writer: pq.ParquetWriter, rows: list[dict[str, Any]]) -> None:
    writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))


def _end(writer: pq.ParquetWriter, rows: list[dict[str, Any]], file: BinaryIO) -> None:
    if rows:
        _write_rows(writer, rows)
    writer.close()
    file.flush()
    os.fsync(file.fileno())


def _measure(path: Path) -> tuple[int, str]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(BYTES_AT_ONCE):
            digest.update(part)
    return path.stat().st_size, digest.hexdigest()


def _put_in_place(partial: Path, path: Path) -> None:
    """Rename it, and see to it that the name, and the folder's, outlast a power failure."""
    partial.replace(path)
    for folder in (path.parent, path.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
