"""The same readings end in the same state and the same answers, in whatever order, however often and however parted.

Where values contradict each other the order alone decides which is kept: the first, or with ``replace`` the last.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.errors import BatchRejectedError
from iotsphere.telemetry.intervals import Grid, Interval
from iotsphere.telemetry.model import Aggregate, Counts, IntakeReport, Point, SeriesQuery, Summary
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from iotsphere.telemetry.service import TelemetryService

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
BY_THE_WEEK = Summary(Grid(Interval.parse("7d"), ZoneInfo("Europe/Berlin")), tuple(Aggregate))
PATIENT = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# U+0000 is told of in another way than what is missing.
TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=3)
VALUES = st.one_of(
    st.integers(-5, 5), st.floats(-1e6, 1e6), st.booleans(), TEXTS, st.just({"a": [1, None]}), st.none()
)
KEYS = st.tuples(st.sampled_from("abcd"), st.integers(0, 40))

# What is sent for a point: its metric, its age in days, and a value.
Sent = tuple[str, int, Any]
Request = list[dict[str, Any]]


def in_requests(sent: Sequence[Sent], chance: random.Random) -> list[Request]:
    """Part what is sent into requests, and each of them into readings of one time, of several values where it may."""
    cuts = sorted(chance.randint(0, len(sent)) for _ in range(chance.randint(0, 4)))
    parts = [sent[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    return [[reading for _, run in groupby(part, _day) for reading in _readings(list(run))] for part in parts if part]


def _readings(run: list[Sent]) -> list[dict[str, Any]]:
    """Make one reading of values of one day, but of those that come for the same metric again one each."""
    readings: list[dict[str, Any]] = []
    for metric, day, value in run:
        if not readings or metric in readings[-1]["values"]:
            readings.append({"ts": (NOW - timedelta(days=day)).isoformat(), "values": {}})
        readings[-1]["values"][metric] = value
    return readings


def _day(sent: Sent) -> int:
    return sent[1]


@dataclass(frozen=True)
class Sender:
    """A device and what is answered about it."""

    service: TelemetryService
    unit_of_work: TelemetryUnitOfWorkFactory
    device_id: DeviceId

    async def send(self, request: Request, *, replaces: bool = False) -> Counts:
        return (await self._send(request, replaces=replaces)).counts

    async def _send(self, request: Request, *, replaces: bool) -> IntakeReport:
        try:
            return await self.service.record_readings(device_id=self.device_id, document=request, replaces=replaces)
        except BatchRejectedError as error:
            return error.report

    async def points(self) -> dict[tuple[str, int], Any]:
        page = await self.service.read_points(query=SeriesQuery(self.device_id, 50_000))
        assert len({(point.metric, point.ts) for point in page.items}) == len(page.items)
        return {(point.metric, (NOW - point.ts).days): point.value for point in page.items}

    async def figures(self) -> dict[tuple[str, datetime, Aggregate], Any]:
        page = await self.service.read_buckets(query=SeriesQuery(self.device_id, 50_000), summary=BY_THE_WEEK)
        return {
            (bucket.metric, bucket.ts, aggregate): figure
            for bucket in page.items
            for aggregate, figure in bucket.figures.items()
            if figure is not None
        }

    async def latest(self) -> list[tuple[str, datetime, Any]]:
        async with self.unit_of_work() as uow:
            return [_told(point) for point in await uow.points.latest(self.device_id, None)]

    async def ledger(self) -> Counts:
        page = await self.service.read_ledger(device_id=self.device_id, interval=Interval.parse("1d"), limit=10)
        return sum((entry.counts for entry in page.items), Counts())


def _told(point: Point) -> tuple[str, datetime, Any]:
    return point.metric, point.ts, point.value


@pytest.fixture
def service(unit_of_work: TelemetryUnitOfWorkFactory) -> TelemetryService:
    return TelemetryService(unit_of_work=unit_of_work, clock=lambda: NOW)


@given(
    values=st.dictionaries(KEYS, VALUES, min_size=1, max_size=30),
    repetitions=st.integers(1, 3),
    chance=st.randoms(use_true_random=False),
    replaces=st.booleans(),
    at_once=st.booleans(),
)
@PATIENT
async def test_the_same_readings_end_in_the_same_state_and_answers(
    service: TelemetryService,
    unit_of_work: TelemetryUnitOfWorkFactory,
    values: dict[tuple[str, int], Any],
    repetitions: int,
    chance: random.Random,
    *,
    replaces: bool,
    at_once: bool,
) -> None:
    straight, other = (Sender(service, unit_of_work, DeviceId(uuid4())) for _ in range(2))
    sent = [(metric, day, value) for (metric, day), value in values.items()]
    repeated = sent * repetitions
    chance.shuffle(repeated)
    rejected = sum(value is None for value in values.values())
    kept = len(values) - rejected

    once = [await straight.send(_readings([one])) for one in sorted(sent, key=_day)]
    requests = in_requests(repeated, chance)
    if at_once:
        counts = await asyncio.gather(*(other.send(request, replaces=replaces) for request in requests))
    else:
        counts = [await other.send(request, replaces=replaces) for request in requests]

    assert sum(once, Counts()) == await straight.ledger() == Counts(stored=kept, rejected=rejected)
    assert sum(counts, Counts()) == await other.ledger()
    assert await other.ledger() == Counts(kept, kept * (repetitions - 1), rejected=rejected * repetitions)
    points = {key: value for key, value in values.items() if value is not None}
    assert await straight.points() == await other.points() == points
    assert await straight.latest() == await other.latest()
    # The order of additions decides on the last digits.
    assert await other.figures() == pytest.approx(await straight.figures(), rel=1e-9, abs=1e-6)


@given(
    sent=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40),
    chance=st.randoms(use_true_random=False),
    replaces=st.booleans(),
)
@PATIENT
async def test_of_values_that_contradict_each_other_the_first_is_kept_or_the_last(
    service: TelemetryService,
    unit_of_work: TelemetryUnitOfWorkFactory,
    sent: list[Sent],
    chance: random.Random,
    *,
    replaces: bool,
) -> None:
    device = Sender(service, unit_of_work, DeviceId(uuid4()))
    points: dict[tuple[str, int], Any] = {}
    stored = 0
    for metric, day, value in sent:
        is_taken = (metric, day) not in points or (replaces and points[metric, day] != value)
        stored += is_taken
        points[metric, day] = value if is_taken else points[metric, day]

    counts = [await device.send(request, replaces=replaces) for request in in_requests(sent, chance)]

    assert await device.points() == points
    total = sum(counts, Counts())
    assert total == await device.ledger()
    assert (total.received, total.stored) == (len(sent), stored)
    # Whatever the order: as many are stored as there are points, and with a replacement at the least as many.
    assert stored >= len(points) if replaces else stored == len(points)
    assert not (replaces and total.conflicts)
