from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.kernel.times import format_time
from tests.api.telemetry.conftest import Api

START = datetime.fromisoformat("2026-11-20T00:00:00Z")


def at(minutes: float) -> str:
    return format_time(START + timedelta(minutes=minutes))


@pytest.fixture
async def readings(api: Api) -> None:
    await api.send([{"ts": at(minute), "values": {"a": minute, "mode": "heat"}} for minute in range(10)])


async def remove(api: Api, **query: Any) -> Any:
    answer = await api.call("DELETE", by="admin", query_string=query)
    assert answer.status_code == 200, await answer.get_data()
    return await answer.get_json()


async def test_points_of_a_range_are_deleted_and_counted(api: Api, readings: None) -> None:
    assert await remove(api, start=at(2), end=at(4)) == {"deleted": 4}
    assert await remove(api, start=at(2), end=at(4)) == {"deleted": 0}

    (numbers, _) = (await api.get())["series"]
    assert [value for _, value in numbers["points"]] == [0, 1, 4, 5, 6, 7, 8, 9]


async def test_single_metrics_are_deleted(api: Api, readings: None) -> None:
    assert await remove(api, metrics="a,unknown", end=at(9)) == {"deleted": 9}

    assert [len(series["points"]) for series in (await api.get())["series"]] == [1, 10]


async def test_without_a_range_everything_goes_but_the_ledger(api: Api, readings: None) -> None:
    assert await remove(api) == {"deleted": 20}

    assert (await api.get())["series"] == []
    assert await api.get("/latest") == {"values": {}}
    (entry,) = (await api.get("/ledger"))["items"]
    assert entry["stored"] == 20


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"metrics": ""}, "metrics"),
        ({"metrics": "a b"}, "metrics"),
        ({"start": "yesterday"}, "start"),
        ({"start": at(1), "end": at(0)}, "end"),
        ({"limit": "1"}, "limit"),
        ({"cursor": "x"}, "cursor"),
    ],
)
async def test_a_bad_parameter_is_refused_and_nothing_deleted(
    api: Api, readings: None, query: dict[str, str], field: str
) -> None:
    problem = await api.refusal("DELETE", by="admin", status=422, query_string=query)

    assert list(problem["errors"]) == [field]
    assert len((await api.get())["series"][0]["points"]) == 10


async def test_an_administrator_alone_may(api: Api, readings: None) -> None:
    for by in ("operator", None):
        await api.refusal("DELETE", by=by, status=403)
    await api.refusal("DELETE", by="admin", status=404, device_id=uuid4())

    assert len((await api.get())["series"][0]["points"]) == 10
