"""The files of the archive: Parquet, a folder for each day, below one folder that all workers share."""

import asyncio
import builtins
import hashlib
import os
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from itertools import groupby
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO
from uuid import UUID

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.archived import ArchiveFile, FoundFile, NotedRemoval
from iotsphere.telemetry.blocks import NUMBERS
from iotsphere.telemetry.errors import ArchiveDamagedError
from iotsphere.telemetry.model import Reading

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
DAY_PREFIX = "day="
OWN_NAME = re.compile(r"readings-[0-9a-f]{16}\.parquet|[0-9a-z]+\.partial")
WHAT_AND_WHEN = ["device_id", "ts", "metric"]


def _new_token() -> str:
    return token_hex(8)


class ParquetArchiveFiles:
    """:param folder: None where the process was not told of one; then no file is there, and none can be written."""

    def __init__(self, folder: Path | None, *, new_token: Callable[[], str] = _new_token) -> None:
        self._folder = folder
        self._new_token = new_token

    async def write(self, day: date, readings: AsyncIterator[list[Reading]]) -> ArchiveFile | None:
        with _told():
            first = await anext(readings, None)
            return None if first is None else await self._write(day, _batches_of(first, readings))

    async def write_without(
        self, day: date, file: ArchiveFile, removals: Collection[NotedRemoval]
    ) -> ArchiveFile | None:
        path = self._path(day, file.name)
        with _told():
            # Before anything else: what is altered may look as if there were nothing of it in there.
            if not await self.is_intact(day, file):
                raise ArchiveDamagedError(day)
            if not await _has_removed(path, removals):
                return None
            return await self._write(day, _batches_without(path, removals))

    async def _write(self, day: date, batches: AsyncIterator[pa.RecordBatch]) -> ArchiveFile:
        """Make a file that has its name when it is whole, and on the disk."""
        unfinished = self._path(day, f"{self._new_token()}.partial")
        await asyncio.to_thread(unfinished.parent.mkdir, parents=True, exist_ok=True)
        readings, last = 0, None
        try:
            with unfinished.open("wb") as file, _writing(file) as writer:
                async for batch in batches:
                    readings += _count_readings(batch, last)
                    last = _last_of(batch) or last
                    await asyncio.to_thread(writer.write_batch, batch)
                await asyncio.to_thread(_end, writer, file)
            made = ArchiveFile(readings, *await asyncio.to_thread(_measure, unfinished))
            await asyncio.to_thread(_put_in_place, unfinished, self._path(day, made.name))
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
        return made

    async def read(self, day: date, file: ArchiveFile) -> AsyncIterator[list[Reading]]:
        with _told():
            async for batch in _read_batches(self._path(day, file.name)):
                yield await asyncio.to_thread(_to_readings, batch.to_pylist())

    async def find_devices(self, day: date, file: ArchiveFile) -> set[DeviceId]:
        found: set[str] = set()
        with _told():
            async for batch in _read_batches(self._path(day, file.name), ["device_id"], rows=ROWS_IN_A_GROUP):
                found.update(pc.unique(batch["device_id"]).to_pylist())
        return {DeviceId(UUID(device_id)) for device_id in found}

    async def is_intact(self, day: date, file: ArchiveFile) -> bool:
        path = self._path(day, file.name)
        try:
            return await asyncio.to_thread(_measure, path) == (file.size, file.sha256)
        except OSError:
            return False

    async def list(self) -> builtins.list[FoundFile]:
        if self._folder is None:
            return []
        with _told():
            return await asyncio.to_thread(_list_files, self._folder)

    async def remove(self, found: FoundFile) -> None:
        path = self._path(*found)
        with _told():
            await asyncio.to_thread(path.unlink, missing_ok=True)

    def _path(self, day: date, name: str) -> Path:
        if self._folder is None:
            raise UnavailableError("archive", "IOTSPHERE_ARCHIVE_DIR is not set: there is no archive.")
        return self._folder / f"{DAY_PREFIX}{day}" / name


def _list_files(folder: Path) -> list[FoundFile]:
    found = []
    for path in folder.glob(f"{DAY_PREFIX}????-??-??/*"):
        # What has another name is somebody else's: of a file server, a backup, or whoever has a look at the files.
        if OWN_NAME.fullmatch(path.name) is None:
            continue
        # So is a folder of a day that there is not.
        with suppress(ValueError):
            found.append(FoundFile(date.fromisoformat(path.parent.name.removeprefix(DAY_PREFIX)), path.name))
    return found


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


async def _batches_of(first: list[Reading], more: AsyncIterator[list[Reading]]) -> AsyncIterator[pa.RecordBatch]:
    rows = _to_rows(first)
    async for readings in more:
        if len(rows) >= ROWS_IN_A_GROUP:
            yield await asyncio.to_thread(_to_batch, rows)
            rows = []
        rows += _to_rows(readings)
    yield await asyncio.to_thread(_to_batch, rows)


async def _has_removed(path: Path, removals: Collection[NotedRemoval]) -> bool:
    async for batch in _read_batches(path, WHAT_AND_WHEN, rows=ROWS_IN_A_GROUP):
        if pc.any(_is_removed(batch, removals)).as_py():
            return True
    return False


async def _batches_without(path: Path, removals: Collection[NotedRemoval]) -> AsyncIterator[pa.RecordBatch]:
    async for batch in _read_batches(path, rows=ROWS_IN_A_GROUP):
        yield batch.filter(pc.invert(_is_removed(batch, removals)))


async def _read_batches(
    path: Path, columns: list[str] | None = None, *, rows: int = ROWS_AT_ONCE
) -> AsyncIterator[pa.RecordBatch]:
    with await asyncio.to_thread(pq.ParquetFile, path) as file:
        batches: Iterator[pa.RecordBatch] = file.iter_batches(batch_size=rows, columns=columns)
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            yield batch


def _is_removed(batch: pa.RecordBatch, removals: Collection[NotedRemoval]) -> pa.BooleanArray:
    """Tell of each row whether it is of what was removed."""
    device_ids, times = batch["device_id"], batch["ts"]
    present = set(pc.unique(device_ids).to_pylist())
    removed = pa.repeat(False, len(batch))
    for removal in removals:
        if str(removal.device_id) not in present:
            continue
        is_meant = pc.equal(device_ids, str(removal.device_id))
        is_meant = pc.and_(is_meant, pc.greater_equal(times, pa.scalar(removal.start, times.type)))
        is_meant = pc.and_(is_meant, pc.less(times, pa.scalar(removal.end, times.type)))
        if removal.metrics is not None:
            is_meant = pc.and_(is_meant, pc.is_in(batch["metric"], pa.array(removal.metrics, pa.string())))
        removed = pc.or_(removed, is_meant)
    return removed


def _count_readings(batch: pa.RecordBatch, last: tuple[Any, Any] | None) -> int:
    """Count the readings that begin in it; ``last`` is the one that the rows before end with."""
    if not len(batch):
        return 0
    keys = [batch["device_id"], batch["ts"]]
    is_other = pc.or_(*(pc.not_equal(key.slice(1), key.slice(0, len(key) - 1)) for key in keys))
    return (pc.sum(is_other).as_py() or 0) + (last != (keys[0][0].as_py(), keys[1][0].as_py()))


def _last_of(batch: pa.RecordBatch) -> tuple[Any, Any] | None:
    return (batch["device_id"][-1].as_py(), batch["ts"][-1].as_py()) if len(batch) else None


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


def _to_batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def _end(writer: pq.ParquetWriter, file: BinaryIO) -> None:
    writer.close()
    file.flush()
    os.fsync(file.fileno())


def _measure(path: Path) -> tuple[int, str]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(BYTES_AT_ONCE):
            digest.update(part)
    return path.stat().st_size, digest.hexdigest()


def _put_in_place(unfinished: Path, path: Path) -> None:
    """Rename it, and see to it that the name, and the folder's, outlast a power failure."""
    unfinished.replace(path)
    for folder in (path.parent, path.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
