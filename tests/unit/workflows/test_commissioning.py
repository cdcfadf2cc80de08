import asyncio
from dataclasses import replace
from functools import partial
from typing import Any, Self
from uuid import UUID, uuid4

import pytest
import structlog

from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.model import Asset
from iotsphere.assets.service import AssetService
from iotsphere.assets.shipped_types import ShippedTypes
from iotsphere.containers.registry import make_api_key
from iotsphere.kernel.audit import AuditOutcome
from iotsphere.kernel.errors import DomainError, RuleViolationError, TooLargeError, UnavailableError
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from iotsphere.registry.errors import SerialNumberTakenError
from iotsphere.registry.model import Device, DeviceDraft, DeviceStatus, OutboxEvent
from iotsphere.registry.provisioning import ProvisioningService
from iotsphere.registry.service import CLAIM, DeviceRegistryService, OutboxService
from iotsphere.worker.delivery import Delivery, deliver_events
from iotsphere.workflows.commissioning import CommissioningWorkflow
from tests.factories.assets import build_asset
from tests.factories.identity import build_attempt
from tests.factories.registry import build_event
from tests.fakes.assets import Changes, InMemoryAssetsUnitOfWork
from tests.fakes.identity import ManualClock
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables

OURS = OrganisationId(uuid4())


class Bench:
    """The workflow on two stores in memory, each of which can be taken away."""

    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.assets: dict[AssetId, Asset] = {}
        self.changes: Changes = {}
        self.clock = ManualClock()
        self.registry_is_up = self.assets_are_up = True
        self.goes_down_after_looking = False
        self.asset_was_kept = asyncio.Event()
        self.workflow = CommissioningWorkflow(
            devices=DeviceRegistryService(unit_of_work=self.open_registry, clock=self.clock, new_id=uuid4),
            provisioning=ProvisioningService(
                unit_of_work=self.open_registry, clock=self.clock, new_id=uuid4, make_key=make_api_key
            ),
            outbox=OutboxService(unit_of_work=self.open_registry, clock=self.clock),
            assets=AssetService(
                unit_of_work=self.open_assets, moving=self.open_assets, clock=self.clock, new_id=uuid4
            ),
            types=KnownTypes(unit_of_work=self.open_types, shipped=ShippedTypes.load()),
        )

    def open_registry(self) -> InMemoryRegistryUnitOfWork:
        if not self.registry_is_up:
            raise UnavailableError("registry", "Down.")
        return InMemoryRegistryUnitOfWork(self.tables)

    def open_assets(self) -> InMemoryAssetsUnitOfWork:
        if not self.assets_are_up:
            raise UnavailableError("assets", "Down.")
        return WatchedAssets(self)

    def open_types(self) -> InMemoryAssetsUnitOfWork:
        if not self.assets_are_up:
            raise UnavailableError("assets", "Down.")
        return InMemoryAssetsUnitOfWork({})

    def add_asset(self, organisation_id: OrganisationId = OURS) -> Asset:
        asset = build_asset(organisation_id=organisation_id)
        self.assets[asset.id] = asset
        return asset

    async def register(self, **given: Any) -> Device:
        description: dict[str, Any] = {
            "attempt": build_attempt(organisation_id=OURS),
            "serial_number": "SN-1",
            "device_type": "pump",
            "name": None,
            "labels": {},
            "asset": {},
        }
        return await self.workflow.register_device(**description | given)

    async def register_many(self, *drafts: DeviceDraft) -> list[DeviceId | DomainError]:
        return await self.workflow.register_devices(attempt=build_attempt(organisation_id=OURS), drafts=drafts)

    async def deliver_due_events(self) -> int:
        events = await self.workflow.claim_due_events(limit=100)
        await self.workflow.deliver_events(events=events)
        return len(events)

    def add_due_events(self, count: int, *, organisation_id: OrganisationId = OURS) -> list[OutboxEvent]:
        payload = {"asset_type": "pump", "name": "Pump"}
        events = [
            build_event(organisation_id=organisation_id, payload=payload, due_at=self.clock.now) for _ in range(count)
        ]
        self.tables.outbox.update({event.id: event for event in events})
        return events

    def asset_of(self, device: Device) -> Asset:
        [asset] = [asset for asset in self.assets.values() if asset.device_id == device.id]
        return asset


class WatchedAssets(InMemoryAssetsUnitOfWork):
    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.assets, committed_changes=bench.changes)
        self._was_kept = bench.asset_was_kept
        self._goes_down = bench.goes_down_after_looking

    async def commit(self) -> None:
        if self._goes_down:
            raise UnavailableError("assets", "Down.")
        await super().commit()
        self._was_kept.set()


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_registered_device_has_its_asset_and_nothing_is_left_to_tell(bench: Bench) -> None:
    description = {
        "asset_type": "pump",
        "name": "The pump itself",
        "properties": {"power": 1.5},
        "capabilities": [{"name": "dosing"}],
    }

    device = await bench.register(name="Boiler", asset=description)

    asset = bench.asset_of(device)
    assert asset.organisation_id == OURS
    assert {name: getattr(asset, name) for name in description} == description
    assert bench.tables.outbox == {}


@pytest.mark.parametrize(("name", "asset_name"), [("Boiler", "Boiler"), (None, "SN-1")])
async def test_an_asset_of_which_nothing_is_said_goes_by_the_device(
    bench: Bench, name: str | None, asset_name: str
) -> None:
    asset = bench.asset_of(await bench.register(name=name))

    assert (asset.name, asset.properties, asset.capabilities) == (asset_name, {}, [])


@pytest.mark.parametrize(
    ("asset", "path"),
    [
        ({"asset_type": "No Type"}, "asset.asset_type"),
        ({"properties": {"a": [float("nan")]}}, "asset.properties.a.0"),
        ({"properties": {"a": {"b": "\0"}}}, "asset.properties.a.b"),
        ({"capabilities": [{}]}, "asset.capabilities.0.name"),
    ],
)
async def test_a_bad_description_is_named_by_its_path_and_registers_nothing(
    bench: Bench, asset: dict[str, Any], path: str
) -> None:
    with pytest.raises(RuleViolationError) as refusal:
        await bench.register(asset=asset)

    assert list(refusal.value.errors) == [path]
    assert refusal.value.detail.startswith(path)
    assert bench.tables == RegistryTables()


async def test_a_description_over_the_limit_registers_nothing(bench: Bench) -> None:
    with pytest.raises(TooLargeError):
        await bench.register(asset={"properties": {"a": "x" * 300_000}})

    assert bench.tables == RegistryTables()


async def test_a_taken_serial_number_brings_no_asset(bench: Bench) -> None:
    device = await bench.register()

    with pytest.raises(SerialNumberTakenError):
        await bench.register()

    assert list(bench.assets.values()) == [bench.asset_of(device)]


def drafts(*serial_numbers: str) -> list[DeviceDraft]:
    return [DeviceDraft(serial_number, "pump") for serial_number in serial_numbers]


async def test_many_are_registered_at_once_each_with_its_asset(bench: Bench) -> None:
    described = DeviceDraft(
        "SN-2", "pump", "Boiler", {"site": "north"}, {"properties": {"power": 1.5}}, DeviceStatus.SUSPENDED
    )

    outcomes = await bench.register_many(*drafts("SN-1"), described)

    devices = [bench.tables.devices[device_id] for device_id in outcomes if not isinstance(device_id, DomainError)]
    assert [device.serial_number for device in devices] == ["SN-1", "SN-2"]
    assert (devices[1].name, devices[1].labels, devices[1].status) == ("Boiler", {"site": "north"}, "suspended")
    assert [bench.asset_of(device).name for device in devices] == ["SN-1", "Boiler"]
    assert bench.asset_of(devices[1]).properties == {"power": 1.5}
    assert bench.tables.outbox == {}
    assert {entry.target for entry in bench.tables.audit.values()} == {f"device:{device.id}" for device in devices}


async def test_of_many_each_is_refused_by_itself_and_of_two_alike_the_first_wins(bench: Bench) -> None:
    await bench.register(serial_number="taken")
    bad = DeviceDraft("bad", "pump", asset={"asset_type": "No Type"})
    large = DeviceDraft("large", "pump", asset={"properties": {"a": "x" * 300_000}})

    outcomes = await bench.register_many(*drafts("taken"), bad, *drafts("new", "new"), large)

    assert [getattr(outcome, "code", None) for outcome in outcomes] == [
        "registry.device.serial_number_taken",
        "request.payload.invalid",
        None,
        "registry.device.serial_number_taken",
        "assets.asset.too_large",
    ]
    assert {device.serial_number for device in bench.tables.devices.values()} == {"taken", "new"}
    assert len(bench.assets) == 2
    [refused] = [entry for entry in bench.tables.audit.values() if entry.outcome is AuditOutcome.REFUSED]
    assert (refused.target, refused.code) == (None, "registry.device.serial_number_taken")
    assert refused.details == {"count": 2, "serial_numbers": ["taken", "new"]}


async def test_of_many_that_are_taken_the_trail_has_the_count_and_names_the_first(bench: Bench) -> None:
    await bench.register_many(*drafts(*(str(number) for number in range(9))))
    bench.tables.audit.clear()

    await bench.register_many(*drafts(*(str(number) for number in range(9))))

    [refused] = bench.tables.audit.values()
    assert refused.details == {"count": 9, "serial_numbers": ["0", "1", "2", "3", "4"]}


async def test_of_none_nothing_is_asked(bench: Bench) -> None:
    bench.registry_is_up = False

    assert await bench.register_many() == []


async def test_without_the_registry_none_of_many_is_registered(bench: Bench) -> None:
    bench.registry_is_up = False
    bad = DeviceDraft("bad", "pump", asset={"asset_type": "No Type"})

    outcomes = await bench.register_many(*drafts("SN-1"), bad, *drafts("SN-2"))

    assert [getattr(outcome, "code", None) for outcome in outcomes] == [
        "registry.store.unavailable",
        "request.payload.invalid",
        "registry.store.unavailable",
    ]
    assert bench.tables == RegistryTables()


async def test_without_the_asset_store_many_are_registered_and_their_assets_follow(bench: Bench) -> None:
    bench.assets_are_up = False
    await bench.register_many(*drafts("SN-1", "SN-2"))
    assert (len(bench.tables.devices), bench.assets) == (2, {})

    bench.assets_are_up = True
    bench.clock.advance(seconds=1)
    assert await bench.deliver_due_events() == 2

    assert {asset.name for asset in bench.assets.values()} == {"SN-1", "SN-2"}
    assert bench.tables.outbox == {}


async def test_a_device_is_put_in_its_place_when_it_is_registered(bench: Bench) -> None:
    hall = bench.add_asset()

    one = await bench.register(asset={"parent_id": hall.id})
    outcomes = await bench.register_many(
        DeviceDraft("SN-2", "pump", asset={"parent_id": hall.id}), DeviceDraft("SN-3", "pump")
    )

    others = [bench.tables.devices[device_id] for device_id in outcomes if not isinstance(device_id, DomainError)]
    assert [bench.asset_of(device).parent_id for device in (one, *others)] == [hall.id, hall.id, None]
    assert bench.tables.outbox == {}


@pytest.mark.parametrize("whose", ["nobody's", "theirs"])
async def test_a_place_that_is_none_is_refused_before_anything_is_registered(bench: Bench, whose: str) -> None:
    theirs = bench.add_asset(organisation_id=OrganisationId(uuid4()))
    asset = {"parent_id": theirs.id if whose == "theirs" else AssetId(uuid4())}

    with pytest.raises(RuleViolationError) as refused:
        await bench.register(asset=asset)
    assert list(refused.value.errors) == ["asset.parent_id"]
    assert bench.tables == RegistryTables()

    bad = DeviceDraft("bad", "pump", asset={"asset_type": "No Type"} | asset)
    outcomes = await bench.register_many(DeviceDraft("nowhere", "pump", asset=asset), bad, *drafts("SN-1"))
    assert [list(getattr(outcome, "errors", {})) for outcome in outcomes] == [
        ["asset.parent_id"],
        ["asset.asset_type"],
        [],
    ]
    assert {device.serial_number for device in bench.tables.devices.values()} == {"SN-1"}


async def test_without_the_asset_store_nobody_can_say_whether_a_place_is_there(bench: Bench) -> None:
    asset = {"parent_id": bench.add_asset().id}
    bench.assets_are_up = False

    with pytest.raises(UnavailableError):
        await bench.register(asset=asset)
    outcomes = await bench.register_many(DeviceDraft("SN-1", "pump", asset=asset), *drafts("SN-2"))

    assert getattr(outcomes[0], "code", None) == "assets.store.unavailable"
    assert {device.serial_number for device in bench.tables.devices.values()} == {"SN-2"}


async def test_a_device_whose_place_is_gone_before_its_asset_is_made_becomes_a_root(bench: Bench) -> None:
    hall, other = bench.add_asset(), bench.add_asset()
    bench.goes_down_after_looking = True
    devices = [
        await bench.register(serial_number=f"SN-{number}", asset={"parent_id": parent.id})
        for number, parent in enumerate((hall, other))
    ]
    assert len(bench.tables.outbox) == 2
    bench.goes_down_after_looking = False
    del bench.assets[hall.id]

    bench.clock.advance(seconds=1)
    await bench.deliver_due_events()

    assert [bench.asset_of(device).parent_id for device in devices] == [None, other.id]
    assert bench.tables.outbox == {}


@pytest.mark.parametrize("assets_are_up", [True, False])
async def test_the_history_of_an_asset_begins_with_who_registered_the_device_however_late(
    bench: Bench, assets_are_up: bool
) -> None:
    bench.assets_are_up = assets_are_up
    attempts = [build_attempt(organisation_id=OURS) for _ in range(2)]
    devices = [
        await bench.register(attempt=attempt, serial_number=str(number)) for number, attempt in enumerate(attempts)
    ]
    bench.assets_are_up = True
    bench.clock.advance(seconds=1)
    await bench.deliver_due_events()

    for device, attempt in zip(devices, attempts, strict=True):
        assert bench.changes[bench.asset_of(device).id, 1].actor == attempt.caller.name
    assert len(bench.changes) == 2


async def test_without_the_asset_store_a_device_is_registered_and_its_asset_follows(bench: Bench) -> None:
    bench.assets_are_up = False

    device = await bench.register(asset={"asset_type": "pump"})
    assert bench.assets == {}

    bench.clock.advance(seconds=1)
    assert await bench.deliver_due_events() == 1
    bench.assets_are_up = True
    bench.clock.advance(seconds=1)
    assert await bench.deliver_due_events() == 1
    assert bench.asset_of(device).asset_type == "pump"
    bench.clock.advance(days=1)
    assert await bench.deliver_due_events() == 0


async def test_after_an_outage_of_any_length_the_asset_is_there_within_two_seconds(bench: Bench) -> None:
    bench.assets_are_up = False
    device = await bench.register()
    for _ in range(1_000):
        bench.clock.advance(seconds=1)
        await bench.deliver_due_events()

    bench.assets_are_up = True
    bench.clock.advance(seconds=1)
    await bench.deliver_due_events()

    assert bench.asset_of(device)


async def test_an_event_told_twice_makes_one_asset(bench: Bench) -> None:
    bench.assets_are_up = False
    device = await bench.register()
    bench.assets_are_up = True
    event = next(iter(bench.tables.outbox.values()))
    bench.clock.advance(seconds=1)

    await bench.deliver_due_events()
    bench.tables.outbox[event.id] = event
    bench.clock.now += CLAIM
    await bench.deliver_due_events()

    assert bench.asset_of(device)
    assert bench.tables.outbox == {}


async def test_when_the_registry_goes_down_meanwhile_the_claim_runs_out_by_itself(bench: Bench) -> None:
    class RegistryGoesDown(InMemoryAssetsUnitOfWork):
        async def __aenter__(self) -> Self:
            bench.registry_is_up = False
            raise UnavailableError("assets", "Down.")

    bench.workflow._assets._unit_of_work = partial(RegistryGoesDown, bench.assets)
    device = await bench.register()
    bench.workflow._assets._unit_of_work = bench.open_assets
    bench.registry_is_up = True

    bench.clock.now += CLAIM
    await bench.deliver_due_events()

    assert bench.asset_of(device)


async def test_an_event_that_is_refused_keeps_no_other_waiting(bench: Bench) -> None:
    bad = build_event(organisation_id=OURS, payload={"asset_type": "No Type", "name": "Bad"}, due_at=bench.clock())
    good = build_event(organisation_id=OURS, payload={"asset_type": "pump", "name": "Good"}, due_at=bench.clock())
    bench.tables.outbox.update({bad.id: bad, good.id: good})

    assert await bench.deliver_due_events() == 2

    assert [asset.name for asset in bench.assets.values()] == ["Good"]
    assert list(bench.tables.outbox) == [bad.id]
    assert bench.tables.outbox[bad.id].attempts == 1


async def test_a_postponed_event_is_logged_under_its_own_correlation_id(bench: Bench) -> None:
    bench.assets_are_up = False

    with structlog.testing.capture_logs() as logs:
        await bench.register()

    [line] = logs
    assert (line["event"], line["correlation_id"]) == ("outbox.event.postponed", "request-1")
    assert (line["code"], line["attempts"]) == ("assets.store.unavailable", 1)


async def test_the_worker_delivers_through_outages_of_the_registry_until_it_is_told_to_stop(bench: Bench) -> None:
    bench.assets_are_up = False
    device = await bench.register()
    bench.assets_are_up = True
    bench.clock.advance(seconds=1)
    bench.registry_is_up = False
    stop = asyncio.Event()
    working = asyncio.create_task(deliver_events(bench.workflow, stop=stop))
    await asyncio.sleep(0)

    bench.registry_is_up = True
    await asyncio.wait_for(bench.asset_was_kept.wait(), timeout=10)
    stop.set()
    await working

    assert bench.asset_of(device)


async def test_events_that_nobody_foresaw_keep_no_other_waiting(bench: Bench) -> None:
    events = bench.add_due_events(60)
    unforeseen = [replace(event, payload={"colour": "red"}) for event in (events[0], events[30], events[31])]
    bench.tables.outbox.update({event.id: event for event in unforeseen})
    delivery = Delivery(bench.workflow)

    with structlog.testing.capture_logs() as logs:
        while await delivery.go_on():
            pass

    assert len(bench.assets) == 57
    assert set(bench.tables.outbox) == {event.id for event in unforeseen}
    failed_alone = {line["event_ids"][0] for line in logs if line["count"] == 1}
    assert {line["event"] for line in logs} == {"worker.events.failed"}
    assert failed_alone == {str(event.id) for event in unforeseen}


async def test_many_events_are_delivered_many_at_once(bench: Bench) -> None:
    bench.add_due_events(600)
    bench.add_due_events(10, organisation_id=OrganisationId(uuid4()))
    delivery = Delivery(bench.workflow)

    turns = 0
    while await delivery.go_on():
        turns += 1

    assert turns < 20
    assert bench.tables.outbox == {}
    assert len(bench.assets) == 610
    assert len([asset for asset in bench.assets.values() if asset.organisation_id == OURS]) == 600


async def test_during_an_outage_one_event_goes_ahead_of_the_others(bench: Bench) -> None:
    delivery = Delivery(bench.workflow)
    for _ in range(5):
        # Nothing is due, and nothing speaks against more at once.
        await delivery.go_on()
    bench.add_due_events(100)
    bench.assets_are_up = False

    def tried() -> int:
        return sum(event.attempts for event in bench.tables.outbox.values())

    assert not await delivery.go_on()
    first = tried()
    assert not await delivery.go_on()
    assert not await delivery.go_on()
    assert (first > 1, tried()) == (True, first + 2)

    bench.assets_are_up = True
    bench.clock.advance(seconds=1)
    while await delivery.go_on():
        pass
    assert bench.tables.outbox == {}


async def test_what_is_said_of_a_device_has_to_fit_its_type(bench: Bench) -> None:
    with pytest.raises(RuleViolationError) as refusal:
        await bench.register(asset={"properties": {"rated_power_kw": "much"}})

    assert list(refusal.value.errors) == ["asset.properties.rated_power_kw"]
    assert (bench.tables.devices, bench.tables.outbox) == ({}, {})
    # What is a pump says nothing of another type.
    device = await bench.register(device_type="lift", asset={"properties": {"rated_power_kw": "much"}})
    assert bench.asset_of(device).properties == {"rated_power_kw": "much"}


async def test_of_many_only_those_that_do_not_fit_their_types_are_refused(bench: Bench) -> None:
    drafts = [
        DeviceDraft("A", "pump", asset={"properties": {"rated_power_kw": -1}}),
        DeviceDraft("B", "pump", asset={"properties": {"rated_power_kw": 1.5}}),
        DeviceDraft("C", "lift", asset={"properties": {"rated_power_kw": -1}}),
        DeviceDraft("D", "pump"),
    ]

    refused, *made = await bench.register_many(*drafts)

    assert isinstance(refused, RuleViolationError)
    assert list(refused.errors) == ["asset.properties.rated_power_kw"]
    assert len([outcome for outcome in made if isinstance(outcome, UUID)]) == 3


async def test_while_the_type_cannot_be_told_a_device_does_not_wait_for_it(bench: Bench) -> None:
    bench.assets_are_up = False

    device = await bench.register(asset={"properties": {"rated_power_kw": "much"}})

    bench.assets_are_up = True
    bench.clock.advance(seconds=1)
    await bench.deliver_due_events()
    assert bench.asset_of(device).properties == {"rated_power_kw": "much"}
