from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.telemetry.intervals import Grid, Interval, parse_timezone

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def starts(interval: str, timezone: str, first: str, last: str) -> list[datetime]:
    return Grid(Interval.parse(interval), ZoneInfo(timezone)).starts(utc(first), utc(last))


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("1s", timedelta(seconds=1)),
        ("90m", timedelta(minutes=90)),
        ("720h", timedelta(days=30)),
        ("30d", timedelta(days=30)),
        ("2592000s", timedelta(days=30)),
    ],
)
def test_reads_an_interval(text: str, length: timedelta) -> None:
    assert Interval.parse(text) == Interval(length, is_calendar=text.endswith("d"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "m",
        "0m",
        "-1m",
        "+1m",
        "01m",
        "1 m",
        "1M",
        "1w",
        "1.5h",
        "1m\n",
        "٣m",
        "31d",
        "721h",
        "2592001s",
        "9" * 5000 + "s",
    ],
)
def test_refuses_what_is_no_interval(text: str) -> None:
    with pytest.raises(ValueError, match="Must be"):
        Interval.parse(text)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mars/Olympus",
        "europe/berlin",
        "Europe",
        "../etc/passwd",
        "/etc/passwd",
        "a\x00b",
        "x" * 5000,
        "UTC+1",
        "posix/Europe/Berlin",
        "right/UTC",
    ],
)
def test_refuses_what_is_no_time_zone(name: str) -> None:
    with pytest.raises(ValueError, match="Not a time zone"):
        parse_timezone(name)


def test_fixed_intervals_are_counted_from_1970() -> None:
    assert starts("7h", "Europe/Berlin", "2026-11-20T00:00", "2026-11-20T12:00") == [
        utc("2026-11-19T21:00"),
        utc("2026-11-20T04:00"),
        utc("2026-11-20T11:00"),
    ]


@pytest.mark.parametrize(
    ("timezone", "days"),
    [
        # The clocks go forward: 23 hours. They go back: 25. On Lord Howe it is half an hour.
        ("Europe/Berlin", ["2026-03-28T23:00", "2026-03-29T22:00", "2026-03-30T22:00"]),
        ("Europe/Berlin", ["2026-10-24T22:00", "2026-10-25T23:00", "2026-10-26T23:00"]),
        ("Australia/Lord_Howe", ["2026-04-04T13:00", "2026-04-05T13:30", "2026-04-06T13:30"]),
        # They went forward at midnight: the day began at one o'clock.
        ("America/Sao_Paulo", ["2018-11-03T03:00", "2018-11-04T03:00", "2018-11-05T02:00"]),
        # They went back at a minute past midnight: the date came, left, and came again. The day began once.
        ("America/St_Johns", ["2010-11-06T02:30", "2010-11-07T02:30", "2010-11-08T03:30"]),
        # Samoa left the 30th of December 2011 out.
        ("Pacific/Apia", ["2011-12-29T10:00", "2011-12-30T10:00", "2011-12-31T10:00"]),
    ],
)
def test_days_are_those_of_the_calendar(timezone: str, days: list[str]) -> None:
    assert starts("1d", timezone, days[0], days[-1]) == [utc(day) for day in days]


def test_several_days_are_counted_from_1970_in_the_time_zone() -> None:
    thirty = starts("30d", "Europe/Berlin", "2026-01-15T00:00", "2026-04-30T00:00")

    local = [start.astimezone(ZoneInfo("Europe/Berlin")) for start in thirty]
    assert [moment.time() for moment in local] == [EPOCH.time()] * len(thirty)
    assert len(thirty) >= 4
    assert {(moment.date() - EPOCH.date()).days % 30 for moment in local} == {0}
    assert [day - before for before, day in pairwise(moment.date() for moment in local)] == [timedelta(30)] * (
        len(thirty) - 1
    )


MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
TIMEZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia", "America/Sao_Paulo"]
)
SPANS = st.timedeltas(timedelta(0), timedelta(days=90))


@given(first=MOMENTS, span=SPANS, timezone=TIMEZONES, text=st.sampled_from(["1d", "7d", "30d", "36h", "7h", "90m"]))
def test_intervals_lie_side_by_side_and_cover_the_range(
    first: datetime, span: timedelta, timezone: str, text: str
) -> None:
    grid = Grid(Interval.parse(text), ZoneInfo(timezone))
    last = first + span

    found = grid.starts(first, last)

    assert found == sorted(set(found))
    assert found[0] <= first
    assert found[-1] <= last
    assert len(found) == 1 or found[1] > first
    # The same intervals come out whatever range they are asked for.
    assert [grid.starts(start, start) for start in found] == [[start] for start in found]
    assert len(found) <= grid.most_between(first, last) + 1
