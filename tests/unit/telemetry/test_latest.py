"""What is shown as latest is what the database says, whatever becomes of the store that keeps it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.telemetry.errors import QueryBusyError
from iotsphere.telemetry.latest import EPOCH_SECONDS, EpochWatch, newest_of
from iotsphere.telemetry.model import MAX_METRICS, Reading, Selection
from iotsphere.telemetry.ports import LatestLease
from iotsphere.telemetry.query_room import QueryRoom
from tests.factories.latest import build_latest
from tests.fakes.latest import InMemoryLatestStore, KeptValues
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

DEVICE, OTHER = DeviceId(UUID(int=1)), DeviceId(UUID(int=2))
OURS, THEIRS = OrganisationId(UUID(int=3)), OrganisationId(UUID(int=4))
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def reading(minutes: float, *, of: DeviceId = DEVICE, **values: Any) -> Reading:
    return Reading(of, NOON + timedelta(minutes=minutes), values)


class ForgetfulUnitOfWork(InMemoryTelemetryUnitOfWork):
    """Its commits fail, and have come through all the same."""

    async def commit(self) -> None:
        await super().commit()
        raise UnavailableError("telemetry", "No answer.")


class TroubledStore(InMemoryLatestStore):
    """Is told of nothing that was committed, and does something else before it fills anything in."""

    before_fill: Callable[[], Awaitable[None]] | None = None

    async def fill(self, lease: LatestLease, values: Mapping[str, str] | None) -> None:
        before, self.before_fill = self.before_fill, None
        if before is not None:
            await before()
        await super().fill(lease, values)

    async def settle(self, *_: Any, **__: Any) -> None:
        raise UnavailableError("latest", "No answer.")


class Process:
    def __init__(self, data: TelemetryData, store: InMemoryLatestStore) -> None:
        self.now = 0.0
        self.store = store
        self.data = data
        self.latest, self.intake = build_latest(
            partial(InMemoryTelemetryUnitOfWork, data), store, monotonic=lambda: self.now
        )

    async def append(self, *readings: Reading, replaces: bool = False) -> None:
        async with self.intake() as uow:
            await uow.points.append(readings, replace=replaces)
            await uow.commit()
        await settled()

    async def remove(self, selection: Selection) -> None:
        async with self.intake() as uow:
            await uow.points.remove(selection, limit=1000)
            await uow.commit()
        await settled()

    async def read(self, *metrics: str, of: DeviceId = DEVICE) -> dict[str, Any]:
        found = await self.latest.read_latest(device_id=of, metrics=metrics or None)
        return {metric: each["value"] for metric, each in msgspec.json.decode(found).items()}


async def settled() -> None:
    """Let what nobody waits for come to its end."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def data() -> TelemetryData:
    return TelemetryData()


@pytest.fixture
def process(data: TelemetryData) -> Process:
    return Process(data, InMemoryLatestStore())


@pytest.fixture
def other(process: Process) -> Process:
    """Another process at the same stores, whose way to them is its own."""
    return Process(process.data, InMemoryLatestStore(process.store.kept))


def kept(process: Process, of: DeviceId = DEVICE) -> KeptValues | None:
    return process.store.kept.get(of)


async def test_what_was_read_once_is_read_without_the_database(process: Process) -> None:
    await process.append(reading(0, a=1, b="x"), reading(1, a=2))
    assert await process.read() == {"a": 2, "b": "x"}

    process.data.points.clear()

    assert await process.read() == {"a": 2, "b": "x"}
    assert await process.read("b", "c") == {"b": "x"}


async def test_what_is_written_afterwards_is_shown_by_its_time(process: Process) -> None:
    await process.append(reading(5, a=1))
    await process.read()

    await process.append(reading(4, a=2, b=2), reading(6, a=3), reading(5.5, a=4))

    assert await process.read() == {"a": 3, "b": 2}
    assert kept(process) == KeptValues(
        1, values=newest_of([reading(6, a=3), reading(4, b=2)], replaces=False)[DEVICE]
    )


async def test_of_values_of_one_time_the_stored_one_is_shown(process: Process) -> None:
    await process.append(reading(0, a=1))
    await process.read()

    await process.append(reading(0, a=2), reading(1, b=1), reading(1, b=2))
    assert await process.read() == {"a": 1, "b": 1}
    await process.append(reading(0, a=3), reading(1, b=3), reading(1, b=4), replaces=True)
    assert await process.read() == {"a": 3, "b": 4}


async def test_what_is_removed_is_not_shown(process: Process) -> None:
    await process.append(reading(0, a=1), reading(1, a=2, b=2))
    await process.read()

    await process.remove(Selection(DEVICE, ("a",), NOON + timedelta(minutes=1), NOON + timedelta(hours=1)))

    assert await process.read() == {"a": 1, "b": 2}


async def test_values_of_metrics_too_many_do_not_pass_for_the_latest(process: Process) -> None:
    await process.append(Reading(DEVICE, NOON, {f"m{number}": 1 for number in range(MAX_METRICS)}))
    process.store.kept[DEVICE] = KeptValues(1)

    await process.append(Reading(DEVICE, NOON + timedelta(minutes=1), {"m0": 2, "one-too-many": 2}))

    assert await process.read("m0", "one-too-many") == {"m0": 2}


async def test_while_the_store_is_away_the_database_answers(process: Process) -> None:
    await process.append(reading(0, a=1))
    await process.read()

    process.store.is_down = True
    await process.append(reading(1, a=2))
    assert await process.read() == {"a": 2}

    process.store.is_down = False
    assert await process.read() == {"a": 2}


async def test_what_could_not_be_marked_is_believed_by_no_other_process_either(
    process: Process, other: Process
) -> None:
    await process.append(reading(0, a=1))
    assert await other.read() == {"a": 1}
    process.store.is_down = True
    await process.append(reading(1, a=2))

    other.now += EPOCH_SECONDS

    assert await other.read() == {"a": 2}


async def test_who_was_cut_off_asks_for_the_epoch_before_it_believes_again(process: Process, other: Process) -> None:
    await process.append(reading(0, a=1))
    assert await other.read() == {"a": 1}
    process.store.is_down = other.store.is_down = True
    assert await other.read() == {"a": 1}
    await process.append(reading(1, a=2))

    other.store.is_down = False

    assert await other.read() == {"a": 2}


async def test_what_was_not_committed_changes_nothing(process: Process) -> None:
    await process.append(reading(0, a=1))
    await process.read()

    async with process.intake() as uow:
        await uow.points.append([reading(1, a=2)], replace=False)
    await settled()

    process.data.points.clear()
    assert await process.read() == {"a": 1}


async def test_after_a_commit_in_doubt_the_database_is_asked(data: TelemetryData, process: Process) -> None:
    await process.append(reading(0, a=1))
    await process.read()
    _, doubtful = build_latest(partial(ForgetfulUnitOfWork, data), process.store)

    async with doubtful() as uow:
        await uow.points.append([reading(1, a=2)], replace=False)
        with pytest.raises(UnavailableError):
            await uow.commit()
    await settled()

    assert await process.read() == {"a": 2}


async def test_a_write_between_reading_and_keeping_is_not_lost(data: TelemetryData) -> None:
    store = TroubledStore()
    process, writer = Process(data, store), Process(data, InMemoryLatestStore(store.kept))
    await writer.append(reading(0, a=1))
    store.before_fill = partial(writer.append, reading(1, a=2))

    assert await process.read() == {"a": 1}

    assert await process.read() == {"a": 2}


async def test_a_process_that_ended_after_its_commit_leaves_nothing_stale(process: Process) -> None:
    await process.append(reading(0, a=1))
    await process.read()
    ended = Process(process.data, TroubledStore(process.store.kept))
    await ended.append(reading(1, a=2))

    assert await process.read() == {"a": 2}
    await process.append(reading(0.5, b=1))
    assert await process.read() == {"a": 2, "b": 1}


async def test_of_a_device_nobody_reads_nothing_is_kept(process: Process) -> None:
    await process.append(reading(0, a=1), reading(0, of=OTHER, a=1))

    assert process.store.kept == {}
    assert await process.read(of=DeviceId(UUID(int=3))) == {}
    assert await process.read(of=OTHER) == {"a": 1}
    assert kept(process) is None


async def test_who_has_to_ask_the_database_takes_a_place_and_who_has_not_does_not(data: TelemetryData) -> None:
    room = QueryRoom(places=2, places_of_one=1, longest_wait_seconds=0.01)
    unit_of_work, store = partial(InMemoryTelemetryUnitOfWork, data), InMemoryLatestStore()
    latest, _ = build_latest(unit_of_work, store, room=room)
    async with unit_of_work() as uow:
        await uow.points.append([reading(0, a=1), reading(0, of=OTHER, a=2)], replace=False)
        await uow.commit()
    await latest.read_latest(device_id=DEVICE, organisation_id=OURS)

    async with room.place(OURS):
        assert "1.0" in await latest.read_latest(device_id=DEVICE, organisation_id=OURS)
        with pytest.raises(QueryBusyError):
            await latest.read_latest(device_id=OTHER, organisation_id=OURS)
        with pytest.raises(QueryBusyError):
            await latest.read_points(device_id=DEVICE, organisation_id=OURS)
        # Another organisation's are there.
        assert [point.value for point in await latest.read_points(device_id=OTHER, organisation_id=THEIRS)] == [2]


async def test_the_epoch_is_asked_for_once_by_all_who_want_to_know(data: TelemetryData) -> None:
    asked = 0

    def unit_of_work() -> InMemoryTelemetryUnitOfWork:
        nonlocal asked
        asked += 1
        return InMemoryTelemetryUnitOfWork(data)

    now = 0.0
    watch = EpochWatch(unit_of_work=unit_of_work, monotonic=lambda: now)
    assert set(await asyncio.gather(watch.get(), watch.get(), watch.get())) == {1}
    assert asked == 1
    now += EPOCH_SECONDS
    await watch.get()
    assert asked == 2
    watch.forget()
    asking = asyncio.create_task(watch.get())
    await asyncio.sleep(0)
    watch.forget()
    assert (await asking, await watch.get()) == (1, 1)
    assert asked == 4


async def test_an_epoch_that_cannot_be_told_is_asked_for_again() -> None:
    class Down(InMemoryTelemetryUnitOfWork):
        async def __aenter__(self) -> Any:
            raise UnavailableError("telemetry", "No answer.")

    watch = EpochWatch(unit_of_work=partial(Down, TelemetryData()), monotonic=lambda: 0.0)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await watch.get()


values = st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), min_size=1)
batches = st.lists(st.tuples(st.integers(0, 5), values), max_size=8)


@settings(deadline=None, max_examples=200)
@given(batches, st.booleans())
def test_the_newest_of_a_batch_is_what_the_database_makes_of_it(
    batch: Sequence[tuple[int, dict[str, int]]], replaces: bool
) -> None:
    readings = [Reading(DEVICE, NOON + timedelta(minutes=minutes), own) for minutes, own in batch]

    async def store() -> dict[str, Any]:
        process = Process(TelemetryData(), InMemoryLatestStore())
        await process.append(*readings, replaces=replaces)
        return await process.read()

    newest = newest_of(readings, replaces=replaces).get(DEVICE, {})
    assert {metric: msgspec.json.decode(text)["value"] for metric, text in newest.items()} == asyncio.run(store())
