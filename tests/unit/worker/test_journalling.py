import asyncio
from functools import partial
from uuid import uuid4

from structlog.testing import capture_logs

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.model import ShadowKey
from iotsphere.worker.journalling import journal_changes
from tests.factories.journal import make_history, reporting
from tests.fakes.journal import InMemoryJournalUnitOfWork, JournalData
from tests.fakes.shadow import InMemoryChangeStream, InMemoryShadowRepository, InMemoryShadowStore


async def test_changes_are_carried_on_when_the_journal_is_back_and_its_absence_is_said_once() -> None:
    data, store, stop = JournalData(is_away=True), InMemoryShadowStore.begun(), asyncio.Event()
    shadows = InMemoryShadowRepository(store)
    for change in make_history(ShadowKey(DeviceId(uuid4())), [reporting({})] * 3):
        await shadows.save(change, replacing=change.version - 1, fsynced=False)
    journal = JournalService(
        unit_of_work=partial(InMemoryJournalUnitOfWork, data), stream=InMemoryChangeStream(store)
    )

    with capture_logs() as logs:
        carrying = asyncio.create_task(journal_changes(journal, consumer="worker-1", stop=stop))
        async with asyncio.timeout(10):
            while not logs:  # noqa: ASYNC110  # only a look tells
                await asyncio.sleep(0.01)
            data.is_away = False
            while len(data.changes) < 3:  # noqa: ASYNC110  # only a look tells
                await asyncio.sleep(0.01)
        stop.set()
        await asyncio.wait_for(carrying, timeout=10)

    assert [line["event"] for line in logs] == ["worker.journal.postponed"]
    assert store.server.data.waiting == {}
