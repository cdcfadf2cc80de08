"""Readings in, counts out: many devices at once, each with its own key, in batches of bounded size."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from iotsphere.cli.client import DeviceClient, PlatformClient, PlatformError
from iotsphere.cli.report import DeviceReport

BATCH_VALUES = 10_000
"""The platform's limit. With the longest names and numbers there are that is 2.2 MB of JSON, so 5 MiB hold it."""
SERIAL_NUMBER_TAKEN = "registry.device.serial_number_taken"


@dataclass(frozen=True, slots=True)
class RecordedReading:
    """What a device measured at a time. ``values`` holds 1 to ``BATCH_VALUES`` numbers."""

    serial_number: str
    device_type: str
    at: datetime
    values: Mapping[str, float]


@dataclass(slots=True)
class DeviceUpload:
    """A device on its way: the readings that wait, the key it speaks with, the counts so far.

    ``lock`` keeps the batches of one device in order, so that of two values for one point the earlier one is stored.
    """

    report: DeviceReport
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    waiting_values: int = 0
    client: DeviceClient | None = None
    first_rejection: str | None = None

    def take_batch(self) -> list[dict[str, Any]]:
        batch, self.waiting, self.waiting_values = self.waiting, [], 0
        return batch


class Uploader:
    """Registers the devices that readings name and posts for them.

    A new device has the ``properties`` that are given for its serial number.

    At most ``concurrency`` batches are on the way and ``concurrency + 1`` more are held, however long the input is.
    """

    def __init__(
        self,
        platform: PlatformClient,
        *,
        concurrency: int,
        key_label: str,
        properties: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.devices: dict[str, DeviceUpload] = {}
        self.notes: list[str] = []
        self._platform = platform
        self._key_label = key_label
        self._properties = properties or {}
        self._concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._waiting_values = 0

    async def upload(self, readings: Iterable[RecordedReading]) -> None:
        """Read to the end and return when all of it is stored.

        :raises PlatformError: a batch could not be stored; those before it are.
        """
        async with _first_error_only(), asyncio.TaskGroup() as tasks:
            for reading in readings:
                await self._accept(reading, tasks)
            await self._flush(tasks)

    async def for_each_device(self, work: Callable[[DeviceUpload, DeviceClient], Awaitable[None]]) -> None:
        """Do something with every device that was reached, ``concurrency`` at a time."""
        slots = asyncio.Semaphore(self._concurrency)

        async def limited(device: DeviceUpload, client: DeviceClient) -> None:
            async with slots:
                await work(device, client)

        async with _first_error_only(), asyncio.TaskGroup() as tasks:
            for device in self.devices.values():
                if device.client is not None:
                    tasks.create_task(limited(device, device.client))

    async def revoke_keys(self) -> None:
        """Take back the keys made for this upload. One that cannot be revoked is noted rather than hidden."""

        async def revoke(device: DeviceUpload, client: DeviceClient) -> None:
            try:
                await self._platform.revoke_credential(client)
            except PlatformError as error:
                self.notes.append(f"The key made for {device.report.serial_number} is still valid. {error}")

        await self.for_each_device(revoke)

    async def _accept(self, reading: RecordedReading, tasks: asyncio.TaskGroup) -> None:
        device = self._device(reading)
        size = len(reading.values)
        if device.waiting_values + size > BATCH_VALUES:
            await self._dispatch(device, tasks)
        device.waiting.append({"ts": reading.at, "values": reading.values})
        device.waiting_values += size
        self._waiting_values += size
        if self._waiting_values > self._concurrency * BATCH_VALUES:
            await self._flush(tasks)

    async def _flush(self, tasks: asyncio.TaskGroup) -> None:
        for device in self.devices.values():
            if device.waiting:
                await self._dispatch(device, tasks)

    async def _dispatch(self, device: DeviceUpload, tasks: asyncio.TaskGroup) -> None:
        await self._slots.acquire()
        self._waiting_values -= device.waiting_values
        tasks.create_task(self._post(device, device.take_batch()))

    async def _post(self, device: DeviceUpload, batch: list[dict[str, Any]]) -> None:
        try:
            async with device.lock:
                if device.client is None:
                    device.client = await self._open(device.report)
                answer = await device.client.post_readings(batch)
        finally:
            self._slots.release()
        device.report.counts.add(answer)
        if answer["rejected"] and device.first_rejection is None:
            device.first_rejection = answer["errors"][0]["detail"]

    async def _open(self, report: DeviceReport) -> DeviceClient:
        report.device_id = await self._register(report)
        return await self._platform.create_credential(report.device_id, self._key_label)

    async def _register(self, report: DeviceReport) -> str:
        """Register the device, or find the one that has its serial number already."""
        try:
            device = await self._platform.register_device(
                report.serial_number, report.device_type, self._properties.get(report.serial_number)
            )
        except PlatformError as error:
            if error.code != SERIAL_NUMBER_TAKEN:
                raise
            found = await self._platform.find_device(report.serial_number)
            if found is None:
                raise
            device = found
        if device["device_type"] != report.device_type:
            raise PlatformError(
                f"The device {report.serial_number!r} exists already and is a {device['device_type']}, not a"
                f" {report.device_type}. Choose another --serial-prefix."
            )
        return str(device["id"])

    def _device(self, reading: RecordedReading) -> DeviceUpload:
        device = self.devices.get(reading.serial_number)
        if device is None:
            device = DeviceUpload(DeviceReport(reading.serial_number, reading.device_type))
            self.devices[reading.serial_number] = device
        return device


@asynccontextmanager
async def _first_error_only() -> AsyncIterator[None]:
    """Out of a task group comes a group of errors; the first of them is the reason, the rest its echo."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
