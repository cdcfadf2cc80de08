from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.times import EPOCH, MICROSECOND
from iotsphere.telemetry.blocks import (
    Block,
    Joined,
    candidates,
    count_values,
    devices_of,
    earliest_of,
)
from iotsphere.telemetry.latest import newest_of
from iotsphere.telemetry.model import Reading

DEVICE, OTHER = DeviceId(UUID(int=1)), DeviceId(UUID(int=2))
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def block(*times: int, device_id: DeviceId = DEVICE) -> Block:
    return Block(device_id, ("a", "b"), times, [[float(time), -1.5] for time in times])


def reading(time: int, device_id: DeviceId = DEVICE) -> Reading:
    return Reading(device_id, EPOCH + time * MICROSECOND, {"a": float(time), "b": -1.5})


def test_a_block_is_its_readings() -> None:
    assert [*block(5, 3)] == [reading(5), reading(3)]
    assert block(5, 3)[-1] == reading(3)
    assert block(5, 3, 4)[1:] == [reading(3), reading(4)]
    with pytest.raises(IndexError):
        block(5)[1]


def test_what_is_joined_is_one_sequence() -> None:
    joined = Joined([block(1, 2), [], [reading(3, OTHER)], block(4)])

    assert len(joined) == 4
    assert [*joined] == [joined[place] for place in range(4)] == [joined[place - 4] for place in range(4)]
    assert joined[1:3] == [reading(2), reading(3, OTHER)]
    for place in (4, -5):
        with pytest.raises(IndexError):
            joined[place]
    assert devices_of(joined) == {DEVICE, OTHER}


@pytest.mark.parametrize("readings", [block(7, 3, 5), [reading(7), reading(3), reading(5)]])
def test_values_and_the_earliest_time_are_told_of_columns_as_of_rows(readings: Block | list[Reading]) -> None:
    assert count_values(readings) == 6
    assert earliest_of(readings, LONG_AGO) == EPOCH + timedelta(microseconds=3)


def test_of_no_readings_the_earliest_time_is_what_is_said() -> None:
    assert earliest_of([], LONG_AGO) == LONG_AGO


@given(
    st.lists(st.tuples(st.sampled_from([DEVICE, OTHER]), st.lists(st.integers(0, 4), min_size=1)), min_size=1),
    st.booleans(),
)
def test_the_latest_of_columns_is_that_of_their_rows(parts: list[tuple[DeviceId, list[int]]], replaces: bool) -> None:
    joined = Joined(
        [
            Block(device_id, ("a",), times, [[10.0 * number + place] for place in range(len(times))])
            for number, (device_id, times) in enumerate(parts)
        ]
    )

    assert newest_of(candidates(joined, [DEVICE], replaces=replaces), replaces=replaces) == newest_of(
        [each for each in joined if each.device_id == DEVICE], replaces=replaces
    )
