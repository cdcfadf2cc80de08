"""Whoever pages through points sees all that were there at the start, each once, whatever is stored meanwhile."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Order, SeriesQuery
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from iotsphere.telemetry.service import TelemetryService

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
Place = tuple[str, int]
# Of few times, so that many are of one time, and what comes meanwhile completes readings that are there.
PLACES = st.tuples(st.sampled_from("aBc_"), st.integers(0, 25))


@pytest.fixture
def service(unit_of_work: TelemetryUnitOfWorkFactory) -> TelemetryService:
    return TelemetryService(unit_of_work=unit_of_work, clock=lambda: NOW)


def moment(hour: int) -> datetime:
    return NOW - timedelta(hours=hour * 100)


async def store(service: TelemetryService, device_id: DeviceId, places: set[Place]) -> None:
    document = [{"ts": moment(hour).isoformat(), "values": {metric: hour}} for metric, hour in places]
    await service.record_readings(device_id=device_id, document=document)


@given(
    at_first=st.sets(PLACES, min_size=1, max_size=50),
    meanwhile=st.lists(st.sets(PLACES, min_size=1, max_size=10), max_size=8),
    limit=st.integers(1, 12),
    order=st.sampled_from(Order),
    metrics=st.sampled_from([None, ("a", "B"), ("c", "x", "a")]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_nothing_is_lost_and_nothing_comes_twice(
    service: TelemetryService,
    at_first: set[Place],
    meanwhile: list[set[Place]],
    limit: int,
    order: Order,
    metrics: tuple[str, ...] | None,
) -> None:
    device_id = DeviceId(uuid4())
    await store(service, device_id, at_first)
    arriving = iter(meanwhile)

    seen = []
    cursor = None
    while True:
        query = SeriesQuery(device_id, limit, metrics=metrics, order=order, cursor=cursor)
        page = await service.read_points(query=query)
        seen += [(point.ts, point.metric) for point in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        for places in arriving:
            await store(service, device_id, places)
            break

    assert seen == sorted(set(seen), reverse=order is Order.DESCENDING)
    wanted = {(moment(hour), metric) for metric, hour in at_first if metrics is None or metric in metrics}
    assert wanted <= set(seen)
    everything = {(moment(hour), metric) for metric, hour in at_first.union(*meanwhile)}
    assert set(seen) <= everything
