from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
from quart import Quart

from iotsphere.api.telemetry import fleet
from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.shipped_types import ShippedTypes
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.registry.model import Device
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.telemetry.archived import ArchivedDay, ArchiveFile
from iotsphere.telemetry.fleet import FleetTelemetryService
from iotsphere.telemetry.model import Point
from iotsphere.telemetry.retention import DEFAULT_CLASS
from iotsphere.telemetry.service import TelemetryService
from iotsphere.workflows.device_kinds import DeviceKinds
from iotsphere.workflows.fleet_queries import MAX_DEVICES, FleetQueries
from iotsphere.workflows.metric_units import MetricUnits
from tests.factories.assets import build_device_type
from tests.factories.registry import build_device
from tests.fakes.assets import DeviceTypes, InMemoryAssetsUnitOfWork
from tests.fakes.doors import ORGANISATION, OneOrganisation, application_of
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

NOW = datetime(2026, 11, 20, 17, tzinfo=UTC)
ASKED = {"metrics": ["a"], "interval": "1h"}


@dataclass
class FleetApi:
    app: Quart
    tables: RegistryTables
    data: TelemetryData
    device_types: DeviceTypes

    def define(self, name: str, unit: str) -> None:
        """Define a device type that measures its ``a`` in this unit."""
        defined = build_device_type(
            organisation_id=ORGANISATION, name=name, metrics=[{"name": "a", "type": "number", "unit": unit}]
        )
        self.device_types[ORGANISATION, name] = defined

    def add(self, *numbers: float, organisation_id: OrganisationId = ORGANISATION, **given: Any) -> DeviceId:
        """Add a device that sent these numbers, one a minute."""
        device: Device = build_device(organisation_id=organisation_id, **given)
        self.tables.devices[device.id] = device
        for minute, number in enumerate(numbers):
            point = Point(device.id, "a", NOW - timedelta(minutes=60 - minute), float(number))
            self.data.points[device.id, "a", point.ts] = point
        return device.id

    async def ask(self, *, status: int = 200, by: str = "viewer", **body: Any) -> Any:
        answer = await self.app.test_client().post(
            "/api/v1/telemetry/query", headers={"Authorization": f"Bearer {by}"}, json=ASKED | body
        )
        told = await answer.get_json()
        assert answer.status_code == status, told
        return told if status != 200 else told["series"]

    async def figures(self, **body: Any) -> dict[str | None, list[float]]:
        series = await self.ask(**body)
        return {each["group"]: [point["avg"] for point in each["points"]] for each in series}


@pytest.fixture
def api() -> Iterator[FleetApi]:
    tables, data, organisation = RegistryTables(), TelemetryData(), OneOrganisation()
    device_types: DeviceTypes = {}
    devices = DeviceRegistryService(
        unit_of_work=partial(InMemoryRegistryUnitOfWork, tables), clock=lambda: NOW, new_id=uuid4
    )
    queries = FleetQueries(
        devices=devices,
        telemetry=FleetTelemetryService(unit_of_work=partial(InMemoryTelemetryUnitOfWork, data), clock=lambda: NOW),
        units=MetricUnits(
            kinds=DeviceKinds(devices=devices),
            types=KnownTypes(
                unit_of_work=partial(InMemoryAssetsUnitOfWork, {}, device_types), shipped=ShippedTypes({})
            ),
        ),
    )
    telemetry = TelemetryService(unit_of_work=partial(InMemoryTelemetryUnitOfWork, data), clock=lambda: NOW)
    services = {"workflows.fleet_queries": queries, "telemetry.readings": telemetry}
    with application_of(fleet, callers=organisation, devices=organisation, services=services) as app:
        yield FleetApi(app, tables, data, device_types)


async def test_devices_are_shown_each_for_itself_by_type_and_all_together(api: FleetApi) -> None:
    one, two = api.add(1, 2, 3, device_type="pump"), api.add(9, device_type="pump")
    three = api.add(5, device_type="boiler")
    devices = [str(one), str(two), str(three), str(one)]

    assert await api.figures(devices=devices) == {str(one): [2], str(two): [9], str(three): [5]}
    assert await api.figures(devices=devices, group_by="device_type") == {"pump": [3.75], "boiler": [5]}
    assert await api.figures(devices=devices, group_by="none") == {None: [4]}
    assert [sorted(each) for each in await api.ask(devices=devices[:1])] == [
        ["device_id", "group", "metric", "points"]
    ]
    assert await api.ask(devices=devices, group_by="device_type", aggregates=["max", "count"]) == [
        {
            "group": "boiler",
            "device_type": "boiler",
            "metric": "a",
            "points": [{"ts": "2026-11-20T16:00:00.000000Z", "max": 5, "count": 1}],
        },
        {
            "group": "pump",
            "device_type": "pump",
            "metric": "a",
            "points": [{"ts": "2026-11-20T16:00:00.000000Z", "max": 9, "count": 4}],
        },
    ]


async def test_a_filter_finds_the_organisations_own_devices(api: FleetApi) -> None:
    api.add(1, device_type="pump", labels={"site": "a:b"})
    api.add(2, device_type="boiler", labels={"site": "a"})
    api.add(400, device_type="pump", organisation_id=OrganisationId(uuid4()), labels={"site": "a:b"})

    assert await api.figures(filter={}, group_by="none") == {None: [1.5]}
    assert await api.figures(filter={"device_type": "pump"}, group_by="none") == {None: [1]}
    assert await api.figures(filter={"label": "site:a:b"}, group_by="none") == {None: [1]}
    assert await api.figures(filter={"label": "site:c"}, group_by="none") == {}


async def test_a_device_of_another_organisation_is_none(api: FleetApi) -> None:
    own, foreign = api.add(1), api.add(1, organisation_id=OrganisationId(uuid4()))

    for other in (foreign, uuid4()):
        problem = await api.ask(status=404, devices=[str(own), str(other)])
        assert problem["code"] == "registry.device.not_found"


async def test_a_table_names_the_group_of_each_row(api: FleetApi) -> None:
    api.add(1, 2, device_type="pump")
    headers = {"Authorization": "Bearer viewer", "Accept": "text/csv"}
    body = ASKED | {"filter": {}, "group_by": "device_type", "aggregates": ["avg", "count"]}

    answer = await api.app.test_client().post("/api/v1/telemetry/query", headers=headers, json=body)

    assert answer.mimetype == "text/csv"
    assert (await answer.get_data(as_text=True)).splitlines() == [
        "ts,group,metric,avg,count",
        "2026-11-20T16:00:00.000000Z,pump,a,1.5,2",
    ]


async def test_a_group_tells_the_unit_that_all_of_its_devices_have(api: FleetApi) -> None:
    for device_type, unit in {"pump": "l/min", "meter": "l/min", "tank": "m3/h"}.items():
        api.define(device_type, unit)

    async def units(*types: str, group_by: str) -> dict[str | None, str]:
        api.tables.devices.clear()
        for device_type in types:
            api.add(1, device_type=device_type)
        series = await api.ask(filter={}, group_by=group_by)
        return {each["group"]: each.get("unit", "none") for each in series}

    assert await units("pump", "meter", group_by="none") == {None: "l/min"}
    assert await units("pump", "tank", group_by="none") == {None: "none"}
    assert await units("pump", "unheard-of", group_by="none") == {None: "none"}
    assert await units("pump", "tank", "unheard-of", group_by="device_type") == {
        "pump": "l/min",
        "tank": "m3/h",
        "unheard-of": "none",
    }


@pytest.mark.parametrize(("types", "told"), [(["pump", "meter"], b'{"a":"l/min"}'), (["pump", "tank"], b"{}")])
async def test_a_table_of_arrow_tells_units_that_are_the_same_in_all_groups(
    api: FleetApi, types: list[str], told: bytes
) -> None:
    for device_type, unit in {"pump": "l/min", "meter": "l/min", "tank": "m3/h"}.items():
        api.define(device_type, unit)
    for device_type in types:
        api.add(1, device_type=device_type)
    headers = {"Authorization": "Bearer viewer", "Accept": "application/vnd.apache.arrow.stream"}

    answer = await api.app.test_client().post(
        "/api/v1/telemetry/query", headers=headers, json=ASKED | {"filter": {}, "group_by": "device"}
    )

    schema = pa.ipc.open_stream(await answer.get_data()).schema
    assert schema.metadata == {b"units": told}


async def test_a_device_may_not_ask_about_the_fleet(api: FleetApi) -> None:
    device_id = api.add(1)
    answer = await api.app.test_client().post(
        "/api/v1/telemetry/query", headers={"X-API-Key": str(device_id)}, json=ASKED | {"filter": {}}
    )
    assert answer.status_code == 403


async def test_more_devices_than_can_be_gone_through_are_refused(api: FleetApi) -> None:
    for _ in range(MAX_DEVICES):
        api.add()
    assert await api.ask(filter={}) == []
    api.add()

    problem = await api.ask(status=422, filter={})

    assert problem["code"] == "telemetry.query.too_many_devices"


async def test_gaps_are_filled_within_what_was_asked_for(api: FleetApi) -> None:
    device = str(api.add(1, 2))
    start, end = "2026-11-20T15:00:00Z", "2026-11-20T18:00:00Z"

    (series,) = await api.ask(devices=[device], start=start, end=end, fill="null", aggregates=["avg", "count"])
    assert [(point["avg"], point["count"]) for point in series["points"]] == [(None, 0), (1.5, 2), (None, 0)]
    assert await api.figures(devices=[device], fill="previous") == {device: [1.5]}
    days = await api.figures(
        devices=[device], start="2026-11-20T00:00:00Z", end="2026-11-25T00:00:00Z", interval="1d", fill="previous"
    )
    assert days == {device: [1.5] * 5}
    problem = await api.ask(status=422, devices=[device], start="2000-01-01T00:00:00Z", interval="1s", fill="null")
    assert problem["code"] == "telemetry.query.too_many_intervals"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "devices"),
        ({"devices": [str(uuid4())], "filter": {}}, "devices"),
        ({"devices": []}, "devices"),
        ({"devices": ["x"]}, "devices.0"),
        ({"devices": [str(uuid4())] * (MAX_DEVICES + 1)}, "devices"),
        ({"filter": {"label": "nothing"}}, "filter.label"),
        ({"filter": {"status": "active"}}, "filter.status"),
        ({"filter": []}, "filter"),
        ({"filter": {}, "metrics": []}, "metrics"),
        ({"filter": {}, "metrics": ["a b"]}, "metrics.0"),
        ({"filter": {}, "metrics": "a"}, "metrics"),
        ({"filter": {}, "interval": 5}, "interval"),
        ({"filter": {}, "interval": "5x"}, "interval"),
        ({"filter": {}, "timezone": ["UTC"]}, "timezone"),
        ({"filter": {}, "timezone": "Mars"}, "timezone"),
        ({"filter": {}, "aggregates": ["median"]}, "aggregates.0"),
        ({"filter": {}, "aggregates": []}, "aggregates"),
        ({"filter": {}, "group_by": "label"}, "group_by"),
        ({"filter": {}, "start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "end"),
        ({"filter": {}, "start": "2026-01-02"}, "start"),
        ({"filter": {}, "limit": 5}, "limit"),
    ],
)
async def test_what_does_not_fit_is_refused_by_its_field(api: FleetApi, body: dict[str, Any], field: str) -> None:
    problem = await api.ask(status=422, **body)

    assert list(problem["errors"]) == [field]


async def test_what_lies_in_the_archive_alone_is_named(api: FleetApi) -> None:
    device, other = api.add(1), str(api.add(2))
    august = date(2026, 8, 3)
    api.data.classes[DEFAULT_CLASS] = replace(
        api.data.classes[DEFAULT_CLASS], dropped_before=datetime(2026, 9, 1, tzinfo=UTC)
    )
    api.data.archived[august, 0] = ArchivedDay(august, ArchiveFile(1, 1, ""), archived_at=NOW)
    api.data.archived_devices[august, 0] = frozenset({device})
    asked = ASKED | {"devices": [str(device)], "start": "2026-08-01T00:00:00Z"}
    stretch = {"start": "2026-08-03T00:00:00.000000Z", "end": "2026-08-04T00:00:00.000000Z"}

    def ask(accept: str, **body: Any) -> Any:
        headers = {"Authorization": "Bearer viewer", "Accept": accept}
        return api.app.test_client().post("/api/v1/telemetry/query", headers=headers, json=asked | body)

    assert (await (await ask("application/json")).get_json())["archived"] == [stretch]
    assert (await ask("text/csv")).headers["X-Archived"] == "/".join(stretch.values())
    young = {"start": "2026-09-01T00:00:00Z"}
    assert "archived" not in await (await ask("application/json", **young)).get_json()
    assert "X-Archived" not in (await ask("text/csv", **young)).headers
    assert "archived" not in await (await ask("application/json", devices=[other])).get_json()
