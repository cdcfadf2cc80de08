"""What is read and written without a schema, held against what is read and written with one."""

from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.api.json_body import JsonMalformedError, encode_json
from iotsphere.api.telemetry.body import decode_batch, decode_readings, encode_report
from iotsphere.api.telemetry.schemas import IntakeReportAnswer
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.decoding import Batch, PlainReading, read_batch
from iotsphere.telemetry.errors import TooManyValuesError
from iotsphere.telemetry.model import Counts, IntakeReport, Rejection

DEVICE = DeviceId(UUID(int=1))
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NUMBERS = (
    st.integers(-(2**53) - 2, 2**53 + 2)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([2**53, 2**53 + 1, -(2**53), -(2**53) - 1, float(2**53), 1e300, -0.0])
)
TIMES = st.sampled_from(
    [
        "2026-11-20T12:00:00Z",
        "2026-11-20T14:00:00.1234567+02:00",
        "2026-11-20T12:00:00",
        "1999-12-31T23:59:59Z",
        1_700_000_000_123,
        946_684_799_999,
        1_795_262_400_000,
        1_795_262_400_001,
        10**40,
        0,
        None,
        True,
        1.5,
        "x",
    ]
)
READINGS = st.fixed_dictionaries(
    {
        "values": st.dictionaries(
            st.sampled_from(["a", "b", "c", "1"]), NUMBERS | st.none() | st.booleans(), max_size=3
        )
    },
    optional={"ts": TIMES, "x": st.just(1)},
)
PLAIN = st.fixed_dictionaries(
    {"values": st.dictionaries(st.sampled_from(["a", "b", "c"]), NUMBERS, min_size=1, max_size=3)},
    optional={"ts": TIMES},
)


def read(document: Any) -> Batch | str:
    """Give the readings one by one, whether or not they come in columns."""
    try:
        batch = read_batch(document, device_id=DEVICE, arrived_at=NOW)
        return replace(batch, readings=[*batch.readings])
    except TooManyValuesError as error:
        return error.detail


@given(document=PLAIN | st.lists(PLAIN, max_size=4) | st.lists(READINGS | PLAIN, max_size=4))
def test_plain_readings_are_read_as_any_others(document: Any) -> None:
    body = msgspec.json.encode(document)

    assert read(decode_batch(body)) == read(msgspec.json.decode(body))


def test_readings_of_numbers_are_taken_for_plain_ones() -> None:
    assert decode_batch(b'{"values":{"a":1,"b":2.5}}') == PlainReading({"a": 1.0, "b": 2.5})
    assert decode_batch(b'[{"ts":5,"values":{"a":1}}]') == [PlainReading({"a": 1.0}, 5)]


@pytest.mark.parametrize("number", ["9007199254740993", "9007199254740992", "-9007199254740993", "1e300", "1e999"])
def test_a_number_whose_exactness_is_doubtful_is_not_plain(number: str) -> None:
    assert isinstance(decode_batch(b'{"values":{"a":1,"b":%s}}' % number.encode()), dict)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"values":{"a":1,"b":%b,"c":"x"}}', {"values": {"a": 1, "b": 2**54, "c": "x"}}),
        (
            b'[{"values":{"b":-%b}},{"values":{"a":1e999}}]',
            [{"values": {"b": -(2**54)}}, {"values": {"a": inf}}],
        ),
        (b'{"ts":%b,"values":{"a":1}}', {"ts": 2**54, "values": {"a": 1}}),
        (b'[%b,{"values":{"a":1}},7]', [2**54, {"values": {"a": 1}}, 7]),
        (b'{"values":{"a":{"b":{"c":%b}},"d":[[1,%b]]}}', {"values": {"a": {"b": 2**54}, "d": [2**54]}}),
        (b'{"values":{"a":%b,"a":1}}', {"values": {"a": 1}}),
        (b" %b ", 2**54),
    ],
)
def test_an_integer_of_thousands_of_digits_spoils_nothing_but_itself(body: bytes, expected: Any) -> None:
    assert decode_readings(body.replace(b"%b", b"9" * 5_000)) == expected


@pytest.mark.parametrize(
    "rest", [b"NaN", b'"\xff"', rb'"\ud800"', b"[" * 5_000 + b"]" * 5_000, b"01", b'"\n"', b"{", b"1}", b'{"\xff":1}']
)
@pytest.mark.parametrize("body", [b'{"values":{"a":%b,"b":%r}}', b'{"values":{"a":{"x":{"y":%b,"z":%r}}}}'])
def test_what_is_no_json_is_none_behind_such_an_integer_either(body: bytes, rest: bytes) -> None:
    with pytest.raises(JsonMalformedError):
        decode_readings(body.replace(b"%b", b"9" * 5_000).replace(b"%r", rest))


def test_of_too_many_readings_or_values_none_is_looked_at_for_such_an_integer() -> None:
    huge = b"9" * 5_000
    values = b",".join(b'"m%d":1' % number for number in range(10_001))

    assert decode_readings(b"[%b1,%b]" % (b"1," * 10_000, huge)) == [None] * 10_002
    document = decode_readings(b'{"values":{%b,"a":%b}}' % (values, huge))
    assert read(document) == read({"values": dict.fromkeys(range(10_002))})


def test_too_many_plain_values_are_refused_as_a_whole() -> None:
    values = b",".join(b'"m%d":1' % number for number in range(10_001))

    assert read(decode_batch(b'{"values":{%s}}' % values)) == read({"values": dict.fromkeys(range(10_001))})


REJECTIONS = st.builds(Rejection, st.integers(0, 9), st.text(max_size=5), st.text(), st.none() | st.text(max_size=5))


@given(
    report=st.builds(IntakeReport, st.builds(Counts, *[st.integers(0, 10_000)] * 4), st.lists(REJECTIONS, max_size=3))
)
def test_a_report_is_written_as_its_schema_would_write_it(report: IntakeReport) -> None:
    assert msgspec.json.decode(encode_report(report)) == msgspec.json.decode(
        encode_json(IntakeReportAnswer().dump(report))
    )
