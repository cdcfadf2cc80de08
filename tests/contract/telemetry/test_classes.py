"""Retention classes: whatever the rules become, a point has one place, and every question finds it there.

The same on the double, which follows the rules metric by metric, and on both engines.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.intervals import Grid, Interval
from iotsphere.telemetry.model import EARLIEST, Aggregate, Counts, FleetSelection, Order, Reading, Selection
from iotsphere.telemetry.ports import KeepingUnitOfWorkFactory, TelemetryUnitOfWorkFactory
from iotsphere.telemetry.retention import Holding, RetentionClass, Scope
from iotsphere.telemetry.retention_rules import IntakeTerms
from repositories.availability import StoreGate
from repositories.telemetry import latest
from repositories.telemetry.unit_of_work import (
    SqlAlchemyKeepingUnitOfWork,
    SqlAlchemyRollupUnitOfWork,
    SqlAlchemyTelemetryUnitOfWork,
)
from tests.fakes.telemetry import InMemoryKeepingUnitOfWork, InMemoryTelemetryUnitOfWork, TelemetryData

# Of which no other test has readings.
NOON = datetime(2011, 11, 20, 12, tzinfo=UTC)
BEGIN, END = NOON - timedelta(days=30), NOON + timedelta(days=60)
DAY = timedelta(days=1)
GRID = Grid(Interval.parse("1d"), ZoneInfo("UTC"))
METRICS = ("a", "ab", "b", "c")
FIGURES = (Aggregate.COUNT, Aggregate.MIN, Aggregate.MAX, Aggregate.FIRST, Aggregate.LAST)


@dataclass
class Store:
    unit_of_work: TelemetryUnitOfWorkFactory
    keeping: KeepingUnitOfWorkFactory
    engine: AsyncEngine | None = None

    async def say(self, number: int, scope: Scope | None) -> None:
        """Let a class be for this from now on; None deletes it."""
        async with self.unit_of_work() as uow:
            every = await uow.retention.list()
            rules = max(each.rules for each in every) + 1
            present = next((each for each in every if each.number == number), None)
            said = present or RetentionClass(f"class-{number}", changed_at=EARLIEST, number=number)
            said = replace(
                said, rules=rules, scope=scope or said.scope, deleted_at=None if scope else NOON, raw_days=7
            )
            await (uow.retention.save(said) if present else uow.retention.add(said))
            await uow.commit()

    async def append(
        self, device_id: DeviceId, now: datetime, *readings: tuple[datetime, dict[str, Any]], **terms: Any
    ) -> dict[int, Counts]:
        given = [Reading(device_id, ts, values) for ts, values in readings]
        async with self.unit_of_work() as uow:
            unsettled = await uow.points.append(given, replace=False, terms=IntakeTerms(now, **terms))
            await uow.commit()
        return unsettled

    async def held(self, device_id: DeviceId) -> dict[int, set[tuple[str, datetime]]]:
        """Tell which points each class has."""
        found = {}
        async with self.keeping() as keeping:
            for number in range(4):
                parts = [part async for part in keeping.chunks.read(BEGIN, END, number=number)]
                own = [each for part in parts for each in part if each.device_id == device_id]
                found[number] = {(metric, each.ts) for each in own for metric in each.values}
        return {number: points for number, points in found.items() if points}

    async def answers(self, device_id: DeviceId) -> list[Any]:
        found: list[Any] = []
        async with self.unit_of_work() as uow:
            for metrics in (None, ("ab",), ("c", "a")):
                selection = Selection(device_id, metrics, BEGIN, END)
                for order in Order:
                    points = await uow.points.range(selection, order=order, after=None, limit=7)
                    found.append([(point.metric, point.ts, point.value) for point in points])
                latest = await uow.points.latest(device_id, metrics)
                found.append([(point.metric, point.ts, point.value) for point in latest])
                numbers = await uow.points.numbers(selection, limit=1000)
                found.append({metric: (list(each.times), list(each.values)) for metric, each in numbers.items()})
                found.append(await uow.points.aggregate(selection, GRID, FIGURES, limit=1000))
            fleet = FleetSelection({device_id: "all"}, METRICS, BEGIN, END)
            found.append(await uow.fleet.aggregate(fleet, GRID, FIGURES, limit=1000))
        return found

    async def remove(self, device_id: DeviceId, metrics: tuple[str, ...] | None) -> int:
        async with self.unit_of_work() as uow:
            removal = await uow.points.remove(Selection(device_id, metrics, BEGIN, END), limit=1000)
            await uow.commit()
        assert removal.rest is None
        return removal.points

    async def roll_up(self) -> None:
        if self.engine is None:
            return
        for _ in range(100):
            async with SqlAlchemyRollupUnitOfWork(self.engine, StoreGate("telemetry")) as uow:
                hours = await uow.rollups.list(before=END, limit=256)
                if not hours:
                    return
                await uow.rollups.save(hours)
                await uow.commit()

    async def forget_rules(self) -> None:
        for number in range(1, 4):
            await self.say(number, None)


def in_memory() -> Store:
    data = TelemetryData()
    return Store(partial(InMemoryTelemetryUnitOfWork, data), partial(InMemoryKeepingUnitOfWork, data))


@pytest.fixture(params=["memory", "timescaledb", "partitions"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return in_memory()
    engine: AsyncEngine = request.getfixturevalue(f"{request.param}_engine")
    gate = StoreGate("telemetry")
    return Store(
        partial(SqlAlchemyTelemetryUnitOfWork, engine, gate),
        partial(SqlAlchemyKeepingUnitOfWork, engine, gate),
        engine,
    )


@pytest.fixture(autouse=True)
def _nothing_is_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let latest values be looked for as those that lie far back."""
    monkeypatch.setattr(latest, "MOST_READINGS", 0)


@pytest_asyncio.fixture(autouse=True)
async def _without_rules(store: Store) -> AsyncIterator[None]:
    yield
    await store.forget_rules()


async def test_a_reading_is_parted_by_the_classes_of_its_metrics(store: Store, device_id: DeviceId) -> None:
    await store.say(1, Scope(metrics="a*"))
    await store.say(2, Scope(metrics="ab", priority=1))

    assert await store.append(device_id, NOON, (NOON, {"a": 1, "ab": 2, "b": "x"})) == {}

    assert await store.held(device_id) == {0: {("b", NOON)}, 1: {("a", NOON)}, 2: {("ab", NOON)}}
    again = await store.append(device_id, NOON, (NOON, {"a": 1, "ab": 3, "b": "x", "c": 4}))
    assert again == {0: Counts(stored=1, duplicates=2, conflicts=1)}


async def test_a_class_may_be_for_devices_of_one_type(store: Store, device_id: DeviceId) -> None:
    await store.say(1, Scope(device_type="pump"))
    other = DeviceId(uuid4())

    await store.append(device_id, NOON, (NOON, {"a": 1}), device_types={device_id: "pump"})
    await store.append(other, NOON, (NOON, {"a": 1}), device_types={other: "fan"})
    # Whoever does not know the type goes by what was said before.
    await store.append(device_id, NOON, (NOON, {"b": 1}))

    assert await store.held(device_id) == {1: {("a", NOON), ("b", NOON)}}
    assert await store.held(other) == {0: {("a", NOON)}}


async def test_metrics_move_from_a_midnight_on_behind_which_nothing_is_stored(
    store: Store, device_id: DeviceId
) -> None:
    await store.append(device_id, NOON, (NOON, {"a": 1, "b": 1}))
    await store.say(1, Scope(metrics="a"))
    midnight = datetime(2011, 11, 23, tzinfo=UTC)
    before, then = midnight - timedelta(microseconds=1), midnight

    # What was said is heard of with the first readings that come then.
    await store.append(device_id, NOON, (NOON + DAY, {"a": 2, "b": 2}))
    await store.append(device_id, NOON + 3 * DAY, (before, {"a": 3, "b": 3}), (then, {"a": 4, "b": 4}))

    assert await store.held(device_id) == {
        0: {("a", NOON), ("a", NOON + DAY), ("a", before)} | {("b", ts) for ts in (NOON, NOON + DAY, before, then)},
        1: {("a", then)},
    }
    assert await store.append(device_id, NOON + 9 * DAY, (NOON, {"a": 1}), (then, {"a": 4})) == {
        0: Counts(duplicates=1),
        1: Counts(duplicates=1),
    }


async def test_what_its_class_keeps_no_longer_is_rejected_by_itself(store: Store, device_id: DeviceId) -> None:
    await store.say(1, Scope(metrics="a"))
    old, young = NOON - 8 * DAY, NOON - 6 * DAY
    kept_since = {0: NOON - 100 * DAY, 1: NOON - 7 * DAY}

    unsettled = await store.append(
        device_id,
        NOON,
        (young, {"a": 1, "b": 1}),
        (old, {"a": 1, "b": 1, "c": 1}),
        (old + DAY / 2, {"a": 1}),
        kept_since=kept_since,
    )

    assert unsettled == {1: Counts(stored=2, rejected=1, expired=1), 2: Counts(rejected=1, expired=1)}
    assert await store.held(device_id) == {0: {("b", young), ("b", old), ("c", old)}, 1: {("a", young)}}


async def test_of_a_class_chunks_go_by_themselves(store: Store, device_id: DeviceId) -> None:
    await store.say(1, Scope(metrics="a"))
    await store.append(device_id, NOON, (NOON, {"a": 1, "b": 1}))

    async with store.keeping() as keeping:
        (chunk,) = [each for each in await keeping.chunks.list(before=END, number=1) if each.start <= NOON < each.end]
        assert chunk.number == 1
        await keeping.chunks.remove(chunk)
        assert chunk not in await keeping.chunks.list(before=END, number=1)

    assert await store.held(device_id) == {0: {("b", NOON)}}
    assert await store.append(device_id, NOON, (NOON, {"a": 2, "b": 1})) == {0: Counts(stored=1, duplicates=1)}


@pytest.mark.parametrize("holds", [Holding.MINUTES, Holding.HOURS, Holding.DAYS])
async def test_figures_of_a_class_go_by_themselves(store: Store, device_id: DeviceId, holds: Holding) -> None:
    if store.engine is None:
        pytest.skip("The double works no figures out")
    await store.say(1, Scope(metrics="a"))
    await store.append(device_id, NOON, (NOON, {"a": 1, "b": 1}))
    await store.roll_up()
    table, start = {
        Holding.MINUTES: ("rollups_1m", "hour"),
        Holding.HOURS: ("rollups_1h", "start"),
        Holding.DAYS: ("rollups_1d", "start"),
    }[holds]
    count = sa.text(
        f"SELECT source >> 24, count(*) FROM {table} WHERE {start} >= '2011-11-20Z' AND {start} < '2011-11-21Z' "  # noqa: S608
        "AND source & 16777215 = (SELECT id FROM sources WHERE device_id = :device_id) GROUP BY 1"
    )

    async def figures() -> dict[int, int]:
        assert store.engine is not None
        async with store.engine.connect() as connection:
            rows = await connection.execute(count, {"device_id": device_id})
            return dict(map(tuple, rows))

    assert await figures() == {0: 1, 1: 1}
    async with store.keeping() as keeping:
        listed = await keeping.chunks.list(before=END + 360 * DAY, number=1, holds=holds)
        (chunk,) = [each for each in listed if each.start <= NOON < each.end]
        await keeping.chunks.remove(chunk)

    assert await figures() == {0: 1}


SCOPES = st.one_of(
    st.none(),
    st.builds(
        Scope,
        device_type=st.sampled_from([None, "pump"]),
        metrics=st.sampled_from([None, "a", "a*", "?", "*b", "c*"]),
        priority=st.integers(0, 2),
    ),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(1, 3), SCOPES),
        st.tuples(st.just("pass"), st.integers(1, 60)),
        st.tuples(
            st.just("send"),
            st.integers(-100, 24),
            st.dictionaries(st.sampled_from(METRICS), st.sampled_from([1.5, 2.5, "x", True]), min_size=1),
            st.booleans(),
        ),
        st.tuples(st.just("remove"), st.sampled_from([("a",), ("c", "ab")])),
        st.tuples(st.just("roll up")),
    ),
    max_size=12,
)


@given(steps=STEPS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_course_of_rules_and_readings_ends_in_the_same_places_and_answers(
    store: Store, steps: list[tuple[Any, ...]]
) -> None:
    plain, device_id, now = in_memory(), DeviceId(uuid4()), NOON
    await store.forget_rules()
    for step in steps:
        match step:
            case ("say", number, scope):
                for each in (store, plain):
                    await each.say(number, scope)
            case ("pass", hours):
                now += timedelta(hours=hours)
            case ("send", hours, values, is_known):
                reading = (now + timedelta(hours=hours), values)
                types = {device_id: "pump"} if is_known else {}
                outcomes = [await each.append(device_id, now, reading, device_types=types) for each in (store, plain)]
                assert outcomes[0] == outcomes[1]
            case ("remove", metrics):
                assert await store.remove(device_id, metrics) == await plain.remove(device_id, metrics)
            case _:
                await store.roll_up()

    assert await store.held(device_id) == await plain.held(device_id)
    assert await store.answers(device_id) == await plain.answers(device_id)
    await store.roll_up()
    assert await store.answers(device_id) == await plain.answers(device_id)
