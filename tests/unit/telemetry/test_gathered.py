"""Readings of many devices: those that come as plain ones are held against the same as decoded JSON."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.blocks import Block
from iotsphere.telemetry.decoding import PlainReading
from iotsphere.telemetry.gathered import GivenReading, Terms, part_by_device

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TERMS = Terms(NOW, {}, {})
DEVICES = [DeviceId(UUID(int=number)) for number in (1, 2)]
NAMES = st.sampled_from(["a", "b", "9", "Ä", "x" * 128, "x" * 129])
TIMES = st.sampled_from([1_700_000_000_000, 1_700_000_000_001, 10**15, "2026-11-20T12:00:00.5+02:00", "no time"])
PLAIN = st.builds(
    PlainReading,
    values=st.dictionaries(NAMES, st.floats(-1e15, 1e15), min_size=1, max_size=3),
    ts=TIMES | st.just(msgspec.UNSET),
)
OTHER = st.sampled_from([{"values": {"a": "on", "b": 1}}, {"ts": 1_700_000_000_000, "values": {"a": None}}, {}])


def parted(lines: Sequence[tuple[DeviceId, PlainReading | dict[str, Any]]]) -> list[tuple[Any, ...]]:
    """Give what becomes of the lines, readings one by one."""
    gathered = [
        GivenReading(number, device_id, document, 1) for number, (device_id, document) in enumerate(lines, start=1)
    ]
    return [
        (
            each.submission.device_id,
            [*each.submission.readings],
            each.submission.rejected,
            each.places,
            each.rejections,
        )
        for each in part_by_device(gathered, refused={}, terms=TERMS)
    ]


@given(st.lists(st.tuples(st.sampled_from(DEVICES), PLAIN | OTHER), max_size=8))
def test_plain_readings_become_what_the_same_become_untyped(
    lines: list[tuple[DeviceId, PlainReading | dict[str, Any]]],
) -> None:
    untyped = [(device, each.document if isinstance(each, PlainReading) else each) for device, each in lines]

    assert parted(lines) == parted(untyped)


def test_numbers_of_the_same_metrics_stay_in_columns() -> None:
    given_readings = [
        GivenReading(number, DEVICES[0], PlainReading({"a": 1.0, "b": 2.0}, 1_700_000_000_000 + number), 2)
        for number in range(3)
    ]

    [parcel] = part_by_device(given_readings, refused={}, terms=TERMS)

    assert isinstance(parcel.submission.readings, Block)
    assert parcel.places == [0, 1, 2]
