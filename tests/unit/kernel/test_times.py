from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iotsphere.kernel.times import format_time, format_times, parse_time

AWARE = st.datetimes(
    min_value=datetime(1, 1, 3),  # noqa: DTZ001  # the zone is the strategy's
    max_value=datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T17:23:00Z", datetime(2026, 11, 20, 17, 23, tzinfo=UTC)),
        ("2026-11-20t17:23:00z", datetime(2026, 11, 20, 17, 23, tzinfo=UTC)),
        ("2026-11-20 17:23:00+02:00", datetime(2026, 11, 20, 15, 23, tzinfo=UTC)),
        ("2026-11-20T17:23:00-00:30", datetime(2026, 11, 20, 17, 53, tzinfo=UTC)),
        ("2026-11-20T17:23:00.1Z", datetime(2026, 11, 20, 17, 23, 0, 100_000, tzinfo=UTC)),
        ("2026-11-20T17:23:00.123456999Z", datetime(2026, 11, 20, 17, 23, 0, 123_456, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2026-11-20T23:59:59+23:59", datetime(2026, 11, 20, 0, 0, 59, tzinfo=UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_795_195_380_123, datetime(2026, 11, 20, 17, 23, 0, 123_000, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        (-62_135_596_800_000, datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_reads_times_as_people_and_programs_write_them(text: str | int, moment: datetime) -> None:
    assert parse_time(text) == moment
    assert parse_time(text).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "2026-11-20",
        "2026-11-20T17:23:00",
        "2026-11-20T17:23Z",
        "2026-11-20T17:23:00.Z",
        "2026-11-20T17:23:00,5Z",
        "20261120T172300Z",
        "2026-W47-5T17:23:00Z",
        "2026-11-20T17:23:00+0200",
        "2026-11-20T17:23:00+02",
        "2026-11-20T17:23:00+02:60",
        "2026-11-20T17:23:00+24:00",
        "2026-11-20T24:00:00Z",
        "2026-11-20T23:59:60Z",
        "2026-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "٢٠٢٦-11-20T17:23:00Z",
        " 2026-11-20T17:23:00Z",
        "2026-11-20T17:23:00Z\n",
        "2026-11-20T17:23:00Z\0",
        "1795195380123",
        10**30,
        -(10**30),
        10**4000,
        1795195380.5,
        float("nan"),
        True,
        None,
        [],
        {},
    ],
)
def test_refuses_everything_else_with_a_sentence(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^(Not a|No such).*\.$"):
        parse_time(value)


@given(
    st.text()
    | st.integers()
    | st.floats()
    | st.none()
    | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")
)
def test_whatever_is_given_is_a_time_in_utc_or_a_value_error(value: object) -> None:
    with suppress(ValueError):
        assert parse_time(value).utcoffset() == timedelta(0)


@given(AWARE)
def test_what_is_written_is_read_back_to_the_microsecond(moment: datetime) -> None:
    written = format_time(moment)

    assert len(written) == len("2026-11-20T17:23:00.123456Z")
    assert written.endswith("Z")
    assert parse_time(written) == moment


@given(st.lists(AWARE | AWARE.map(lambda moment: moment.astimezone(UTC).replace(microsecond=0))))
@example([datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)])
@example([datetime(2026, 11, 20, 17, 23, 0, 100_000, tzinfo=UTC)])
def test_many_times_are_written_as_each_is_by_itself(moments: list[datetime]) -> None:
    assert format_times(moments) == list(map(format_time, moments))
