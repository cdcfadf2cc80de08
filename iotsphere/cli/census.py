"""Counts the distinct points of a recording exactly, so that the platform's count can be held against it."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from iotsphere.cli.errors import CommandError
from iotsphere.cli.upload import RecordedReading
from iotsphere.kernel.times import EPOCH, MICROSECOND

ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class DeviceCensus:
    """``points`` counts each metric's distinct times; ``end`` is the first moment after the last of them."""

    points: dict[str, int]
    start: datetime
    end: datetime


class PointCensus:
    """A recording may say the same point twice and in any order; only remembering every one tells how many there are.

    They are remembered in a temporary SQLite database, which the operating system deletes with the process.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE point (device, metric, at INTEGER, PRIMARY KEY (device, metric, at)) WITHOUT ROWID;"
        )
        self._numbers: dict[str, int] = {}
        self._rows: list[tuple[int, int, int]] = []

    def watch(self, readings: Iterable[RecordedReading]) -> Iterator[RecordedReading]:
        """Hand the readings through and count them.

        :raises CommandError: there is no room left to remember them.
        """
        for reading in readings:
            at = (reading.at - EPOCH) // MICROSECOND
            device = self._number(reading.serial_number)
            self._rows += [(device, self._number(metric), at) for metric in reading.values]
            if len(self._rows) >= ROWS_AT_ONCE:
                self._keep()
            yield reading

    def device(self, serial_number: str) -> DeviceCensus:
        """Tell what was counted of a device that had at least one reading."""
        self._keep()
        names = {number: name for name, number in self._numbers.items()}
        query = "SELECT metric, count(*), min(at), max(at) FROM point WHERE device = ? GROUP BY metric"
        rows = self._database.execute(query, (self._numbers[serial_number],)).fetchall()
        start, end = min(row[2] for row in rows), max(row[3] for row in rows)
        points = {names[metric]: count for metric, count, _, _ in rows}
        return DeviceCensus(points, EPOCH + start * MICROSECOND, EPOCH + (end + 1) * MICROSECOND)

    def close(self) -> None:
        self._database.close()

    def _number(self, name: str) -> int:
        """Give each name a small number; a device and a metric of one name may share it."""
        return self._numbers.setdefault(name, len(self._numbers))

    def _keep(self) -> None:
        try:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR IGNORE INTO point VALUES (?, ?, ?)", self._rows)
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            reason = f"The points cannot be counted: {error}. Is there room where temporary files are kept?"
            raise CommandError(reason) from error
        self._rows.clear()
