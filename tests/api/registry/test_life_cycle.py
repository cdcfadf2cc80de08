"""From provisioned to active, suspended and back, as callers see it."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from dependency_injector import providers
from quart import Quart

from iotsphere.api.operation import Operation
from iotsphere.registry.model import ONLINE_FOR, DeviceStatus
from tests.api.bench import ApiBench
from tests.factories.registry import FIRST_DAY
from tests.fakes.identity import ManualClock


def operations_of_devices(app: Quart) -> list[tuple[str, str]]:
    """Give what a device may do, as method and path; a question mark stands for its id."""
    return [
        (method, re.sub(r"<(?:\w+:)?\w+>", "other", rule.rule.replace("<uuid:device_id>", "?")))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if isinstance(declared := getattr(app.view_functions[rule.endpoint], "operation", None), Operation)
        and declared.device_may
    ]


async def test_a_suspended_device_is_turned_away_from_everything_until_it_is_active_again(bench: ApiBench) -> None:
    device = bench.add_device()
    key = bench.give_key(device)
    allowed = [(method, path.replace("?", str(device.id))) for method, path in operations_of_devices(bench.app)]
    assert len(allowed) > 5

    await bench.patch(f"/devices/{device.id}", {"status": "suspended"}, by="operator")
    for method, path in allowed:
        assert (await bench.call(method, path, by=key)).refusal == (403, "registry.device.suspended")

    await bench.patch(f"/devices/{device.id}", {"status": "active"}, by="operator")
    assert (await bench.get(f"/devices/{device.id}", by=key)).status == 200


async def test_a_suspended_device_learns_nothing_of_others(bench: ApiBench) -> None:
    key = bench.give_key(bench.add_device(status=DeviceStatus.SUSPENDED))

    for device_id in (bench.add_device().id, bench.add_device(bench.theirs).id, uuid4()):
        answer = await bench.get(f"/devices/{device_id}", by=key)
        assert answer.refusal == (403, "registry.device.suspended")


async def test_a_device_that_was_never_heard_of_is_active_by_an_operators_word(bench: ApiBench) -> None:
    """What it has not done shows elsewhere: nobody has seen it, and whether it is connected is unknown."""
    path = f"/devices/{bench.add_device().id}"

    for status in ("suspended", "active"):
        changed = await bench.patch(path, {"status": status}, by="operator")
        assert (changed.status, changed.json["status"]) == (200, status)

    assert (changed.json["connectivity"], changed.json["last_seen_at"]) == ("unknown", None)


async def test_contact_does_not_bring_a_suspended_device_back(bench: ApiBench) -> None:
    device = bench.add_device(status=DeviceStatus.SUSPENDED)

    await bench.get(f"/devices/{device.id}", by=bench.give_key(device))

    shown = (await bench.get(f"/devices/{device.id}")).json
    assert (shown["status"], shown["last_seen_at"]) == ("suspended", None)


@pytest.mark.parametrize("status", ["retired", "provisioned", "ACTIVE", "", None, 1])
async def test_no_other_status_can_be_set(bench: ApiBench, status: object) -> None:
    refused = await bench.patch(f"/devices/{bench.add_device().id}", {"status": status}, by="operator")

    assert refused.refusal == (422, "request.payload.invalid")
    assert list(refused.json["errors"]) == ["status"]


async def test_who_saw_an_older_version_does_not_suspend_it(bench: ApiBench) -> None:
    path = f"/devices/{bench.add_device(version=2).id}"

    refused = await bench.patch(path, {"status": "suspended"}, by="operator", headers={"If-Match": '"1"'})

    assert refused.refusal == (412, "request.precondition.failed")
    assert (await bench.get(path)).json["status"] == "provisioned"


async def test_the_trail_tells_who_suspended_a_device_and_who_let_it_in_again(bench: ApiBench) -> None:
    device = bench.add_device()

    for status in ("suspended", "active"):
        await bench.patch(f"/devices/{device.id}", {"status": status}, by="operator")

    entries = list(bench.tables.audit.values())
    assert [(entry.action, entry.target, entry.details) for entry in entries] == [
        ("change_device", f"device:{device.id}", {"status": status}) for status in ("suspended", "active")
    ]
    assert all(entry.actor.startswith("user:") for entry in entries)


async def test_connectivity_goes_by_the_platforms_clock(bench: ApiBench) -> None:
    clock = ManualClock(FIRST_DAY + ONLINE_FOR)
    device = bench.add_device(status=DeviceStatus.ACTIVE, last_seen_at=FIRST_DAY)

    with bench.container.clock.override(providers.Object(clock)):
        online = await bench.get(f"/devices/{device.id}")
        clock.now += timedelta(microseconds=1)
        offline = await bench.get(f"/devices/{device.id}")

    assert [answer.json["connectivity"] for answer in (online, offline)] == ["online", "offline"]


async def test_a_retired_device_is_absent_to_everybody(bench: ApiBench) -> None:
    device = bench.add_device(status=DeviceStatus.RETIRED)
    path = f"/devices/{device.id}"

    for answer in (
        await bench.get(path),
        await bench.patch(path, {"status": "active"}),
        await bench.post(f"{path}/credentials", {}),
        await bench.get(f"{path}/credentials"),
    ):
        assert answer.refusal == (404, "registry.device.not_found")
    assert (await bench.get("/devices?status=retired")).json["items"] == []
