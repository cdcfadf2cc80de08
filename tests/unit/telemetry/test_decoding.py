from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.decoding import Batch, read_batch
from iotsphere.telemetry.errors import TooManyValuesError
from iotsphere.telemetry.model import Reading, Rejection

DEVICE = DeviceId(UUID(int=1))
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def read(document: Any) -> Batch:
    return read_batch(document, device_id=DEVICE, arrived_at=NOW)


def values_of(batch: Batch) -> Mapping[str, Any]:
    (reading,) = batch.readings
    return reading.values


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def test_reads_one_reading_and_an_array_of_them() -> None:
    one = {"ts": "2026-11-20T10:00:00.5+01:00", "values": {"a": 1, "b": "x"}}
    ts = datetime(2026, 11, 20, 9, 0, 0, 500_000, tzinfo=UTC)
    reading = Reading(DEVICE, ts, {"a": 1, "b": "x"})

    assert read(one) == Batch([reading], [0])
    assert read([one, {"values": {}}, {"values": {"c": True}}]) == Batch(
        [reading, Reading(DEVICE, NOW, {"c": True})], [0, 2]
    )


@pytest.mark.parametrize("document", [[], {"values": {}}, [{"values": {}}, {"ts": 1_700_000_000_000, "values": {}}]])
def test_nothing_is_nothing(document: Any) -> None:
    assert read(document) == Batch()


@pytest.mark.parametrize(
    ("given", "ts"),
    [
        (1_700_000_000_123, datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)),
        ("2023-11-14t22:13:20.123456z", datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=UTC)),
        ("2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC)),
        (946_684_800_000, datetime(2000, 1, 1, tzinfo=UTC)),
        ("2026-11-21T12:00:00Z", NOW + timedelta(hours=24)),
        (1_795_262_400_000, NOW + timedelta(hours=24)),
    ],
)
def test_takes_times_as_text_and_as_milliseconds(given: Any, ts: datetime) -> None:
    assert read({"ts": given, "values": {"a": 1}}).readings == [Reading(DEVICE, ts, {"a": 1})]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("2026-11-21T12:00:00.000001Z", "telemetry.point.future"),
        (1_795_262_400_001, "telemetry.point.future"),
        (10**40, "telemetry.point.future"),
        ("9999-12-31T00:00:00Z", "telemetry.point.future"),
        ("1999-12-31T23:59:59.999999Z", "telemetry.point.too_old"),
        ("2000-01-01T00:00:00+00:01", "telemetry.point.too_old"),
        (946_684_799_999, "telemetry.point.too_old"),
        (0, "telemetry.point.too_old"),
        (-(10**40), "telemetry.point.too_old"),
        ("2026-11-20T12:00:00", "telemetry.reading.time_invalid"),
        ("2026-11-20", "telemetry.reading.time_invalid"),
        ("2026-02-30T00:00:00Z", "telemetry.reading.time_invalid"),
        ("0001-01-01T00:00:00+14:00", "telemetry.reading.time_invalid"),
        ("9999-12-31T23:59:59-14:00", "telemetry.reading.time_invalid"),
        ("1700000000000", "telemetry.reading.time_invalid"),
        ("", "telemetry.reading.time_invalid"),
        (1.7e12, "telemetry.reading.time_invalid"),
        (True, "telemetry.reading.time_invalid"),
        (None, "telemetry.reading.time_invalid"),
        ([], "telemetry.reading.time_invalid"),
    ],
)
def test_a_bad_time_costs_the_values_of_its_own_reading(given: Any, code: str) -> None:
    batch = read([{"values": {"a": 1}}, {"ts": given, "values": {"a": 1, "b": 2}}])

    assert batch.readings == [Reading(DEVICE, NOW, {"a": 1})]
    assert [(each.index, each.code, each.metric) for each in batch.rejections] == [(1, code, None)]
    assert batch.rejected == 2


@pytest.mark.parametrize(
    "reading",
    [None, 1, "x", [], [{"values": {"a": 1}}], {}, {"ts": NOW.isoformat()}, {"values": None}, {"values": [1]}],
)
def test_a_reading_that_cannot_be_read_counts_one(reading: Any) -> None:
    batch = read([reading, {"values": {"a": 1}}])

    assert [(each.index, each.code) for each in batch.rejections] == [(0, "telemetry.reading.invalid")]
    assert batch.rejected == 1
    assert len(batch.readings) == 1


def test_a_document_that_is_no_reading_is_one_that_cannot_be_read() -> None:
    documents: list[Any] = [None, 1, "x", {}]
    assert [read(document).rejected for document in documents] == [1] * 4


def test_an_unknown_member_is_named() -> None:
    batch = read({"values": {"a": 1, "b": 2}, "timestamp": 5, "x" * 500: 1})

    assert batch.rejected == 2
    assert batch.rejections[0].code == "telemetry.reading.invalid"
    assert batch.rejections[0].detail.endswith("Unknown: timestamp.")


@pytest.mark.parametrize(
    "metric",
    ["", "1a", "-a", "a b", "a/b", "ä", "a\n", "a\0", "x" * 129, "аlpha", "a" * 100_000],  # noqa: RUF001
)
def test_refuses_a_name_that_is_none(metric: str) -> None:
    batch = read({"values": {metric: 1, "good": 2}})

    assert [*values_of(batch)] == ["good"]
    assert [(each.code, each.metric) for each in batch.rejections] == [
        ("telemetry.point.metric_invalid", metric[:128])
    ]


@pytest.mark.parametrize("metric", ["a", "_", "A0", "a.b-c:d_e", "x" * 128])
def test_takes_a_name(metric: str) -> None:
    assert values_of(read({"values": {metric: 1}})) == {metric: 1}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "null"),
        (float("inf"), "not_finite"),
        (float("-inf"), "not_finite"),
        (2**53 + 1, "inexact"),
        (-(2**53) - 1, "inexact"),
        (10**4000, "inexact"),
        ("\0", "nul_character"),
        ("x" * 4097, "too_large"),
        ("ä" * 2049, "too_large"),
        ({"a": "\0"}, "nul_character"),
        ({"\0": 1}, "nul_character"),
        ([[{"a": [2**53 + 1]}]], "inexact"),
        ([float("inf")], "not_finite"),
        (["x" * 8189], "too_large"),
        (["ä" * 4095], "too_large"),
        (nested(65), "too_deep"),
        (nested(900), "too_deep"),
    ],
)
def test_one_bad_value_costs_no_other(value: Any, code: str) -> None:
    batch = read([{"values": {"a": 1, "bad": value, "b": 2}}])

    assert [*values_of(batch)] == ["a", "b"]
    assert [(each.index, each.metric, each.code) for each in batch.rejections] == [
        (0, "bad", f"telemetry.point.{code}")
    ]
    assert batch.rejected == 1


@pytest.mark.parametrize(
    "value",
    [
        0,
        -0.0,
        2**53,
        -(2**53),
        1.7976931348623157e308,
        5e-324,
        True,
        "",
        "x" * 4096,
        "ä" * 2048,
        "\\u0000",
        [],
        {},
        [None],
        {"": None},
        ["x" * 8188],
        ["\\u0000"],
        nested(64),
    ],
)
def test_takes_a_value(value: Any) -> None:
    assert values_of(read({"values": {"a": value}})) == {"a": value}


def test_too_many_values_are_refused_as_a_whole() -> None:
    full = [{"values": {f"m{number}": 1 for number in range(5_000)}}] * 2
    assert sum(len(reading.values) for reading in read(full).readings) == 10_000

    for one_more in ({"values": {"a": 1}}, None, {"values": 1}):
        with pytest.raises(TooManyValuesError, match="10001 values"):
            read([*full, one_more])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
TIMES = st.sampled_from(["2026-11-20T12:00:00Z", "2026-11-20T12:00:00", 1_700_000_000_000, 0, None, "x"])
READING_LIKE = st.fixed_dictionaries(
    {"values": st.dictionaries(st.sampled_from(["a", "b", "1"]), JSON, max_size=3)}, optional={"ts": TIMES, "x": JSON}
)


@given(document=JSON | READING_LIKE | st.lists(READING_LIKE | JSON, max_size=6))
def test_whatever_comes_every_value_is_taken_or_rejected(document: Any) -> None:
    batch = read(document)

    readings = document if isinstance(document, list) else [document]
    assert {each.index for each in batch.rejections} <= set(range(len(readings)))
    assert all(each.code.count(".") == 2 and each.detail for each in batch.rejections)
    taken = sum(len(reading.values) for reading in batch.readings)
    assert taken + batch.rejected == sum(
        max(len(reading["values"]), int(any(each.index == index for each in batch.rejections)))
        if isinstance(reading, dict) and isinstance(reading.get("values"), dict)
        else 1
        for index, reading in enumerate(readings)
    )


def test_a_rejection_says_what_to_do() -> None:
    assert read({"values": {"a": 2**60}}).rejections == [
        Rejection(
            0,
            "telemetry.point.inexact",
            "Integers beyond 2^53 cannot be kept exactly. Send such a number as a text.",
            "a",
        )
    ]
