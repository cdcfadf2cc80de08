"""Group commit: who shares a transaction with whom, and who hears what when it fails."""

import asyncio
from datetime import UTC, datetime
from typing import Self
from uuid import UUID

import pytest

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry import intake
from iotsphere.telemetry.intake import GroupCommit, Receipt, Submission
from iotsphere.telemetry.model import Counts, Point
from tests.factories.telemetry import FIRST_READING, as_readings, build_point
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

DEVICE = DeviceId(UUID(int=1))
NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
STORED, DUPLICATE = Counts(stored=1), Counts(duplicates=1)


class Store:
    """Commits when it is let, and counts how often; one that fails says so at its commit."""

    def __init__(self) -> None:
        self.data = TelemetryData()
        self.let = asyncio.Event()
        self.let.set()
        self.commits = 0
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


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def commits(store: Store) -> GroupCommit:
    return GroupCommit(unit_of_work=store.unit_of_work)


def submission(*points: Point, rejected: int = 0) -> Submission:
    return Submission(DEVICE, NOW, as_readings(points), rejected)


def point(value: float = 1, **given: object) -> Point:
    return build_point(device_id=DEVICE, value=value, **given)


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
        [submission(shared), submission(point(), shared), submission(rejected=2)], replaces=False
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


async def test_what_is_too_much_to_wait_is_told_to_come_again(
    commits: GroupCommit, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST_POINTS_WAITING", 2)
    store.let.clear()
    waiting = asyncio.create_task(commits.write(submission(point(), point()), replaces=False))
    await asyncio.sleep(0)

    with pytest.raises(UnavailableError):
        await commits.write(submission(point()), replaces=False)

    store.let.set()
    assert (await waiting).counts == Counts(stored=2)
    assert (await commits.write(submission(point()), replaces=False)).counts == STORED


async def test_points_whose_client_went_away_still_count_as_waiting(
    commits: GroupCommit, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST_POINTS_WAITING", 2)
    store.let.clear()
    gone = asyncio.create_task(commits.write(submission(point(), point()), replaces=False))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])

    with pytest.raises(UnavailableError, match="More readings wait"):
        await commits.write(submission(point()), replaces=False)

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
