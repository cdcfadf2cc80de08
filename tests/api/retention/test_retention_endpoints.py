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
        "device_type": None,
        "metrics": None,
        "priority": 0,
        "raw_days": 400,
        "archive_days": None,
        "minute_rollup_days": None,
        "hour_rollup_days": None,
        "day_rollup_days": None,
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
    assert (await bench.call("DELETE", f"/api/v1{path}", by=founder)).refusal == (
        404,
        "telemetry.retention_class.not_found",
    )


async def test_the_trail_tells_who_said_so(bench: ApiBench, founder: Credentials) -> None:
    await put(bench, {"raw_days": 400}, by=founder)
    await put(bench, {"raw_days": 1}, by="operator")

    entries = (await bench.get("/audit?action=redefine_retention_class", by=founder)).json["items"]
    told = [(entry["target"], entry["outcome"], entry["details"]) for entry in entries]
    said = {"version": 2, "raw_days": 400, "archive_days": None, "priority": 0}
    assert any(
        target == "retention_class:default" and outcome == "done" and said.items() <= details.items()
        for target, outcome, details in told
    )
    assert [outcome for _, outcome, _ in told].count("refused") == 1


ALARMS = "/telemetry/retention-classes/alarms"
BODY = {
    "device_type": "pump",
    "metrics": "alarm.*",
    "priority": 5,
    "raw_days": 7,
    "minute_rollup_days": 30,
    "hour_rollup_days": 400,
}


async def test_a_class_is_made_shown_redefined_and_deleted(bench: ApiBench, founder: Credentials) -> None:
    made = await put(bench, BODY, path=ALARMS, by=founder)
    again = await put(
        bench, BODY | {"raw_days": 8}, path=ALARMS, by=founder, headers={"If-Match": made.headers["ETag"]}
    )
    shown = await bench.get(ALARMS, by=founder)
    deleted = await bench.call("DELETE", f"/api/v1{ALARMS}", by=founder, headers={"If-Match": '"1"'})
    deleted_then = await bench.call("DELETE", f"/api/v1{ALARMS}", by=founder, headers={"If-Match": '"2"'})

    assert (made.status, made.headers["Location"]) == (201, f"/api/v1{ALARMS}")
    assert {name: made.json[name] for name in BODY} == BODY
    assert made.json["day_rollup_days"] is None
    assert (again.status, again.json, shown.json["version"]) == (200, shown.json, 2)
    assert (deleted.status, deleted_then.status) == (412, 204)
    assert (await bench.get(ALARMS, by=founder)).status == 404


async def test_what_was_deleted_comes_back_under_its_name_with_what_is_of_it(
    bench: ApiBench, founder: Credentials
) -> None:
    await put(bench, BODY, path=ALARMS, by=founder)
    await bench.call("DELETE", f"/api/v1{ALARMS}", by=founder)

    back = await put(bench, BODY, path=ALARMS, by=founder)

    assert (back.status, back.json["version"]) == (200, 3)


async def test_classes_are_listed_page_by_page(bench: ApiBench, founder: Credentials) -> None:
    for name in ("b", "a", "gone"):
        await put(bench, BODY, path=f"/telemetry/retention-classes/{name}", by=founder)
    await bench.call("DELETE", "/api/v1/telemetry/retention-classes/gone", by=founder)

    first = (await bench.get("/telemetry/retention-classes?limit=2", by=founder)).json
    cursor = first["next_cursor"]
    rest = (await bench.get(f"/telemetry/retention-classes?limit=2&cursor={cursor}", by=founder)).json

    assert [each["name"] for each in first["items"] + rest["items"]] == ["a", "b", "default"]
    assert rest["next_cursor"] is None
    refused = await bench.get("/telemetry/retention-classes?cursor=x", by=founder)
    assert refused.refusal == (400, "request.cursor.malformed")
    assert (await bench.get("/telemetry/retention-classes", by="admin")).status == 403


async def test_the_default_class_stays_and_is_for_everything(bench: ApiBench, founder: Credentials) -> None:
    deleted = await bench.call("DELETE", f"/api/v1{PATH}", by=founder)
    narrowed = await put(bench, {"raw_days": 1, "metrics": "a"}, by=founder)

    assert deleted.refusal == (409, "telemetry.retention_class.default")
    assert narrowed.refusal == (422, "request.payload.invalid")


async def test_there_are_64_classes_at_the_most(bench: ApiBench, founder: Credentials) -> None:
    for number in range(63):
        assert (await put(bench, BODY, path=f"/telemetry/retention-classes/c{number}", by=founder)).status == 201

    refused = await put(bench, BODY, path=ALARMS, by=founder)

    assert refused.refusal == (409, "telemetry.retention_class.too_many")


@pytest.mark.parametrize("role", ["viewer", "engineer", "operator", "admin"])
async def test_an_organisation_makes_and_deletes_no_class(bench: ApiBench, founder: Credentials, role: str) -> None:
    await put(bench, BODY, path=ALARMS, by=founder)

    assert (await put(bench, BODY, path="/telemetry/retention-classes/own", by=role)).status == 403
    assert (await bench.call("DELETE", f"/api/v1{ALARMS}", by=role)).status == 403
    assert (await bench.get(ALARMS, by=founder)).json["version"] == 1


@pytest.mark.parametrize(
    "said",
    [
        {"metrics": ""},
        {"metrics": "[a-z]"},
        {"metrics": "(a+)+$"},
        {"metrics": "a\n"},
        {"metrics": "a" * 129},
        {"metrics": "\u0000"},
        {"metrics": 5},
        {"device_type": "Pump"},
        {"device_type": "*"},
        {"priority": -1},
        {"priority": 2**31},
        {"priority": 1.5},
        {"raw_days": 31},
        {"minute_rollup_days": 401},
        {"hour_rollup_days": 0},
        {"day_rollup_days": 399},
        {"raw_days": None},
        {"minute_rollup_days": None},
        {"number": 3},
        {"archive_days": 7},
    ],
)
async def test_what_cannot_be_said_of_a_class_is_refused(
    bench: ApiBench, founder: Credentials, said: dict[str, Any]
) -> None:
    assert (await put(bench, BODY | said, path=ALARMS, by=founder)).refusal == (422, "request.payload.invalid")
    assert (await bench.get(ALARMS, by=founder)).status == 404


@pytest.mark.parametrize("name", ["Alarms", "a%00", "%F0%9F%92%A9", "x" * 64, "-a"])
async def test_a_class_has_a_plain_name(bench: ApiBench, founder: Credentials, name: str) -> None:
    refused = await put(bench, BODY, path=f"/telemetry/retention-classes/{name}", by=founder)

    assert refused.refusal == (422, "request.payload.invalid")
