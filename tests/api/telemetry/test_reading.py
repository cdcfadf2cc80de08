from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.kernel.times import format_time
from iotsphere.telemetry.archived import ArchivedDay, ArchiveFile
from iotsphere.telemetry.model import EARLIEST
from iotsphere.telemetry.retention import DEFAULT_CLASS, RetentionClass
from tests.api.telemetry.conftest import NOW, Api

START = datetime.fromisoformat("2026-11-20T00:00:00Z")


def at(minutes: float) -> str:
    return format_time(START + timedelta(minutes=minutes))


@pytest.fixture
async def readings(api: Api) -> None:
    await api.send(
        [{"ts": at(minute), "values": {"a": minute, "b": -minute}} for minute in range(10)]
        + [{"ts": at(2.5), "values": {"mode": "heat"}}]
    )


async def test_reads_points_of_every_metric(api: Api, readings: None) -> None:
    found = await api.get(start=at(2), end=at(4))

    assert found == {
        "device_id": str(api.device_id),
        "series": [
            {"metric": "a", "points": [[at(2), 2], [at(3), 3]]},
            {"metric": "b", "points": [[at(2), -2], [at(3), -3]]},
            {"metric": "mode", "points": [[at(2.5), "heat"]]},
        ],
        "next_cursor": None,
    }


async def test_reads_the_metrics_asked_for_in_the_order_asked_for(api: Api, readings: None) -> None:
    found = await api.get(metrics="mode,unknown,a,mode", order="desc", limit=2, start="1795132800000")

    assert found["series"] == [
        {"metric": "mode", "points": []},
        {"metric": "unknown", "points": []},
        {"metric": "a", "points": [[at(9), 9], [at(8), 8]]},
    ]
    assert found["next_cursor"]


@pytest.mark.parametrize("query", [{}, {"interval": "1m", "aggregates": "first", "fill": "previous"}])
async def test_pages_lead_through_all_points(api: Api, readings: None, query: dict[str, str]) -> None:
    whole = await api.get(**query)

    seen: dict[str, list[Any]] = {}
    cursor: dict[str, str] = {}
    for _ in range(8):
        page = await api.get(limit=4, **query, **cursor)
        for series in page["series"]:
            seen.setdefault(series["metric"], []).extend(series["points"])
        cursor = {"cursor": page["next_cursor"]}
        if page["next_cursor"] is None:
            break

    assert {series["metric"]: series["points"] for series in whole["series"]} == seen
    assert whole["next_cursor"] is None


async def test_figures_are_those_asked_for_and_nothing_else(api: Api, readings: None) -> None:
    found = await api.get(metrics="a,mode", interval="5m", aggregates="count,avg,stddev", start=at(0), end=at(20))

    assert found["series"] == [
        {
            "metric": "a",
            "points": [
                {"ts": at(0), "count": 5, "avg": 2, "stddev": pytest.approx(1.5811388300841898)},
                {"ts": at(5), "count": 5, "avg": 7, "stddev": pytest.approx(1.5811388300841898)},
            ],
        },
        {"metric": "mode", "points": [{"ts": at(0), "count": 1, "avg": None, "stddev": None}]},
    ]


async def test_the_average_is_the_figure_without_a_choice(api: Api, readings: None) -> None:
    found = await api.get(metrics="a", interval="1d")

    assert found["series"][0]["points"] == [{"ts": at(0), "avg": 4.5}]


async def test_gaps_are_filled(api: Api) -> None:
    await api.send([{"ts": at(0), "values": {"a": 1}}, {"ts": at(3), "values": {"a": 4}}])
    query = {"interval": "1m", "aggregates": "avg,count", "end": at(5), "start": at(0)}

    filled = {
        fill: [tuple(point.values())[1:] for point in (await api.get(fill=fill, **query))["series"][0]["points"]]
        for fill in ("none", "null", "previous", "linear")
    }

    assert filled == {
        "none": [(1, 1), (4, 1)],
        "null": [(1, 1), (None, 0), (None, 0), (4, 1), (None, 0)],
        "previous": [(1, 1), (1, 0), (1, 0), (4, 1), (4, 0)],
        "linear": [(1, 1), (2, 0), (3, 0), (4, 1), (None, 0)],
    }


async def test_days_are_those_of_the_time_zone(api: Api, readings: None) -> None:
    found = await api.get(metrics="a", interval="1d", aggregates="count", timezone="Europe/Berlin")

    assert found["series"][0]["points"] == [{"ts": "2026-11-19T23:00:00.000000Z", "count": 10}]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"metrics": ""}, "metrics"),
        ({"metrics": "a,,b"}, "metrics"),
        ({"metrics": "a b"}, "metrics"),
        ({"metrics": ",".join(f"m{number}" for number in range(101))}, "metrics"),
        ({"start": "2026-11-20T00:00:00"}, "start"),
        ({"start": "yesterday"}, "start"),
        ({"start": "0001-01-01T00:00:00+14:00"}, "start"),
        ({"end": "9" * 30}, "end"),
        ({"start": at(1), "end": at(0)}, "end"),
        ({"order": "up"}, "order"),
        ({"limit": "0"}, "limit"),
        ({"limit": "50001"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"interval": "0s"}, "interval"),
        ({"interval": "31d"}, "interval"),
        ({"interval": "1w"}, "interval"),
        ({"interval": ""}, "interval"),
        ({"interval": "1h", "aggregates": ""}, "aggregates"),
        ({"interval": "1h", "aggregates": "avg,median"}, "aggregates"),
        ({"interval": "1h", "fill": "zero"}, "fill"),
        ({"interval": "1d", "timezone": "Mars/Olympus"}, "timezone"),
        ({"interval": "1d", "timezone": "../../etc/passwd"}, "timezone"),
        ({"interval": "1d", "timezone": ""}, "timezone"),
        ({"aggregates": "avg"}, "aggregates"),
        ({"fill": "none"}, "fill"),
        ({"timezone": "UTC"}, "timezone"),
        ({"max_points": "2"}, "max_points"),
        ({"max_points": "50001"}, "max_points"),
        ({"max_points": "x"}, "max_points"),
        ({"max_points": "5", "interval": "1h"}, "max_points"),
        ({"unknown": "1"}, "unknown"),
    ],
)
async def test_a_bad_parameter_is_refused_by_name(api: Api, query: dict[str, str], field: str) -> None:
    problem = await api.refusal("GET", status=422, query_string=query)

    assert list(problem["errors"]) == [field]


@pytest.mark.parametrize("path", ["", "/ledger"])
@pytest.mark.parametrize("cursor", ["", "x", "x" * 2000, "WzFd!", "bnVsbA", "🙂"])
async def test_a_made_up_cursor_is_refused(api: Api, path: str, cursor: str) -> None:
    problem = await api.refusal("GET", path, status=400, query_string={"cursor": cursor})

    assert problem["code"] == "request.cursor.malformed"


@pytest.mark.parametrize(
    "other", [{"metrics": "a"}, {"start": at(1)}, {"order": "desc"}, {"interval": "1m"}, {"max_points": 5}]
)
async def test_a_cursor_of_another_query_is_refused(api: Api, readings: None, other: dict[str, Any]) -> None:
    cursor = (await api.get(limit=4))["next_cursor"]

    assert (await api.get(limit=3, cursor=cursor))["series"][0]["points"]
    problem = await api.refusal("GET", status=400, query_string={"cursor": cursor, **other})

    assert problem["code"] == "request.cursor.malformed"


async def test_too_many_intervals_are_refused(api: Api, readings: None) -> None:
    query = {"interval": "1s", "fill": "null", "start": "2025-01-01T00:00:00Z", "end": at(1)}

    problem = await api.refusal("GET", status=422, query_string=query)

    assert problem["code"] == "telemetry.query.too_many_intervals"


@pytest.mark.parametrize(("start", "end"), [("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"), (at(0), at(0))])
@pytest.mark.parametrize("query", [{}, {"interval": "30d", "timezone": "Pacific/Apia"}, {"interval": "1s"}])
async def test_any_range_can_be_asked_for(
    api: Api, readings: None, start: str, end: str, query: dict[str, str]
) -> None:
    found = await api.get(start=start, end=end, metrics="a", **query)

    assert bool(found["series"][0]["points"]) == (start != end)


async def test_shows_the_latest_of_the_metrics_asked_for(api: Api, readings: None) -> None:
    assert await api.get("/latest", metrics="a,mode,unknown") == {
        "values": {"a": {"ts": at(9), "value": 9}, "mode": {"ts": at(2.5), "value": "heat"}}
    }
    problem = await api.refusal("GET", "/latest", status=422, query_string={"metrics": "a b"})
    assert list(problem["errors"]) == ["metrics"]


async def test_the_ledger_counts_every_value_that_arrived(api: Api, readings: None) -> None:
    await api.send({"ts": at(0), "values": {"a": 0, "b": 5, "c": None, "d": 1}})

    assert await api.get("/ledger", start="2026-11-20T17:00:00Z", end="2026-11-20T18:00:00Z") == {
        "items": [
            {
                "ts": "2026-11-20T17:00:00.000000Z",
                "received": 25,
                "stored": 22,
                "duplicates": 1,
                "conflicts": 1,
                "rejected": 1,
            }
        ],
        "next_cursor": None,
    }


@pytest.mark.parametrize(
    ("query", "field"),
    [({"interval": "30s"}, "interval"), ({"interval": "x"}, "interval"), ({"metrics": "a"}, "metrics")],
)
async def test_a_bad_parameter_of_the_ledger_is_refused_by_name(api: Api, query: dict[str, str], field: str) -> None:
    problem = await api.refusal("GET", "/ledger", status=422, query_string=query)

    assert list(problem["errors"]) == [field]


@pytest.mark.parametrize("path", ["", "/latest", "/ledger"])
async def test_viewers_and_the_device_itself_may_read(api: Api, path: str) -> None:
    for by in ("viewer", None):
        assert (await api.call("GET", path, by=by)).status_code == 200
        await api.refusal("GET", path, status=404, by=by, device_id=uuid4())


async def test_a_page_of_intervals_holds_a_thousand_as_one_of_points_does(api: Api) -> None:
    start = 1_700_000_000_000
    await api.send([{"ts": start + second * 1000, "values": {"a": second}} for second in range(1001)])

    for query in ({}, {"interval": "1s"}):
        first = await api.get(**query)
        second = await api.get(**query, cursor=first["next_cursor"])

        assert len(first["series"][0]["points"]) == 1000
        assert len(second["series"][0]["points"]) == 1
        assert second["next_cursor"] is None


async def test_a_series_tells_the_unit_of_its_metric_where_there_is_one(api: Api) -> None:
    await api.send({"ts": at(0), "values": {"flow": 1, "a": 2}})

    for query in ({}, {"interval": "1m"}, {"max_points": 3}):
        units = {series["metric"]: series.get("unit", "none") for series in (await api.get(**query))["series"]}
        assert units == {"flow": "l/min", "a": "none"}


async def test_few_points_show_the_curve_of_many(api: Api) -> None:
    values = [float(minute == 37) for minute in range(100)]
    await api.send([{"ts": at(minute), "values": {"a": value, "b": minute}} for minute, value in enumerate(values)])
    await api.send([{"ts": at(minute), "values": {"few": minute, "mode": "heat"}} for minute in range(2)])

    found = {series["metric"]: series["points"] for series in (await api.get(max_points=10))["series"]}

    assert {metric: len(points) for metric, points in found.items()} == {"a": 10, "b": 10, "few": 2}
    assert [at(37), 1] in found["a"]
    assert (found["b"][0], found["b"][-1]) == ([at(0), 0], [at(99), 99])
    backwards = (await api.get(max_points=10, metrics="mode,a", order="desc"))["series"]
    assert backwards == [{"metric": "mode", "points": []}, {"metric": "a", "points": found["a"][::-1]}]


async def test_a_curve_is_whole_without_a_limit_and_has_pages_with_one(api: Api) -> None:
    await api.send([{"ts": at(minute), "values": {"a": minute}} for minute in range(3000)])

    whole = await api.get(max_points=1500)
    first = await api.get(max_points=1500, limit=1000)
    second = await api.get(max_points=1500, limit=1000, cursor=first["next_cursor"])

    assert whole["next_cursor"] is second["next_cursor"] is None
    assert first["series"][0]["points"] + second["series"][0]["points"] == whole["series"][0]["points"]
    assert len(whole["series"][0]["points"]) == 1500


async def test_more_points_than_anybody_can_look_at_are_refused(api: Api) -> None:
    values = {f"m{number}": 1 for number in range(5)}
    for begin in range(0, 10_100, 2000):
        await api.send([{"ts": at(-minute), "values": values} for minute in range(begin, begin + 2000)])

    problem = await api.refusal("GET", status=422, query_string={"max_points": "10001"})

    assert problem["code"] == "telemetry.query.too_many_points"
    assert list(problem["errors"]) == ["max_points"]


async def test_what_lies_in_the_archive_alone_is_named(api: Api) -> None:
    august = datetime(2026, 8, 1, tzinfo=UTC)
    api.data.classes[DEFAULT_CLASS] = RetentionClass(
        DEFAULT_CLASS, changed_at=EARLIEST, dropped_before=august + timedelta(days=31)
    )
    for number in (3, 4, 9):
        day = date(2026, 8, number)
        api.data.archived[day, 0] = ArchivedDay(day, ArchiveFile(1, 1, ""), archived_at=NOW)
        # The first is that of others' readings.
        api.data.archived_devices[day, 0] = frozenset({api.device_id} if number > 3 else ())

    named = await api.get(start="2026-08-02T12:00:00Z", end="2026-09-10T00:00:00Z", interval="1d")
    behind = await api.get(start="2026-09-01T00:00:00Z")

    assert named["archived"] == [
        {"start": "2026-08-04T00:00:00.000000Z", "end": "2026-08-05T00:00:00.000000Z"},
        {"start": "2026-08-09T00:00:00.000000Z", "end": "2026-08-10T00:00:00.000000Z"},
    ]
    assert "archived" not in behind
