from typing import Any

import pytest
from dependency_injector import providers

from iotsphere.kernel.actor import Role
from tests.api.bench import Answer, ApiBench, Credentials
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

PATH = "/telemetry/retention-classes/default"


@pytest.fixture
def founder(bench: ApiBench) -> Credentials:
    data = TelemetryData()
    bench.container.stores.telemetry_unit_of_work.override(providers.Factory(InMemoryTelemetryUnitOfWork, data))
    return bench.log_in(bench.add_user(bench.ours, role=Role.ADMIN, is_platform_administrator=True))


async def put(bench: ApiBench, body: Any, *, path: str = PATH, **options: Any) -> Answer:
    return await bench.call("PUT", f"/api/v1{path}", json=body, **options)


async def test_readings_are_kept_for_ever_until_the_platform_administrator_says_otherwise(
    bench: ApiBench, founder: Credentials
) -> None:
    at_first = await bench.get(PATH, by=founder)
    changed = await put(bench, {"raw_days": 400}, by=founder)
    again = await bench.get(PATH, by=founder)

    assert at_first.status == 200
    assert at_first.json["raw_days"] is None
    assert (changed.status, changed.headers["ETag"]) == (200, '"2"')
    assert changed.json == again.json
    assert changed.json == {
        "name": "default",
        "raw_days": 400,
        "archive_days": None,
        "dropped_before": "2000-01-01T00:00:00.000000Z",
        "changed_at": changed.json["changed_at"],
        "version": 2,
    }


async def test_a_change_of_what_has_changed_meanwhile_is_refused(bench: ApiBench, founder: Credentials) -> None:
    await put(bench, {"raw_days": 400}, by=founder)

    refused = await put(bench, {"raw_days": 30}, by=founder, headers={"If-Match": '"1"'})

    assert refused.refusal == (412, "request.precondition.failed")
    assert (await bench.get(PATH, by=founder)).json["raw_days"] == 400


@pytest.mark.parametrize("role", ["viewer", "engineer", "operator", "admin"])
async def test_an_organisation_does_not_decide_for_all(bench: ApiBench, founder: Credentials, role: str) -> None:
    assert (await put(bench, {"raw_days": 1}, by=role)).status == 403
    assert (await bench.get(PATH, by=role)).status == 403
    assert (await bench.get(PATH, by=founder)).json["raw_days"] is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"raw_days": 0},
        {"raw_days": -1},
        {"raw_days": 36_501},
        {"raw_days": 1.5},
        {"raw_days": "30"},
        {"raw_days": True},
        {"raw_days": 2**70},
        {"raw_days": 30, "name": "other"},
        {"raw_days": 30, "archive_days": 30},
        {"raw_days": None, "archive_days": 30},
        {"raw_days": 30, "archive_days": 36_501},
    ],
)
async def test_what_is_no_age_is_refused(bench: ApiBench, founder: Credentials, body: dict[str, Any]) -> None:
    assert (await put(bench, body, by=founder)).refusal == (422, "request.payload.invalid")


@pytest.mark.parametrize("name", ["other", "a%00", "%F0%9F%92%A9", "x" * 300])
async def test_there_is_no_other_class(bench: ApiBench, founder: Credentials, name: str) -> None:
    path = f"/telemetry/retention-classes/{name}"

    assert (await bench.get(path, by=founder)).refusal == (404, "telemetry.retention_class.not_found")
    assert (await put(bench, {"raw_days": 1}, path=path, by=founder)).refusal == (
        404,
        "telemetry.retention_class.not_found",
    )


async def test_the_trail_tells_who_said_so(bench: ApiBench, founder: Credentials) -> None:
    await put(bench, {"raw_days": 400}, by=founder)
    await put(bench, {"raw_days": 1}, by="operator")

    entries = (await bench.get("/audit?action=redefine_retention_class", by=founder)).json["items"]
    told = [(entry["target"], entry["outcome"], entry["details"]) for entry in entries]
    assert ("retention_class:default", "done", {"version": 2, "raw_days": 400, "archive_days": None}) in told
    assert [outcome for _, outcome, _ in told].count("refused") == 1
