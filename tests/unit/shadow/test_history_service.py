"""Whoever has had an answer finds it in the history, and what is not there is said to be not there."""

import asyncio
from dataclasses import replace
from functools import partial
from uuid import uuid4

import pytest

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.errors import (
    ShadowJournalBehindError,
    ShadowNotFoundError,
    ShadowVersionNotFoundError,
    StoreUnverifiedError,
)
from iotsphere.shadow.history import ShadowHistoryService
from iotsphere.shadow.journal import JournalService
from iotsphere.shadow.model import ChangeKind, RequestState, ShadowChange, ShadowKey, ShadowPatch
from iotsphere.shadow.ports import Backlog
from tests.factories.journal import BEGIN, STEP, make_history, reporting, wanting
from tests.fakes.journal import InMemoryJournalUnitOfWork, JournalData, QuietRecovery
from tests.fakes.shadow import InMemoryChangeStream, InMemoryShadowRepository, InMemoryShadowStore

KEY = ShadowKey(DeviceId(uuid4()))
NAMED = ShadowKey(KEY.device_id, "pump")


class Bench:
    """A history of a store whose changes come into the journal when they are carried there."""

    def __init__(self) -> None:
        self.data = JournalData()
        self.store = InMemoryShadowStore.begun()
        self.stream = InMemoryChangeStream(self.store)
        self.recovery = QuietRecovery()
        self.unit_of_work = partial(InMemoryJournalUnitOfWork, self.data)
        self.service = ShadowHistoryService(
            unit_of_work=self.unit_of_work, stream=self.stream, recovery=self.recovery
        )

    async def write(self, changes: list[ShadowChange]) -> None:
        shadows = InMemoryShadowRepository(self.store)
        for change in changes:
            assert await shadows.save(change, replacing=change.version - 1, fsynced=False) is not None

    async def carry(self) -> None:
        journal = JournalService(unit_of_work=self.unit_of_work, stream=self.stream)
        while await journal.record_next(consumer="worker-1", wait_seconds=0):
            pass

    async def know(self, key: ShadowKey, *patches: ShadowPatch | None) -> None:
        await self.write(make_history(key, patches))
        await self.carry()

    async def list_versions(self, key: ShadowKey = KEY, *, limit: int = 50) -> list[int]:
        page = await self.service.list_changes(key=key, start=None, end=None, limit=limit, cursor=None)
        return [change.version for change in page.items]


async def test_waits_for_what_was_acknowledged_before() -> None:
    bench = Bench()
    await bench.write(make_history(KEY, [reporting({})] * 3))

    listing = asyncio.create_task(bench.list_versions())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not listing.done()
    await bench.carry()

    assert await listing == [3, 2, 1]


async def test_does_not_wait_for_what_comes_meanwhile() -> None:
    bench = Bench()
    first, *more = make_history(KEY, [reporting({})] * 4)
    await bench.write([first])
    listing = asyncio.create_task(bench.list_versions())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await bench.write(more)

    async with bench.unit_of_work() as uow:
        await uow.journal.append([first])
        await uow.commit()
    await bench.stream.settle([min(bench.store.server.data.waiting.values(), key=lambda change: change.version)])

    async with asyncio.timeout(1):
        assert await listing == [1]


async def test_says_so_where_the_journal_stays_behind() -> None:
    bench = Bench()
    await bench.write(make_history(KEY, [wanting({"a": 1})]))

    outcomes = await asyncio.gather(
        bench.list_versions(),
        bench.service.get_version(key=KEY, version=1),
        bench.service.get_at(key=KEY, at=BEGIN),
        bench.service.list_requests(key=KEY, state=None, limit=5, cursor=None),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [ShadowJournalBehindError] * 4


async def test_a_store_that_lost_what_waited_is_verified_before_the_history_is_told() -> None:
    class ForgetfulStream(InMemoryChangeStream):
        async def measure(self) -> Backlog:
            if not bench.recovery.verified:
                raise StoreUnverifiedError
            return await super().measure()

    bench = Bench()
    await bench.know(KEY, reporting({}))
    stream = ForgetfulStream(bench.store)
    service = ShadowHistoryService(unit_of_work=bench.unit_of_work, stream=stream, recovery=bench.recovery)

    page = await service.list_changes(key=KEY, start=None, end=None, limit=5, cursor=None)

    assert len(page.items) == 1
    assert bench.recovery.verified == 1


async def test_the_unnamed_shadow_has_an_empty_history_before_it_is_written() -> None:
    service = Bench().service

    assert (await service.list_changes(key=KEY, start=None, end=None, limit=5, cursor=None)).items == []
    assert (await service.list_requests(key=KEY, state=None, limit=5, cursor=None)).items == []
    assert (await service.get_version(key=KEY, version=0)).version == 0
    assert (await service.get_at(key=KEY, at=BEGIN)).version == 0


async def test_a_named_shadow_that_was_never_written_has_none() -> None:
    service = Bench().service

    for asked in (
        service.list_changes(key=NAMED, start=None, end=None, limit=5, cursor=None),
        service.list_requests(key=NAMED, state=None, limit=5, cursor=None),
        service.get_version(key=NAMED, version=0),
        service.get_version(key=NAMED, version=1),
        service.get_at(key=NAMED, at=BEGIN),
    ):
        with pytest.raises(ShadowNotFoundError, match="has no such shadow"):
            await asked


async def test_a_deleted_shadow_keeps_its_history() -> None:
    bench = Bench()
    await bench.know(NAMED, wanting({"a": 1}), None)

    assert await bench.list_versions(NAMED) == [2, 1]
    assert (await bench.service.get_version(key=NAMED, version=1)).desired.state == {"a": 1}
    with pytest.raises(ShadowNotFoundError, match="deleted with version 2"):
        await bench.service.get_version(key=NAMED, version=2)
    requests = await bench.service.list_requests(key=NAMED, state=None, limit=5, cursor=None)
    assert [request.state for request in requests.items] == [RequestState.CLEARED]


async def test_a_history_of_nothing_in_between_is_empty_and_no_refusal() -> None:
    bench = Bench()
    await bench.know(NAMED, reporting({}))

    page = await bench.service.list_changes(key=NAMED, start=BEGIN, end=BEGIN, limit=5, cursor=None)
    requests = await bench.service.list_requests(key=NAMED, state=RequestState.REFUSED, limit=5, cursor=None)

    assert (page.items, requests.items) == ([], [])


@pytest.mark.parametrize("version", [-1, 2, 33, 2**53 + 1, 2**63, 10**30])
async def test_a_version_that_never_was_is_not_found(version: int) -> None:
    bench = Bench()
    await bench.know(KEY, reporting({}))

    with pytest.raises(ShadowVersionNotFoundError, match=f"no version {version} "):
        await bench.service.get_version(key=KEY, version=version)


async def test_what_was_lost_for_good_is_said_to_be_missing_and_what_followed_is_there() -> None:
    bench = Bench()
    first, second, third = make_history(KEY, [reporting({"a": 1}), reporting({"b": 2}), reporting({"c": 3})])
    jumped = replace(third.shadow, version=1_000_003, changed_at=third.at + STEP)
    restored = replace(third, kind=ChangeKind.RESTORED, shadow=jumped, patch=None)
    async with bench.unit_of_work() as uow:
        await uow.journal.append([first, third, restored])
        await uow.commit()

    for version in (second.version, third.version, 1_000_002):
        with pytest.raises(ShadowVersionNotFoundError):
            await bench.service.get_version(key=KEY, version=version)
    with pytest.raises(ShadowVersionNotFoundError, match="no version 3 "):
        await bench.service.get_at(key=KEY, at=third.at)
    assert await bench.service.get_version(key=KEY, version=1_000_003) == jumped


async def test_with_the_journal_away_it_is_said_which_store_is_away() -> None:
    bench = Bench()
    bench.data.is_away = True

    with pytest.raises(UnavailableError) as refused:
        await bench.list_versions()
    assert refused.value.store == "telemetry"


async def test_a_journal_that_is_away_is_not_waited_for() -> None:
    bench = Bench()
    await bench.write(make_history(KEY, [wanting({"a": 1})]))
    bench.data.is_away = True

    outcomes = await asyncio.gather(
        bench.list_versions(),
        bench.service.get_version(key=KEY, version=1),
        bench.service.get_at(key=KEY, at=BEGIN),
        bench.service.list_requests(key=KEY, state=None, limit=5, cursor=None),
        return_exceptions=True,
    )

    codes = [outcome.code for outcome in outcomes if isinstance(outcome, UnavailableError)]
    assert codes == ["telemetry.store.unavailable"] * 4
