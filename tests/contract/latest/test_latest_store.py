"""What is kept of the latest values is either what the database says, or not shown."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.latest import MOST_BYTES, MOST_METRICS, write_value
from iotsphere.telemetry.ports import LatestLease, LatestStore
from tests.contract.latest.conftest import Connect

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
VALUES = [21, -0.5, 1e300, True, 'heat "°\\ \n', {"a": [], "b": {}, "c": [1, {"d": None}]}, []]


def at(minutes: float, **values: Any) -> dict[str, str]:
    return {metric: write_value(NOON + timedelta(minutes=minutes), value) for metric, value in values.items()}


async def take_lease(store: LatestStore, device_id: DeviceId, *, epoch: int = 1) -> LatestLease:
    found = await store.find(device_id, None, epoch=epoch)
    assert isinstance(found, LatestLease)
    return found


async def keep(store: LatestStore, device_id: DeviceId, values: dict[str, str]) -> None:
    await store.fill(await take_lease(store, device_id), values)


async def change(
    store: LatestStore, device_id: DeviceId, values: dict[str, str] | None, *, replaces: bool = False
) -> None:
    marking = await store.mark([device_id])
    await store.settle(marking, None if values is None else {device_id: values}, replaces=replaces)


async def shown(store: LatestStore, device_id: DeviceId, *metrics: str) -> Any:
    found = await store.find(device_id, metrics or None, epoch=1)
    assert isinstance(found, str), found
    return {metric: each["value"] for metric, each in msgspec.json.decode(found).items()}


@pytest.mark.parametrize("value", VALUES)
async def test_gives_back_what_was_filled_in(store: LatestStore, device_id: DeviceId, value: Any) -> None:
    await keep(store, device_id, at(0, a=value))

    assert await store.find(device_id, None, epoch=1) == '{"a":' + at(0, a=value)["a"] + "}"
    assert await shown(store, device_id) == {"a": value}


async def test_shows_the_metrics_that_are_asked_for_and_there(store: LatestStore, device_id: DeviceId) -> None:
    await keep(store, device_id, at(0, a=1, b=2, c=3))

    assert await shown(store, device_id, "c", "a", "unknown") == {"a": 1, "c": 3}
    assert await shown(store, device_id, "unknown") == {}


async def test_a_device_of_which_nothing_is_kept_is_filled_in_by_who_asks_first(
    store: LatestStore, device_id: DeviceId
) -> None:
    lease = await take_lease(store, device_id)

    assert await store.find(device_id, None, epoch=1) is None
    await store.fill(lease._replace(token="another's"), at(0, a=1))
    assert await store.find(device_id, None, epoch=1) is None
    await store.fill(lease, at(0, a=2))
    assert await shown(store, device_id) == {"a": 2}
    await store.fill(lease, at(1, a=3))
    assert await shown(store, device_id) == {"a": 2}


async def test_later_values_take_the_place_of_earlier_ones_and_never_the_other_way_round(
    store: LatestStore, device_id: DeviceId
) -> None:
    await keep(store, device_id, at(5, a=1, b=1, c=1))

    await change(store, device_id, at(5.00001, a=2) | at(4, b=2) | at(5, c=2) | at(-99, d=2))

    assert await shown(store, device_id) == {"a": 2, "b": 1, "c": 1, "d": 2}


async def test_a_replaced_value_of_the_same_time_is_shown(store: LatestStore, device_id: DeviceId) -> None:
    await keep(store, device_id, at(5, a=1, b=1))

    await change(store, device_id, at(5, a=2) | at(4, b=2), replaces=True)

    assert await shown(store, device_id) == {"a": 2, "b": 1}


async def test_what_is_marked_is_not_shown_until_it_is_settled(store: LatestStore, device_id: DeviceId) -> None:
    await keep(store, device_id, at(0, a=1))
    marking = await store.mark([device_id, DeviceId(uuid4())])

    assert list(marking.device_ids) == [device_id]
    assert await store.find(device_id, None, epoch=1) is None
    await store.settle(marking, {}, replaces=False)
    assert await shown(store, device_id) == {"a": 1}


async def test_a_mark_ends_the_lease_of_who_may_have_read_before(store: LatestStore, device_id: DeviceId) -> None:
    lease = await take_lease(store, device_id)
    assert not (await store.mark([device_id])).device_ids

    await store.fill(lease, at(0, a=1))

    await take_lease(store, device_id)


async def test_where_two_mark_the_same_device_only_the_database_can_tell(
    connect: Connect, device_id: DeviceId
) -> None:
    first = second = connect()
    await keep(first, device_id, at(0, a=1))
    marking = await first.mark([device_id])
    assert not (await second.mark([device_id])).device_ids

    await first.settle(marking, {device_id: at(1, a=2)}, replaces=False)

    await take_lease(first, device_id)


async def test_what_only_the_database_can_tell_is_forgotten(store: LatestStore, device_id: DeviceId) -> None:
    await keep(store, device_id, at(0, a=1))

    await change(store, device_id, None)

    await take_lease(store, device_id)


async def test_a_settling_that_comes_after_another_has_filled_in_forgets_it(
    store: LatestStore, device_id: DeviceId
) -> None:
    await keep(store, device_id, at(0, a=1))
    marking = await store.mark([device_id])
    await store.mark([device_id])
    await keep(store, device_id, at(1, a=2))

    await store.settle(marking, {device_id: at(0.5, a=3)}, replaces=True)

    await take_lease(store, device_id)


async def test_what_was_kept_in_another_epoch_is_not_believed(store: LatestStore, device_id: DeviceId) -> None:
    await keep(store, device_id, at(0, a=1))

    lease = await take_lease(store, device_id, epoch=2)

    await store.fill(lease, at(0, a=2))
    assert await store.find(device_id, None, epoch=2) == '{"a":' + at(0, a=2)["a"] + "}"
    await take_lease(store, device_id, epoch=1)


@pytest.mark.parametrize("is_filled", [True, False], ids=["filled in", "grown"])
@pytest.mark.parametrize(
    "values",
    [
        None,
        {f"m{number}": at(0, a=number)["a"] for number in range(MOST_METRICS + 1)},
        {f"m{number}": at(0, a="x" * 4000)["a"] for number in range(MOST_BYTES // 4000 + 1)},
    ],
    ids=["unreadable", "too many", "too long"],
)
async def test_a_device_of_which_there_is_too_much_is_not_kept(
    store: LatestStore, device_id: DeviceId, values: dict[str, str] | None, *, is_filled: bool
) -> None:
    if is_filled:
        await store.fill(await take_lease(store, device_id), values)
        assert not (await store.mark([device_id])).device_ids
    else:
        await keep(store, device_id, at(0, a=1))
        await change(store, device_id, values)

    found = await store.find(device_id, None, epoch=1)
    assert found is None or (isinstance(found, LatestLease) and not is_filled)


async def test_a_device_that_grows_too_large_bit_by_bit_is_not_kept(store: LatestStore, device_id: DeviceId) -> None:
    await keep(store, device_id, at(0, a="x" * 4000))

    for number in range(MOST_BYTES // 4000 + 1):
        await change(store, device_id, at(0, **{f"m{number}": "x" * 4000}))

    assert await store.find(device_id, None, epoch=1) is None


async def test_many_devices_are_marked_and_settled_at_once(store: LatestStore) -> None:
    device_ids = [DeviceId(uuid4()) for _ in range(1000)]
    for device_id in device_ids[::100]:
        await keep(store, device_id, at(0, a=1, b=1))

    marking = await store.mark(device_ids)
    assert list(marking.device_ids) == device_ids[::100]
    await store.settle(marking, {device_id: at(1, a=2) for device_id in device_ids}, replaces=False)

    for device_id in device_ids[::100]:
        assert await shown(store, device_id) == {"a": 2, "b": 1}
