"""What goes on beside the requests goes on whatever happens, and to the end."""

import asyncio
from functools import partial
from typing import Any

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from iotsphere.identity.change_watch import ChangeWatch
from iotsphere.kernel.lease import LeasedCache
from iotsphere.registry.contacts import ContactService
from iotsphere.workflows.upkeep import AuthenticationUpkeep, keep_up
from tests.factories.registry import build_device
from tests.fakes.identity import ManualClock
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables


class RegistryThatFailsOnce:
    """A registry whose first transaction fails in a way that nobody has thought of."""

    def __init__(self, tables: RegistryTables) -> None:
        self.begin = partial(InMemoryRegistryUnitOfWork, tables)
        self.asked = 0
        self.is_asked_again = asyncio.Event()

    def __call__(self) -> InMemoryRegistryUnitOfWork:
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError("could not read block 7")
        self.is_asked_again.set()
        return self.begin()


class UnintelligibleFeed:
    def __init__(self) -> None:
        self.asked = 0
        self.is_asked_again = asyncio.Event()

    def listen(self, tell: Any) -> Any:
        self.asked += 1
        if self.asked > 1:
            self.is_asked_again.set()
        raise RuntimeError("a word that nobody understands")


def failures() -> float:
    return REGISTRY.get_sample_value("iotsphere_upkeep_failures_total") or 0


async def test_what_fails_unforeseen_is_told_and_begun_anew() -> None:
    tables, before = RegistryTables(), failures()
    device = build_device()
    tables.devices[device.id] = device
    registry, feed = RegistryThatFailsOnce(tables), UnintelligibleFeed()
    contacts = ContactService(unit_of_work=registry, clock=ManualClock())
    watch = ChangeWatch(caches=[LeasedCache()], feed=feed)
    contacts.note_contact(device_id=device.id)

    with capture_logs() as logs:
        async with AuthenticationUpkeep(watch=watch, contacts=contacts, interval_seconds=0.001).running():
            async with asyncio.timeout(10):
                await registry.is_asked_again.wait()
                await feed.is_asked_again.wait()

    assert failures() >= before + 2
    assert {line["event"] for line in logs} == {"upkeep.failed"}
    assert {str(line["exc_info"]) for line in logs} == {"could not read block 7", "a word that nobody understands"}


async def test_contacts_are_written_at_the_end() -> None:
    tables, clock = RegistryTables(), ManualClock()
    device = build_device()
    tables.devices[device.id] = device
    contacts = ContactService(unit_of_work=partial(InMemoryRegistryUnitOfWork, tables), clock=clock)
    watch = ChangeWatch(caches=[LeasedCache()], feed=UnintelligibleFeed())

    async with AuthenticationUpkeep(watch=watch, contacts=contacts, interval_seconds=3600).running():
        contacts.note_contact(device_id=device.id)

    assert tables.devices[device.id].last_seen_at == clock.now


async def test_what_is_cancelled_by_something_within_it_is_begun_anew() -> None:
    stop, before, begun = asyncio.Event(), failures(), 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise asyncio.CancelledError
        stop.set()

    with capture_logs() as logs:
        await asyncio.wait_for(keep_up(work, stop=stop, interval_seconds=0), timeout=5)

    assert (begun, failures()) == (2, before + 1)
    assert [type(line["exc_info"]) for line in logs] == [asyncio.CancelledError]


async def test_what_ends_because_it_was_told_to_has_not_failed() -> None:
    stop, before = asyncio.Event(), failures()

    async def wait() -> None:
        await stop.wait()

    with capture_logs() as logs:
        keeping = asyncio.create_task(keep_up(wait, stop=stop))
        await asyncio.sleep(0)
        stop.set()
        await asyncio.wait_for(keeping, timeout=5)

    assert (logs, failures()) == ([], before)


async def test_what_fails_when_it_is_told_to_stop_is_told_and_not_begun_again() -> None:
    stop, before = asyncio.Event(), failures()

    async def fail() -> None:
        stop.set()
        raise RuntimeError("could not read block 7")

    with capture_logs() as logs:
        await asyncio.wait_for(keep_up(fail, stop=stop, interval_seconds=0), timeout=5)

    assert [str(line["exc_info"]) for line in logs] == ["could not read block 7"]
    assert failures() == before + 1
