"""Group commit: who shares a transaction with whom, and who hears what when it fails."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

import pytest
import pytest_asyncio

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.telemetry import intake
from iotsphere.telemetry.intake import GroupCommit, Receipt, Submission
from iotsphere.telemetry.model import Counts, Point
from iotsphere.telemetry.turns import Sender
from tests.factories.telemetry import FIRST_READING, as_readings, build_point
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

DEVICE, OTHER = DeviceId(UUID(int=1)), DeviceId(UUID(int=2))
FLOODING, QUIET = OrganisationId(UUID(int=11)), OrganisationId(UUID(int=12))
NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
STORED, DUPLICATE = Counts(stored=1), Counts(duplicates=1)


class Store:
    """Commits when it is let, and counts how often; one that fails says so at its commit."""

    def __init__(self) -> None:
        self.data = TelemetryData()
        self.let = asyncio.Event()
        self.let.set()
        self.commits = 0
        self.first_of: dict[DeviceId, int] = {}
        """With which transaction something of a device was stored for the first time."""
        self.fails = False

    def unit_of_work(self) -> "SlowUnitOfWork":
        return SlowUnitOfWork(self)


class SlowUnitOfWork(InMemoryTelemetryUnitOfWork):
    def __init__(self, store: Store) -> None:
        super().__init__(store.data)
        self._store = store

    async def __aenter__(self) -> Self:
        await self._store.let.wait()
        return await super().__aenter__()

    async def commit(self) -> None:
        if self._store.fails:
            raise UnavailableError("telemetry", "The disk is gone.")
        self._store.commits += 1
        await super().commit()
        for stored in self._store.data.points.values():
            self._store.first_of.setdefault(stored.device_id, self._store.commits)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest_asyncio.fixture
async def commits(store: Store) -> AsyncIterator[GroupCommit]:
    commits = GroupCommit(unit_of_work=store.unit_of_work)
    yield commits
    await commits.close(within=0)


@pytest_asyncio.fixture
async def small(store: Store) -> AsyncIterator[GroupCommit]:
    """One with room for two points."""
    commits = GroupCommit(unit_of_work=store.unit_of_work, most_waiting=2)
    yield commits
    await commits.close(within=0)


def submission(*points: Point, rejected: int = 0) -> Submission:
    device_id = points[0].device_id if points else DEVICE
    return Submission(device_id, NOW, as_readings(points), rejected)


def point(value: Any = 1, **given: object) -> Point:
    return build_point(**{"device_id": DEVICE, "value": value} | given)


async def write_together(
    commits: GroupCommit, store: Store, *submissions: Submission, replaces: bool = False
) -> list[Receipt]:
    """Hold a first transaction up, so that all of these wait for the next."""
    store.let.clear()
    first = asyncio.create_task(commits.write(submission(point()), replaces=False))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(commits.write(each, replaces=replaces)) for each in submissions]
    await asyncio.sleep(0)
    store.let.set()
    await first
    return await asyncio.gather(*waiting)


async def test_who_comes_alone_is_committed_at_once(commits: GroupCommit, store: Store) -> None:
    assert await commits.write(submission(point()), replaces=False) == Receipt(STORED, {})
    assert store.commits == 1


async def test_those_who_wait_share_one_transaction_and_each_hears_of_its_own_points(
    commits: GroupCommit, store: Store
) -> None:
    shared = point(ts=FIRST_READING, value=1)
    other = point(ts=FIRST_READING, value=2)

    receipts = await write_together(
        commits,
        store,
        submission(point(), shared),
        submission(shared),
        submission(point(), other),
        submission(rejected=3),
    )

    assert receipts == [
        Receipt(Counts(stored=2), {}),
        Receipt(DUPLICATE, {0: DUPLICATE}),
        Receipt(Counts(stored=1, conflicts=1), {1: Counts(conflicts=1)}),
        Receipt(Counts(rejected=3), {}),
    ]
    assert store.commits == 2
    assert store.data.minutes == {(DEVICE, NOW): Counts(stored=4, duplicates=1, conflicts=1, rejected=3)}


async def test_several_that_are_handed_in_together_hear_of_their_own_after_one_commit(
    commits: GroupCommit, store: Store
) -> None:
    shared = point(ts=FIRST_READING, value=1)

    receipts = await commits.write_together(
        [submission(shared), submission(point(), shared), submission(rejected=2)],
        replaces=False,
        sender=Sender(None, None),
    )

    assert receipts == [
        Receipt(STORED, {}),
        Receipt(Counts(stored=1, duplicates=1), {1: DUPLICATE}),
        Receipt(Counts(rejected=2), {}),
    ]
    assert store.commits == 1


async def test_replacing_and_keeping_do_not_share_a_transaction(commits: GroupCommit, store: Store) -> None:
    one, two = point(ts=FIRST_READING, value=1), point(ts=FIRST_READING, value=2)

    kept = asyncio.create_task(commits.write(submission(one), replaces=False))
    replaced = asyncio.create_task(commits.write(submission(two), replaces=True))

    assert [(await kept).counts, (await replaced).counts] == [STORED, STORED]
    assert store.commits == 2


async def test_a_group_takes_no_more_than_a_statement_should(
    commits: GroupCommit, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST_POINTS_AT_ONCE", 3)

    await write_together(commits, store, *(submission(point(), point()) for _ in range(3)))

    assert store.commits == 4


async def test_what_is_no_number_counts_by_its_bytes(
    commits: GroupCommit, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST_POINTS_AT_ONCE", 3)
    long, large = "x" * 600, {"n": ["x" * 300] * 2}

    await write_together(commits, store, *(submission(point(value)) for value in (long, large, 1.5, "short")))

    assert store.commits == 1 + 3


async def test_no_more_bytes_wait_than_there_is_room_for(small: GroupCommit, store: Store) -> None:
    with pytest.raises(UnavailableError, match="More readings wait"):
        await small.write(submission(point("x" * 1200)), replaces=False)

    assert (await small.write(submission(point("x" * 300)), replaces=False)).counts == STORED


async def test_what_is_too_much_to_wait_is_told_to_come_again(small: GroupCommit, store: Store) -> None:
    store.let.clear()
    waiting = asyncio.create_task(small.write(submission(point(), point()), replaces=False))
    await asyncio.sleep(0)

    with pytest.raises(UnavailableError):
        await small.write(submission(point()), replaces=False)

    store.let.set()
    assert (await waiting).counts == Counts(stored=2)
    assert (await small.write(submission(point()), replaces=False)).counts == STORED


async def test_points_whose_client_went_away_still_count_as_waiting(small: GroupCommit, store: Store) -> None:
    store.let.clear()
    gone = asyncio.create_task(small.write(submission(point(), point()), replaces=False))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])

    with pytest.raises(UnavailableError, match="More readings wait"):
        await small.write(submission(point()), replaces=False)

    store.let.set()


async def test_who_waits_too_long_is_told_to_send_again_and_finds_duplicates_then(
    commits: GroupCommit, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "LONGEST_WAIT_SECONDS", 0.01)
    slow = submission(point())
    store.let.clear()
    with pytest.raises(UnavailableError, match="Send them again"):
        await commits.write(slow, replaces=False)

    store.let.set()
    monkeypatch.undo()

    assert (await commits.write(slow, replaces=False)).counts == DUPLICATE


async def test_a_failed_commit_is_told_to_all_who_were_in_it_and_to_nobody_else(
    commits: GroupCommit, store: Store
) -> None:
    store.fails = True
    failed = [asyncio.create_task(commits.write(submission(point()), replaces=False)) for _ in range(2)]

    answers = await asyncio.gather(*failed, return_exceptions=True)

    assert [type(answer) for answer in answers] == [UnavailableError, UnavailableError]
    assert store.data.points == {}
    store.fails = False
    assert (await commits.write(submission(point()), replaces=False)).counts == STORED


async def test_a_client_that_goes_away_takes_nothing_along(commits: GroupCommit, store: Store) -> None:
    store.let.clear()
    gone = asyncio.create_task(commits.write(submission(point()), replaces=False))
    stays = asyncio.create_task(commits.write(submission(point()), replaces=False))
    await asyncio.sleep(0)
    gone.cancel()
    store.let.set()

    assert (await stays).counts == STORED
    assert len(store.data.points) == 2


def flood(
    commits: GroupCommit,
    count: int,
    *,
    device_id: DeviceId = DEVICE,
    organisation_id: OrganisationId | None = None,
) -> list[asyncio.Task[Receipt]]:
    """Hand in so much for one device that many transactions are needed."""
    return [
        asyncio.create_task(
            commits.write(
                submission(*(point(device_id=device_id) for _ in range(10))),
                replaces=False,
                organisation_id=organisation_id,
            )
        )
        for _ in range(count)
    ]


async def test_a_single_reading_is_in_the_next_transaction_however_much_another_device_has_waiting(
    commits: GroupCommit, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST_POINTS_AT_ONCE", 100)
    store.let.clear()
    flooding = flood(commits, 200)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    single = asyncio.create_task(commits.write(submission(point(device_id=OTHER)), replaces=False))
    await asyncio.sleep(0)

    store.let.set()
    await asyncio.gather(single, *flooding)

    # Behind those that were under way.
    assert store.first_of[OTHER] <= 1 + intake.TRANSACTIONS
    assert store.commits > 20


async def test_a_single_reading_is_in_the_next_transaction_however_many_devices_another_organisation_has(
    commits: GroupCommit, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST_POINTS_AT_ONCE", 100)
    store.let.clear()
    flooding = [
        task
        for number in range(100, 140)
        for task in flood(commits, 5, device_id=DeviceId(UUID(int=number)), organisation_id=FLOODING)
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    single = asyncio.create_task(
        commits.write(submission(point(device_id=OTHER)), replaces=False, organisation_id=QUIET)
    )
    await asyncio.sleep(0)
    store.let.set()
    await asyncio.gather(single, *flooding)

    assert store.first_of[OTHER] <= 1 + intake.TRANSACTIONS
    assert store.commits > 20


async def test_a_flooding_device_leaves_room_for_the_others(store: Store) -> None:
    commits = GroupCommit(unit_of_work=store.unit_of_work, most_waiting=2_000)
    store.let.clear()
    flooding = flood(commits, 200, organisation_id=FLOODING)
    await asyncio.sleep(0)
    refused = [task for task in flooding if task.done()]
    neighbour = flood(commits, 10, device_id=OTHER, organisation_id=FLOODING)
    stranger = flood(commits, 10, device_id=DeviceId(UUID(int=3)), organisation_id=QUIET)
    await asyncio.sleep(0)

    assert 95 < len(refused) < 105
    assert not any(task.done() for task in (*neighbour, *stranger))
    for task in (*flooding, *neighbour, *stranger):
        task.cancel()
    await asyncio.gather(*flooding, *neighbour, *stranger, return_exceptions=True)
    await commits.close(within=0)


async def test_at_the_end_what_was_taken_is_written_and_nothing_is_taken_any_more(
    commits: GroupCommit, store: Store
) -> None:
    store.let.clear()
    taken = flood(commits, 20)
    gone = flood(commits, 20, device_id=OTHER)
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    closing = asyncio.create_task(commits.close(within=5))
    await asyncio.sleep(0)
    store.let.set()

    await closing

    assert {receipt.counts for receipt in await asyncio.gather(*taken)} == {Counts(stored=10)}
    assert len(store.data.points) == 400
    with pytest.raises(UnavailableError, match="Send them again"):
        await commits.write(submission(point()), replaces=False)


async def test_who_waits_at_the_end_is_told_so_though_what_they_sent_is_still_written(
    commits: GroupCommit, store: Store
) -> None:
    store.let.clear()
    waiting = flood(commits, 3)
    await asyncio.sleep(0)

    commits.take_no_more()

    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [UnavailableError] * 3
    store.let.set()
    await commits.close(within=5)
    assert len(store.data.points) == 30


async def test_the_end_does_not_wait_for_a_store_that_does_not_answer(commits: GroupCommit, store: Store) -> None:
    store.let.clear()
    waiting = flood(commits, 3)
    await asyncio.sleep(0)

    await commits.close(within=0.01)

    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [UnavailableError] * 3


async def test_what_nobody_foresaw_is_told_to_all_who_were_in_it_and_does_not_end_the_writing(
    commits: GroupCommit, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(store, "let", None)
        answers = await asyncio.gather(*flood(commits, 2), return_exceptions=True)

    assert [type(answer) for answer in answers] == [AttributeError] * 2
    assert (await commits.write(submission(point()), replaces=False)).counts == STORED


async def test_another_transaction_is_begun_beside_the_first_only_where_enough_waits(
    commits: GroupCommit, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "POINTS_FOR_ANOTHER", 30)

    async def write(*sizes: int) -> int:
        store.let.clear()
        tasks = []
        for size in sizes:
            points = [point(device_id=DeviceId(UUID(int=size))) for _ in range(size)]
            tasks.append(asyncio.create_task(commits.write(submission(*points), replaces=False)))
            for _ in range(4):
                await asyncio.sleep(0)
        before = store.commits
        store.let.set()
        await asyncio.gather(*tasks)
        return store.commits - before

    assert await write(1, 29) == 2
    # What comes while both are under way shares the next.
    assert await write(1, 30, 31, 32, 33) == 3
