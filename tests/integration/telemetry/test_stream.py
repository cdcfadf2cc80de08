"""Streams of many devices on the real registry and a real telemetry store."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from iotsphere.api.telemetry import lines
from iotsphere.api.telemetry.lines import Portion, read_portions
from iotsphere.api.telemetry.stream import StreamReport, _settle_all
from iotsphere.containers.application import Application, create_container
from iotsphere.containers.stores import close_stores
from iotsphere.identity.model import Organisation
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.registry.model import Device, DeviceStatus
from iotsphere.telemetry.intervals import Interval
from iotsphere.telemetry.model import Counts
from tests.api.bench import NOWHERE
from tests.factories.identity import build_organisation
from tests.factories.registry import build_device

FIRST = 1_700_000_000_000


@dataclass(frozen=True)
class Streaming:
    """The application on both stores, and an organisation of this test's own."""

    container: Application
    organisation: Organisation

    async def add_devices(self, count: int, **given: Any) -> list[Device]:
        added = [build_device(organisation_id=self.organisation.id, **given) for _ in range(count)]
        async with self.container.stores.registry_unit_of_work() as uow:
            await uow.devices.add_untaken(added)
            await uow.commit()
        return added

    async def send(self, sent: Iterable[bytes]) -> StreamReport:
        report = StreamReport()
        intake = self.container.workflows.telemetry_intake()

        async def settle(portion: Portion) -> None:
            settled = await intake.record_gathered(
                organisation_id=self.organisation.id, given=portion.given, replaces=False
            )
            report.add(portion, settled)

        async def pieces() -> AsyncIterator[bytes]:
            for line in sent:
                yield line

        await _settle_all(read_portions(pieces()), settle)
        return report

    async def ledger_of(self, device_id: DeviceId) -> Counts:
        page = await self.container.telemetry.readings().read_ledger(
            device_id=device_id, interval=Interval.parse("30d"), limit=10
        )
        return sum((entry.counts for entry in page.items), Counts())


@pytest_asyncio.fixture
async def streaming(registry_dsn: str, native_telemetry_dsn: str) -> AsyncIterator[Streaming]:
    container = create_container(replace(NOWHERE, registry_dsn=registry_dsn, telemetry_dsn=native_telemetry_dsn))
    organisation = build_organisation()
    async with container.stores.registry_unit_of_work() as uow:
        await uow.organisations.add(organisation)
        await uow.commit()
    yield Streaming(container, organisation)
    await close_stores(container.stores)


def lines_of(devices: Iterable[Device], count: int, **values: float) -> Iterator[bytes]:
    names = [str(device.id) for device in devices]
    for number in range(count):
        reading = {"device_id": names[number % len(names)], "ts": FIRST + number, "values": values or {"a": number}}
        yield json.dumps(reading).encode() + b"\n"


async def test_streams_of_the_same_readings_at_once_store_each_once(streaming: Streaming) -> None:
    devices = await streaming.add_devices(300)
    # In another order each: who holds what the other waits for would be a deadlock.
    streams = [list(lines_of(order, 3_000)) for order in (devices, devices, devices)]
    streams = [streams[0], streams[1][::-1], streams[2][1_500:] + streams[2][:1_500]]

    reports = await asyncio.gather(*map(streaming.send, streams))

    assert [(report.lines, report.counts.received, report.errors) for report in reports] == [(3_000, 3_000, [])] * 3
    assert sum((report.counts for report in reports), Counts()) == Counts(stored=3_000, duplicates=6_000)
    assert await streaming.ledger_of(devices[7].id) == Counts(stored=10, duplicates=20)


async def test_of_thousands_of_devices_each_has_its_line_in_the_ledger(streaming: Streaming) -> None:
    devices = await streaming.add_devices(3_000)
    [suspended] = await streaming.add_devices(1, status=DeviceStatus.SUSPENDED)
    stranger = build_device()

    report = await streaming.send(lines_of([*devices, suspended, stranger], 6_004, a=1, b=2))

    assert report.counts == Counts(stored=12_000, rejected=8)
    assert [(error.index, error.code) for error in report.errors] == [
        (3_001, "registry.device.suspended"),
        (3_002, "registry.device.not_found"),
        (6_003, "registry.device.suspended"),
        (6_004, "registry.device.not_found"),
    ]
    assert await streaming.ledger_of(devices[-1].id) == Counts(stored=4)
    assert await streaming.ledger_of(suspended.id) == Counts(rejected=4)
    assert await streaming.ledger_of(stranger.id) == Counts()


async def test_memory_does_not_grow_with_the_stream(streaming: Streaming, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINES", 500)
    devices = await streaming.add_devices(10)
    await streaming.send(lines_of(devices, 1_500))

    peaks = []
    for count in (2_000, 8_000):
        tracemalloc.start()
        await streaming.send(lines_of(devices, count, b=count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 1.3 * peaks[0], peaks
