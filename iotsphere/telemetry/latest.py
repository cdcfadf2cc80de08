"""Latest values: shown from a store beside the database that may lose them, and never shows what is no longer so.

A kept value is the text that shows it, ``{"ts":"2026-11-20T17:23:00.123456Z","value":21.5}``: nothing has to be read
or written anew to answer with it, and the times of two such texts stand at the same place.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.kernel.times import format_time
from iotsphere.telemetry.errors import QueryTooCostlyError
from iotsphere.telemetry.model import Point, Reading
from iotsphere.telemetry.ports import LatestLease, LatestStore, TelemetryUnitOfWorkFactory
from iotsphere.telemetry.query_room import QueryRoom

# A process that could not say what it writes begins another epoch. This long others may not have heard of it.
EPOCH_SECONDS = 1.0
# Of devices with more than that, the latest values are read in the database each time.
MOST_METRICS = 2000
MOST_BYTES = 256 * 1024


def write_value(ts: datetime, value: Any) -> str:
    """Write a value as it would come out of the database, where every number is a double."""
    text = msgspec.json.encode(float(value) if type(value) is int else value).decode()
    return f'{{"ts":"{format_time(ts)}","value":{text}}}'


def write_object(values: Mapping[str, str]) -> str:
    """Write values by metric; the names of metrics need no escaping."""
    return "{" + ",".join([f'"{metric}":{text}' for metric, text in values.items()]) + "}"


def newest_of(readings: Iterable[Reading], *, replaces: bool) -> dict[DeviceId, dict[str, str]]:
    """Give what of these readings may be latest, by device and metric, as the database keeps it of them."""
    of_device: dict[DeviceId, list[Reading]] = {}
    for reading in readings:
        of_device.setdefault(reading.device_id, []).append(reading)
    return {device_id: _newest(own, replaces=replaces) for device_id, own in of_device.items()}


def _newest(readings: list[Reading], *, replaces: bool) -> dict[str, str]:
    # Of those of one time the first stays, or the last takes its place.
    ordered = sorted(reversed(readings) if replaces else readings, key=_time, reverse=True)
    newest: dict[str, tuple[datetime, Any]] = {}
    for reading in ordered:
        if not reading.values.keys() <= newest.keys():
            for metric, value in reading.values.items():
                newest.setdefault(metric, (reading.ts, value))
    return {metric: write_value(ts, value) for metric, (ts, value) in newest.items()}


def _time(reading: Reading) -> datetime:
    return reading.ts


def fits(values: Mapping[str, str]) -> bool:
    """Tell whether these are few enough to be kept."""
    return len(values) <= MOST_METRICS and sum(map(len, values)) + sum(map(len, values.values())) <= MOST_BYTES


class EpochWatch:
    """Knows the epoch, as the database tells it at least once a second to whoever wants to know."""

    def __init__(self, *, unit_of_work: TelemetryUnitOfWorkFactory, monotonic: Callable[[], float]) -> None:
        self._unit_of_work = unit_of_work
        self._monotonic = monotonic
        self._known: tuple[int, float] | None = None
        self._asking: asyncio.Task[int] | None = None

    async def get(self) -> int:
        """:raises UnavailableError: the database does not answer."""
        if self._known is not None and self._monotonic() < self._known[1]:
            return self._known[0]
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        # Who goes away takes the answer of the others not along.
        return await asyncio.shield(self._asking)

    def forget(self) -> None:
        """Ask anew before the next answer; what is being asked just now is of no use to those who come later."""
        self._known = self._asking = None

    async def _ask(self) -> int:
        asking = asyncio.current_task()
        asked_at = self._monotonic()
        try:
            async with self._unit_of_work() as uow:
                epoch = await uow.epochs.get()
            if self._asking is asking:
                self._known = epoch, asked_at + EPOCH_SECONDS
        finally:
            if self._asking is asking:
                self._asking = None
        return epoch


class LatestValueService:
    def __init__(
        self,
        *,
        unit_of_work: TelemetryUnitOfWorkFactory,
        store: LatestStore,
        epochs: EpochWatch,
        room: QueryRoom | None = None,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._store = store
        self._epochs = epochs
        self._room = room or QueryRoom()

    async def read_latest(
        self,
        *,
        device_id: DeviceId,
        metrics: Collection[str] | None = None,
        organisation_id: OrganisationId | None = None,
    ) -> str:
        """Give the latest value, by its own time, of each metric that has one, as a JSON object.

        :raises UnavailableError: the database does not answer.
        :raises QueryBusyError: the database has to be asked, and is answering too many others.
        :raises QueryTooCostlyError: it would take too long.
        """
        epoch = await self._epochs.get()
        try:
            found = await self._store.find(device_id, metrics, epoch=epoch)
        except UnavailableError:
            # Others may have written meanwhile, and could not say so.
            self._epochs.forget()
            found = None
        if isinstance(found, str):
            return found
        async with self._room.place(organisation_id):
            values = await self._fill(found, metrics) if found else None
            if values is None:
                values = _written(await self._read(device_id, metrics))
        return write_object(values)

    async def read_points(
        self,
        *,
        device_id: DeviceId,
        metrics: Collection[str] | None = None,
        organisation_id: OrganisationId | None = None,
    ) -> Sequence[Point]:
        """Give the same as points, by metric, out of the database.

        :raises QueryBusyError: too many others are being answered.
        :raises QueryTooCostlyError: it would take too long.
        """
        async with self._room.place(organisation_id):
            return await self._read(device_id, metrics)

    async def _fill(self, lease: LatestLease, metrics: Collection[str] | None) -> Mapping[str, str] | None:
        """Keep all of the device, and give what was asked for; None if it has to be read for itself."""
        async with self._unit_of_work() as uow:
            is_at_rest = await uow.epochs.is_at_rest(lease.device_id)
        if not is_at_rest:
            # Whoever is about to commit has looked already who keeps something.
            return None
        try:
            values = _written(await self._read(lease.device_id, None))
        except QueryTooCostlyError:
            if metrics is None:
                raise
            values = None
        with suppress(UnavailableError):
            await self._store.fill(lease, values if values is not None and fits(values) else None)
        if values is None or metrics is None:
            return values
        return {metric: values[metric] for metric in metrics if metric in values}

    async def _read(self, device_id: DeviceId, metrics: Collection[str] | None) -> Sequence[Point]:
        async with self._unit_of_work() as uow:
            return await uow.points.latest(device_id, metrics)


def _written(points: Iterable[Point]) -> dict[str, str]:
    return {point.metric: write_value(point.ts, point.value) for point in points}
