"""Imports on the real registry and the real asset database."""

import asyncio
import json
import random
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest_asyncio

from iotsphere.api.bulk import import_entries
from iotsphere.api.registry.lines import DEVICE_LINES
from iotsphere.assets.search import AssetFilter
from iotsphere.containers.application import Application, create_container
from iotsphere.containers.stores import close_stores
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import DomainError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.registry.model import DeviceDraft, DeviceFilter
from iotsphere.worker.delivery import deliver_events
from iotsphere.workflows.commissioning import CommissioningWorkflow
from tests.api.bench import NOWHERE
from tests.factories.identity import build_attempt, build_organisation
from tests.faults.conftest import POSTGRESQL_SOCKET
from tests.faults.proxy import FaultProxy
from tests.integration.patience import eventually
from tests.integration.registry.conftest import within


@dataclass(frozen=True)
class Importing:
    """The application on both stores, and an organisation of this test's own."""

    container: Application
    attempt: Attempt

    async def run(self, lines: Iterable[bytes]) -> list[dict[str, Any]]:
        return [json.loads(line) async for piece in self._import(lines) for line in piece.splitlines()]

    async def run_and_forget(self, lines: Iterable[bytes]) -> None:
        async for _ in self._import(lines):
            pass

    def _import(self, lines: Iterable[bytes]) -> AsyncIterator[bytes]:
        async def find_refusal() -> None:
            """Find none: the caller may go on."""

        async def settle(drafts: list[DeviceDraft]) -> list[DeviceId | DomainError]:
            commissioning: CommissioningWorkflow = self.container.workflows.commissioning()
            return await commissioning.register_devices(attempt=self.attempt, drafts=drafts)

        return import_entries(DEVICE_LINES.read_ndjson(lines), find_refusal=find_refusal, settle=settle)

    async def serial_numbers(self) -> list[str]:
        devices, found, cursor = self.container.registry.devices(), [], None
        while True:
            page = await devices.list_devices(
                organisation_id=self.attempt.organisation_id, narrowed_to=DeviceFilter(), limit=500, cursor=cursor
            )
            found += [device.serial_number for device in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def described_devices(self) -> set[str]:
        """Tell which devices have an asset."""
        async with self.container.stores.assets_unit_of_work() as uow:
            page = await uow.search.list(self.attempt.organisation_id, AssetFilter(), limit=5_000, cursor=None)
        return {str(asset.device_id) for asset in page.items}


@asynccontextmanager
async def importing_into(registry_dsn: str, assets_dsn: str) -> AsyncIterator[Importing]:
    settings = replace(NOWHERE, registry_dsn=registry_dsn, assets_dsn=assets_dsn)
    container = create_container(settings)
    organisation = build_organisation()
    async with container.stores.registry_unit_of_work() as uow:
        await uow.organisations.add(organisation)
        await uow.commit()
    yield Importing(container, build_attempt(organisation_id=organisation.id))
    await close_stores(container.stores)


@pytest_asyncio.fixture
async def importing(registry_dsn: str, assets_dsn: str) -> AsyncIterator[Importing]:
    async with importing_into(registry_dsn, assets_dsn) as importing:
        yield importing


def pumps(serial_numbers: Iterable[str]) -> list[bytes]:
    return [
        json.dumps({"serial_number": number, "device_type": "pump"}).encode() + b"\n" for number in serial_numbers
    ]


async def test_of_the_same_file_imported_four_times_at_once_every_line_is_created_once(importing: Importing) -> None:
    serial_numbers = [str(uuid4()) for _ in range(1_200)]
    # In another order each: who holds what the other waits for would be a deadlock.
    files = [pumps(random.sample(serial_numbers, len(serial_numbers))) for _ in range(4)]

    told = await asyncio.gather(*(importing.run(file) for file in files))

    assert [len(answers) for answers in told] == [1_200] * 4
    created = [answer["id"] for answers in told for answer in answers if answer["status"] == "created"]
    assert len(set(created)) == len(created) == 1_200
    codes = {answer["code"] for answers in told for answer in answers if answer["status"] == "rejected"}
    assert codes == {"registry.device.serial_number_taken"}
    assert sorted(await importing.serial_numbers()) == sorted(serial_numbers)
    assets = importing.container.assets.assets()
    for device_id in created[:5]:
        asset = await assets.get_device_asset(organisation_id=importing.attempt.organisation_id, device_id=device_id)
        assert asset.name in serial_numbers


async def test_memory_does_not_grow_with_the_file(importing: Importing) -> None:
    await importing.run_and_forget(pumps(str(uuid4()) for _ in range(600)))

    peaks = []
    for count in (1_000, 4_000):
        tracemalloc.start()
        await importing.run_and_forget(line for _ in range(count) for line in pumps([str(uuid4())]))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 1.5 * peaks[0], peaks


async def test_hostile_text_comes_back_as_it_was(importing: Importing) -> None:
    device = {
        "serial_number": "=1+1",
        "device_type": "pump",
        "name": '\u202e"\\,\r\n\t😀',
        "labels": {"k": "", "v'": "'; DROP TABLE devices; --", "ä\u0308": "{}"},
        "asset": {"properties": {"": [1e308, -0.0, 2**70, None, {}]}},
    }

    [created] = await importing.run([json.dumps(device).encode()])

    kept = await importing.container.registry.devices().get_device(
        organisation_id=importing.attempt.organisation_id, device_id=created["id"]
    )
    assert (kept.serial_number, kept.name, kept.labels) == ("=1+1", device["name"], device["labels"])


async def test_after_an_import_without_the_asset_store_the_assets_are_soon_there(
    registry_dsn: str, assets_dsn: str
) -> None:
    # Socket paths have to be short.
    with TemporaryDirectory(prefix="isb-") as folder:
        real = parse_qs(urlsplit(assets_dsn).query)["host"][0]
        proxy = FaultProxy(Path(folder) / POSTGRESQL_SOCKET, Path(real) / POSTGRESQL_SOCKET)
        async with proxy, importing_into(registry_dsn, assets_dsn.replace(real, folder)) as importing:
            await proxy.refuse()
            told = await importing.run(pumps(str(uuid4()) for _ in range(2_000)))
            assert {answer["status"] for answer in told} == {"created"}

            async def all_described() -> None:
                while len(await eventually(importing.described_devices)) < 2_000:  # noqa: ASYNC110  # only a look tells
                    await asyncio.sleep(0.05)

            stop = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(deliver_events(importing.container.workflows.commissioning(), stop=stop))
                await proxy.heal()
                await within(30, all_described())
                stop.set()

            assert await importing.described_devices() == {answer["id"] for answer in told}
