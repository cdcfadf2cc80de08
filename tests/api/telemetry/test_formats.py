"""Answers as tables: CSV and Arrow."""

import csv
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from iotsphere.api.telemetry.endpoints import POINTS_AT_ONCE
from iotsphere.kernel.times import format_time
from iotsphere.telemetry.archived import ArchivedDay, ArchiveFile
from iotsphere.telemetry.retention import DEFAULT_CLASS
from tests.api.telemetry.conftest import Api

START = datetime.fromisoformat("2026-11-20T00:00:00Z")
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"


def moment(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def at(minutes: float) -> str:
    return format_time(moment(minutes))


@pytest.fixture
async def readings(api: Api) -> None:
    await api.send([{"ts": at(minute), "values": {"flow": minute, "mode": "heat"}} for minute in range(3)])


async def rows(api: Api, path: str = "", **query: Any) -> list[list[str]]:
    answer = await api.call("GET", path, by="viewer", query_string=query, headers={"Accept": CSV})
    assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
    assert answer.headers["Vary"] == "Accept"
    text = (await answer.get_data(as_text=False)).decode()
    assert text.count("\r\n") == text.count("\n")
    return list(csv.reader(text.splitlines()))


async def table(api: Api, path: str = "", **query: Any) -> Any:
    answer = await api.call("GET", path, by="viewer", query_string=query, headers={"Accept": ARROW})
    assert (answer.status_code, answer.content_type) == (200, ARROW)
    body = await answer.get_data(as_text=False)
    assert len(body) % 8 == 0
    return pa.ipc.open_stream(body).read_all()


async def test_points_are_rows_of_csv(api: Api, readings: None) -> None:
    assert await rows(api, start=at(1)) == [
        ["ts", "metric", "value", "other"],
        [at(1), "flow", "1.0", ""],
        [at(1), "mode", "", '"heat"'],
        [at(2), "flow", "2.0", ""],
        [at(2), "mode", "", '"heat"'],
    ]
    assert await rows(api, metrics="unknown") == [["ts", "metric", "value", "other"]]


async def test_points_are_rows_of_arrow_with_kinds_and_units(api: Api, readings: None) -> None:
    found = await table(api, order="desc", metrics="flow,mode", start=at(2))

    assert found.schema.names == ["ts", "metric", "value", "other"]
    assert found.schema.types == [pa.timestamp("us", tz="UTC"), pa.string(), pa.float64(), pa.string()]
    assert found.schema.metadata == {b"units": b'{"flow":"l/min","power":"kW"}'}
    assert found.to_pylist() == [
        {"ts": moment(2), "metric": "mode", "value": None, "other": '"heat"'},
        {"ts": moment(2), "metric": "flow", "value": 2.0, "other": None},
    ]
    assert (await table(api, metrics="unknown")).num_rows == 0


@pytest.mark.parametrize(
    ("value", "cells"),
    [
        (-1.5, ["-1.5", ""]),
        (1e300, ["1e+300", ""]),
        (2**53, ["9007199254740992.0", ""]),
        (True, ["", "true"]),
        ("1.5", ["", '"1.5"']),
        ("=1+1", ["", '"=1+1"']),
        ('a "b", ü', ["", '"a \\"b\\", ü"']),
        ({"n": [1, "x"]}, ["", '{"n":[1,"x"]}']),
        ([], ["", "[]"]),
    ],
)
async def test_a_text_is_never_taken_for_a_number_or_a_formula(api: Api, value: Any, cells: list[str]) -> None:
    await api.send({"ts": at(0), "values": {"a": value}})

    assert await rows(api) == [["ts", "metric", "value", "other"], [at(0), "a", *cells]]
    (row,) = (await table(api)).to_pylist()
    assert [row["value"], row["other"]] == [float(cells[0]) if cells[0] else None, cells[1] or None]


async def test_figures_are_rows_with_a_column_each(api: Api, readings: None) -> None:
    query = {"interval": "2m", "aggregates": "count,avg,stddev", "start": at(0), "end": at(4)}

    assert await rows(api, **query) == [
        ["ts", "metric", "count", "avg", "stddev"],
        [at(0), "flow", "2", "0.5", "0.7071067811865476"],
        [at(0), "mode", "2", "", ""],
        [at(2), "flow", "1", "2.0", ""],
        [at(2), "mode", "1", "", ""],
    ]
    found = await table(api, **query)
    assert found.schema.types == [pa.timestamp("us", tz="UTC"), pa.string(), pa.int64(), pa.float64(), pa.float64()]
    assert found.num_rows == 4


async def test_the_latest_and_the_ledger_are_tables_too(api: Api, readings: None) -> None:
    assert await rows(api, "/latest", metrics="flow") == [
        ["ts", "metric", "value", "other"],
        [at(2), "flow", "2.0", ""],
    ]
    assert (await table(api, "/latest")).column("other").to_pylist() == [None, '"heat"']

    hour = "2026-11-20T17:00:00.000000Z"
    assert await rows(api, "/ledger") == [
        ["ts", "received", "stored", "duplicates", "conflicts", "rejected"],
        [hour, "6", "6", "0", "0", "0"],
    ]
    assert (await table(api, "/ledger")).column("stored").to_pylist() == [6]


async def test_without_a_limit_a_table_holds_everything(api: Api) -> None:
    count = 2 * POINTS_AT_ONCE + 1
    for begin in range(0, count, 10_000):
        seconds = range(begin, min(begin + 10_000, count))
        await api.send([{"ts": 1_700_000_000_000 + second * 1000, "values": {"a": second}} for second in seconds])

    numbers = (await table(api)).column("value").to_pylist()
    assert numbers == list(map(float, range(count)))
    assert [float(row[2]) for row in (await rows(api))[1:]] == numbers
    # Figures and samples have no default limit there either.
    assert (await table(api, interval="1s", aggregates="count")).num_rows == count
    assert (await table(api, max_points=2000)).num_rows == 2000


@pytest.mark.parametrize("path", ["", "/ledger"])
async def test_with_a_limit_a_header_says_how_it_goes_on(api: Api, path: str) -> None:
    await api.send([{"ts": at(minute), "values": {"a": minute}} for minute in range(3)])
    seen: list[bytes] = []
    cursor: dict[str, str] = {}
    for _ in range(4):
        query = {"limit": "2", **cursor} | ({"interval": "1m"} if path else {})
        answer = await api.call("GET", path, query_string=query, headers={"Accept": CSV})
        seen += (await answer.get_data(as_text=False)).splitlines()[1:]
        if "X-Next-Cursor" not in answer.headers:
            break
        cursor = {"cursor": answer.headers["X-Next-Cursor"]}

    assert len(seen) == (1 if path else 3)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("image/png", "application/json"),
        ("text/*", CSV),
        ("application/json;q=0.5, text/csv", CSV),
        (f"text/csv;q=0.1, {ARROW};q=0.2", ARROW),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        (";;;,,q=x;\x7f/", "application/json"),
        ("text/csv;q=nan", "application/json"),
        ("a/b," * 2000, "application/json"),
    ],
)
@pytest.mark.parametrize("path", ["", "/latest", "/ledger"])
async def test_a_client_gets_what_it_likes_best_and_else_json(
    api: Api, readings: None, path: str, accept: str, media_type: str
) -> None:
    answer = await api.call("GET", path, headers={"Accept": accept})

    assert answer.status_code == 200
    assert answer.mimetype == media_type
    assert answer.headers["Vary"] == "Accept"


@pytest.mark.parametrize("accept", [CSV, ARROW])
async def test_what_is_refused_is_a_problem_whatever_the_client_likes(api: Api, accept: str) -> None:
    for query, status in (({"cursor": "x"}, 400), ({"limit": "0"}, 422), ({"interval": "x"}, 422)):
        await api.refusal("GET", status=status, query_string=query, headers={"Accept": accept})


@pytest.mark.parametrize("accept", [CSV, ARROW])
async def test_a_look_at_the_headers_costs_no_body(api: Api, readings: None, accept: str) -> None:
    for path in ("", "/latest", "/ledger"):
        answer = await api.call("HEAD", path, headers={"Accept": accept})
        assert (answer.status_code, answer.mimetype) == (200, accept)


@pytest.mark.parametrize("accepted", [CSV, ARROW])
async def test_a_table_tells_in_a_header_what_lies_in_the_archive_alone(api: Api, accepted: str) -> None:
    august = datetime.fromisoformat("2026-08-01T00:00:00Z")
    api.data.classes[DEFAULT_CLASS] = replace(
        api.data.classes[DEFAULT_CLASS], dropped_before=august + timedelta(days=31)
    )
    api.data.archived = {
        (day, 0): ArchivedDay(day, ArchiveFile(1, 1, ""), archived_at=START)
        for day in (date(2025, 1, 1) + timedelta(days=2 * number) for number in range(60))
    }
    api.data.archived_devices = dict.fromkeys(api.data.archived, frozenset({api.device_id}))

    async def header(**query: str) -> str | None:
        answer = await api.call("GET", by="viewer", query_string=query, headers={"Accept": accepted})
        await answer.get_data(as_text=False)
        return answer.headers.get("X-Archived")

    assert await header(start="2025-01-03T12:00:00Z", end="2025-01-06T00:00:00Z", interval="1h") == (
        "2025-01-03T00:00:00.000000Z/2025-01-04T00:00:00.000000Z, "
        "2025-01-05T00:00:00.000000Z/2025-01-06T00:00:00.000000Z"
    )
    assert await header(start="2026-08-31T00:00:00Z") is None
    every = (await header() or "").split(", ")
    assert len(every) == 51
    assert every[-1] == "..."
