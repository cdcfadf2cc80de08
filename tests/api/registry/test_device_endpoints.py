from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.kernel.clock import utc_now
from iotsphere.registry.model import DeviceStatus
from tests.api.bench import ApiBench
from tests.factories.registry import FIRST_DAY

NEW = {"serial_number": "SN-1", "device_type": "water-heater"}


async def test_a_device_is_registered_shown_and_listed(bench: ApiBench) -> None:
    sent = NEW | {
        "name": "Boiler 😀",
        "labels": {"site": "north", "k:v": ""},
        "asset": {
            "asset_type": "pump",
            "name": "The pump itself",
            "properties": {"power": 1.5, "list": []},
            "capabilities": [{"name": "dosing"}],
        },
    }

    registered = await bench.post("/devices", sent, by="operator")

    device = registered.json
    assert registered.status == 201
    assert registered.headers["Location"] == f"/api/v1/devices/{device['id']}"
    assert registered.headers["ETag"] == '"1"'
    assert device == {
        "id": device["id"],
        "serial_number": "SN-1",
        "device_type": "water-heater",
        "name": "Boiler 😀",
        "labels": {"site": "north", "k:v": ""},
        "status": "provisioned",
        "connectivity": "unknown",
        "last_seen_at": None,
        "created_at": device["created_at"],
        "updated_at": device["created_at"],
        "version": 1,
    }
    assert device["created_at"].endswith("Z")
    shown = await bench.get(f"/devices/{device['id']}", by="viewer")
    assert (shown.status, shown.json, shown.headers["ETag"]) == (200, device, '"1"')
    listed = await bench.get("/devices", by="viewer")
    assert (listed.status, listed.json) == (200, {"items": [device], "next_cursor": None})
    [asset] = bench.assets.values()
    assert (str(asset.device_id), asset.name, asset.properties) == (
        device["id"],
        "The pump itself",
        {"power": 1.5, "list": []},
    )


async def test_a_device_needs_no_more_than_a_serial_number_and_a_type(bench: ApiBench) -> None:
    device = (await bench.post("/devices", NEW)).json

    assert (device["name"], device["labels"]) == ("SN-1", {})
    assert [str(asset.device_id) for asset in bench.assets.values()] == [device["id"]]


async def test_a_taken_serial_number_is_a_conflict(bench: ApiBench) -> None:
    await bench.post("/devices", NEW)

    taken = await bench.post("/devices", NEW | {"name": "Another"})

    assert taken.refusal == (409, "registry.device.serial_number_taken")
    assert len(bench.tables.devices) == len(bench.assets) == 1


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"serial_number": None}, "serial_number"),
        ({"serial_number": ""}, "serial_number"),
        ({"serial_number": "a b"}, "serial_number"),
        ({"serial_number": "x" * 129}, "serial_number"),
        ({"serial_number": 7}, "serial_number"),
        ({"serial_number": ["SN"]}, "serial_number"),
        ({"device_type": "Pump"}, "device_type"),
        ({"device_type": "a" * 64}, "device_type"),
        ({"device_type": "pump\n"}, "device_type"),
        ({"name": ""}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"name": {}}, "name"),
        ({"labels": []}, "labels"),
        ({"labels": "site"}, "labels"),
        ({"labels": {"site": 7}}, "labels.site.value"),
        ({"labels": {"site": None}}, "labels.site.value"),
        ({"labels": {"site": "x" * 257}}, "labels.site.value"),
        ({"labels": {"": "north"}}, "labels..key"),
        ({"labels": {"k" * 65: "north"}}, f"labels.{'k' * 65}.key"),
        ({"labels": {str(number): "" for number in range(65)}}, "labels"),
        ({"asset": []}, "asset"),
        ({"asset": {"asset_type": "No Type"}}, "asset.asset_type"),
        ({"asset": {"name": ""}}, "asset.name"),
        ({"asset": {"properties": []}}, "asset.properties"),
        ({"asset": {"capabilities": [{}]}}, "asset.capabilities.0.name"),
        ({"asset": {"capabilities": ["dosing"]}}, "asset.capabilities.0"),
        ({"asset": {"owner": "us"}}, "asset.owner"),
        ({"asset": {"parent_id": "hall"}}, "asset.parent_id"),
        ({"asset": {"parent_id": None}}, "asset.parent_id"),
        ({"asset": {"parent_id": str(uuid4())}}, "asset.parent_id"),
        ({"status": "active"}, "status"),
        ({"id": str(uuid4())}, "id"),
        ({"organisation_id": str(uuid4())}, "organisation_id"),
        ({"Name": "Boiler"}, "Name"),
    ],
)
async def test_what_is_wrong_with_a_registration_is_named_by_its_path(
    bench: ApiBench, change: dict[str, Any], path: str
) -> None:
    refused = await bench.post("/devices", NEW | change)

    assert refused.refusal == (422, "request.payload.invalid")
    assert list(refused.json["errors"]) == [path]
    assert bench.tables.devices == {}
    assert bench.tables.outbox == {}


@pytest.mark.parametrize("missing", ["serial_number", "device_type"])
async def test_a_missing_field_is_named(bench: ApiBench, missing: str) -> None:
    refused = await bench.post("/devices", {name: NEW[name] for name in NEW if name != missing})

    assert refused.status == 422
    assert refused.json["errors"] == {missing: ["Missing data for required field."]}


async def test_limits_may_be_reached(bench: ApiBench) -> None:
    registered = await bench.post(
        "/devices",
        {
            "serial_number": "x" * 128,
            "device_type": "a" * 63,
            "name": "n" * 256,
            "labels": {"k" * 64: "v" * 256} | {str(number): "" for number in range(63)},
        },
    )

    assert registered.status == 201


async def test_a_description_over_the_limit_of_assets_is_too_large(bench: ApiBench) -> None:
    refused = await bench.post("/devices", NEW | {"asset": {"properties": {"a": "x" * 300_000}}})

    assert refused.refusal == (413, "assets.asset.too_large")
    assert bench.tables.devices == {}


async def test_a_device_is_put_in_its_place_when_it_is_registered(bench: ApiBench) -> None:
    hall = (await bench.post("/assets", {"asset_type": "hall", "name": "Hall A"})).json

    device = (await bench.post("/devices", NEW | {"asset": {"parent_id": hall["id"]}})).json

    assert (await bench.get(f"/devices/{device['id']}/asset")).json["parent_id"] == hall["id"]


async def test_a_place_that_nobody_can_look_for_is_to_be_asked_for_again(bench: ApiBench) -> None:
    bench.container.stores.assets_unit_of_work.reset_override()

    refused = await bench.post("/devices", NEW | {"asset": {"parent_id": str(uuid4())}})

    assert refused.refusal == (503, "assets.store.unavailable")
    assert bench.tables.devices == {}


async def test_the_correlation_id_goes_with_the_event_that_a_registration_causes(bench: ApiBench) -> None:
    bench.container.stores.assets_unit_of_work.reset_override()

    registered = await bench.post("/devices", NEW, headers={"X-Correlation-ID": "request-7"})

    assert registered.status == 201
    [event] = bench.tables.outbox.values()
    assert (event.correlation_id, event.attempts) == ("request-7", 1)


async def test_a_device_is_changed_in_what_is_sent(bench: ApiBench) -> None:
    device = bench.add_device(labels={"kept": "1", "changed": "2", "removed": "3"})
    path = f"/devices/{device.id}"

    changed = await bench.patch(path, {"labels": {"changed": "", "removed": None, "added": "4"}}, by="operator")
    renamed = await bench.patch(path, {"name": "New"}, by="operator")

    assert (changed.status, changed.headers["ETag"]) == (200, '"2"')
    assert changed.json["labels"] == {"kept": "1", "changed": "", "added": "4"}
    assert (renamed.json["name"], renamed.json["labels"], renamed.json["version"]) == (
        "New",
        changed.json["labels"],
        3,
    )
    assert (await bench.get(path)).json == renamed.json


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"labels": None}, "labels"),
        ({"labels": {"site": 7}}, "labels.site.value"),
        ({"status": "provisioned"}, "status"),
        ({"status": "retired"}, "status"),
        ({"status": None}, "status"),
        ({"status": ["active"]}, "status"),
        ({"serial_number": "SN-2"}, "serial_number"),
        ({"version": 2}, "version"),
        ([], "body"),
        ("name", "body"),
        (None, "body"),
        (7, "body"),
    ],
)
async def test_what_is_wrong_with_a_change_is_named_and_nothing_changed(
    bench: ApiBench, change: Any, path: str
) -> None:
    device = bench.add_device()

    refused = await bench.send(f"/devices/{device.id}", bench.app.json.dumps(change).encode(), method="PATCH")

    assert refused.refusal == (422, "request.payload.invalid")
    assert list(refused.json["errors"]) == [path]
    assert bench.tables.devices == {device.id: device}


async def test_labels_do_not_pile_up(bench: ApiBench) -> None:
    device = bench.add_device(labels={str(number): "" for number in range(64)})

    refused = await bench.patch(f"/devices/{device.id}", {"labels": {"one more": ""}})

    assert refused.refusal == (422, "registry.device.too_many_labels")
    assert list(refused.json["errors"]) == ["labels"]


async def test_a_suspended_device_is_refused_until_it_is_active_again(bench: ApiBench) -> None:
    device = bench.add_device()
    key, path = bench.give_key(device), f"/devices/{device.id}"
    assert (await bench.get(path, by=key)).json["status"] == "active"

    await bench.patch(path, {"status": "suspended"})
    assert (await bench.get(path, by=key)).refusal == (403, "registry.device.suspended")
    await bench.patch(path, {"status": "active"})

    assert (await bench.get(path, by=key)).status == 200


async def test_the_first_contact_changes_the_device_and_its_entity_tag(bench: ApiBench) -> None:
    device = bench.add_device()
    path = f"/devices/{device.id}"
    before = await bench.get(path)

    seen = await bench.get(path, by=bench.give_key(device))
    after = await bench.get(path, headers={"If-None-Match": before.headers["ETag"]})

    assert (seen.json["status"], seen.json["connectivity"]) == ("active", "online")
    assert seen.json["last_seen_at"] is not None
    assert (after.status, after.json["status"]) == (200, "active")


@pytest.mark.parametrize(
    ("seen_ago", "connectivity"),
    [(None, "unknown"), (timedelta(0), "online"), (timedelta(minutes=2), "offline")],
)
async def test_connectivity_is_told_from_the_last_contact(
    bench: ApiBench, seen_ago: timedelta | None, connectivity: str
) -> None:
    last_seen_at = utc_now() - seen_ago if seen_ago is not None else None
    device = bench.add_device(last_seen_at=last_seen_at, status=DeviceStatus.ACTIVE)

    assert (await bench.get(f"/devices/{device.id}")).json["connectivity"] == connectivity


async def test_a_list_is_narrowed_and_paged(bench: ApiBench) -> None:
    first = bench.add_device(serial_number="A-1", labels={"site": "n:1"}, status=DeviceStatus.ACTIVE)
    second = bench.add_device(serial_number="A-2", device_type="robot", labels={"site": "s"})
    bench.add_device(bench.theirs, serial_number="A-3", labels={"site": "n:1"})

    async def ids(query: str) -> list[str]:
        return [item["id"] for item in (await bench.get(f"/devices?{query}")).json["items"]]

    assert await ids("") == [str(first.id), str(second.id)]
    assert await ids("device_type=robot") == [str(second.id)]
    assert await ids("status=active") == [str(first.id)]
    assert await ids("status=retired") == []
    assert await ids("label=site:n:1") == [str(first.id)]
    assert await ids("label=site:") == []
    keyed = bench.add_device(labels={"k:v": "x:y"})
    assert await ids("label=k:v:x:y") == [str(keyed.id)]
    assert await ids("label=k:v:x") == []
    assert await ids("q=a-") == [str(first.id), str(second.id)]
    assert await ids("q=2&device_type=robot") == [str(second.id)]
    page = (await bench.get("/devices?limit=1&q=A")).json
    assert [item["id"] for item in page["items"]] == [str(first.id)]
    assert await ids(f"limit=1&q=A&cursor={page['next_cursor']}") == [str(second.id)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("status=broken", "status"),
        ("status=", "status"),
        ("label=site", "label"),
        (f"label={'k' * 65}:v", "label"),
        ("q=", "q"),
        (f"q={'x' * 129}", "q"),
        ("page=2", "page"),
        ("Limit=2", "Limit"),
        ("limit=1&limit=2", "limit"),
    ],
)
async def test_a_bad_query_parameter_is_named(bench: ApiBench, query: str, field: str) -> None:
    refused = await bench.get(f"/devices?{query}")

    assert refused.refusal == (422, "request.payload.invalid")
    assert list(refused.json["errors"]) == [field]


@pytest.mark.parametrize("cursor", ["", "made-up", "=", "e30", "W10", "x" * 10_000])
async def test_a_cursor_that_no_list_gave_out_is_malformed(bench: ApiBench, cursor: str) -> None:
    for path in ("/devices", "/users", f"/devices/{bench.add_device().id}/credentials"):
        refused = await bench.get(f"{path}?cursor={cursor}")
        assert refused.refusal == (400, "request.cursor.malformed")


async def test_operators_and_administrators_alone_register_and_change(bench: ApiBench) -> None:
    device = bench.add_device()

    for role, allowed in [("viewer", False), ("engineer", False), ("operator", True), ("admin", True)]:
        registered = await bench.post("/devices", NEW | {"serial_number": role}, by=role)
        changed = await bench.patch(f"/devices/{device.id}", {"name": role}, by=role)
        if allowed:
            assert (registered.status, changed.status) == (201, 200)
        else:
            assert registered.refusal == changed.refusal == (403, "identity.role.too_low")


async def test_another_organisations_device_is_as_good_as_absent(bench: ApiBench) -> None:
    foreign = bench.add_device(bench.theirs)

    for device_id in (foreign.id, uuid4()):
        for answer in (
            await bench.get(f"/devices/{device_id}"),
            await bench.patch(f"/devices/{device_id}", {"name": "Stolen"}),
            await bench.get(f"/devices/{device_id}/credentials"),
            await bench.post(f"/devices/{device_id}/credentials", {}),
            await bench.delete(f"/devices/{device_id}/credentials/{uuid4()}"),
        ):
            assert answer.refusal == (404, "registry.device.not_found")
            assert str(device_id) not in answer.json["detail"]
    assert bench.tables.devices[foreign.id] == foreign


async def test_a_device_sees_itself_and_nothing_else(bench: ApiBench) -> None:
    device, other = bench.add_device(), bench.add_device()
    key = bench.give_key(device)

    assert (await bench.get(f"/devices/{device.id}", by=key)).json["id"] == str(device.id)
    for answer in (
        await bench.patch(f"/devices/{device.id}", {"name": "Me"}, by=key),
        await bench.get(f"/devices/{device.id}/credentials", by=key),
        await bench.post(f"/devices/{device.id}/credentials", {}, by=key),
        await bench.get("/devices", by=key),
        await bench.post("/devices", NEW, by=key),
        await bench.get("/users", by=key),
        await bench.call("POST", "/api/v1/auth/logout", by=key),
    ):
        assert answer.refusal == (403, "identity.device.not_allowed")
    for path in (f"/devices/{other.id}", f"/devices/{uuid4()}", f"/devices/{other.id}/credentials"):
        assert (await bench.get(path, by=key)).refusal == (404, "registry.device.not_found")


async def test_times_are_shown_in_utc_with_microseconds(bench: ApiBench) -> None:
    device = bench.add_device(created_at=FIRST_DAY)

    assert (await bench.get(f"/devices/{device.id}")).json["created_at"] == "2026-11-20T00:00:00.000000Z"
