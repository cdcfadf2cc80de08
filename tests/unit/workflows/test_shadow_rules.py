"""A shadow held against the schema of its device's type, with either store there or away."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.shipped_types import ShippedTypes
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.shadow.documents import JsonObject
from iotsphere.shadow.model import Section, Shadow, ShadowKey, Violation
from iotsphere.workflows.device_kinds import DeviceKinds
from iotsphere.workflows.shadow_rules import DeviceTypeRules
from tests.factories.assets import build_device_type
from tests.factories.registry import build_device
from tests.fakes.assets import DeviceTypes, InMemoryAssetsUnitOfWork
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables, UnreachableUnitOfWork

SCHEMA = {
    "properties": {"heating": {"properties": {"target": {"type": "number", "maximum": 80}}, "required": ["mode"]}},
    "required": ["heating"],
}
BOTH = ("desired", "reported")


class Site:
    """A registry and an asset database in memory; ``asked`` counts who came to either."""

    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.types: DeviceTypes = {}
        self.is_registry_away = self.are_assets_away = False
        self.asked: list[str] = []
        self.now = 0.0
        self.rules = self.start_process()

    def start_process(self, most_devices: int = 10) -> DeviceTypeRules:
        """Begin with nothing remembered."""
        devices = DeviceRegistryService(unit_of_work=self.open_registry, clock=utc_now, new_id=uuid4)
        types = KnownTypes(unit_of_work=self.open_assets, shipped=ShippedTypes({}), monotonic=lambda: self.now)
        return DeviceTypeRules(kinds=DeviceKinds(devices=devices, most_devices=most_devices), types=types)

    def open_registry(self) -> InMemoryRegistryUnitOfWork:
        self.asked.append("registry")
        kind = UnreachableUnitOfWork if self.is_registry_away else InMemoryRegistryUnitOfWork
        return kind(self.tables)

    def open_assets(self) -> InMemoryAssetsUnitOfWork:
        self.asked.append("assets")
        if self.are_assets_away:
            raise UnavailableError("assets", "It is away.")
        return InMemoryAssetsUnitOfWork({}, self.types)

    def add_device(self, schema: dict[str, Any] | None = SCHEMA) -> ShadowKey:
        device = build_device()
        self.tables.devices[device.id] = device
        if schema is not None:
            kept = build_device_type(
                organisation_id=device.organisation_id, name=device.device_type, shadow_schema=schema
            )
            self.types[kept.organisation_id, kept.name] = kept
        return ShadowKey(device.id)

    async def places(
        self, key: ShadowKey, *sections: str, desired: JsonObject | None = None, reported: JsonObject | None = None
    ) -> list[str]:
        shadow = Shadow(version=1, desired=Section(desired or {}), reported=Section(reported or {}))
        return [violation.path for violation in await self.rules.check(key, shadow, sections=sections or BOTH)]


@pytest.fixture
def site() -> Site:
    return Site()


async def test_what_is_desired_is_told_where_it_breaks_the_schema(site: Site) -> None:
    key = site.add_device()

    assert await site.places(key, desired={"heating": {"target": 95}}) == ["state.desired.heating.target"]
    assert await site.places(key, desired={"heating": {"target": 60}}) == []
    assert await site.places(key, desired={"light": "on"}) == []


async def test_what_is_reported_has_to_be_all_there(site: Site) -> None:
    key = site.add_device()

    assert await site.places(key, reported={"light": "on"}) == ["state.reported"]
    assert await site.places(key, reported={"heating": {"target": 60}}) == ["state.reported.heating"]
    assert await site.places(key, reported={"heating": {"target": 60, "mode": 1}}) == []


async def test_only_the_sections_that_are_asked_about_are_looked_at(site: Site) -> None:
    key = site.add_device()
    bad = {"heating": {"target": 95, "mode": 1}}

    assert await site.places(key, "desired", desired=bad, reported=bad) == ["state.desired.heating.target"]
    assert await site.places(key, "reported", desired=bad, reported=bad) == ["state.reported.heating.target"]
    assert len(await site.places(key, desired=bad, reported=bad)) == 2


async def test_a_section_that_holds_nothing_breaks_nothing_and_costs_nothing(site: Site) -> None:
    key = site.add_device()

    assert await site.places(key, desired={}, reported={}) == []
    assert site.asked == []


async def test_a_named_shadow_is_not_held_against_the_schema(site: Site) -> None:
    key = ShadowKey(site.add_device().device_id, "network")

    assert await site.places(key, reported={"anything": 1}) == []
    assert site.asked == []


async def test_no_more_than_20_places_are_told(site: Site) -> None:
    key = site.add_device({"additionalProperties": {"type": "string"}})
    state = {f"k{number}": number for number in range(30)}

    assert len(await site.places(key, desired=state, reported=state)) == 20
    # What would be refused is never pushed out by what would be flagged.
    assert (await site.places(key, "reported", "desired", desired={"a": 1}, reported=state))[0] == "state.desired.a"


@pytest.mark.parametrize("schema", [None, {}])
async def test_without_a_schema_everything_fits_and_nobody_is_asked_twice(
    site: Site, schema: dict[str, Any] | None
) -> None:
    key = site.add_device(schema)

    for _ in range(50):
        assert await site.places(key, desired={"a": 1}, reported={"b": 2}) == []

    assert site.asked == ["registry", "assets"]


async def test_what_a_device_is_is_asked_once_and_its_schema_every_second(site: Site) -> None:
    key = site.add_device()

    for site.now in (0.0, 0.5, 1.5, 3.0):
        await site.places(key, reported={"a": 1})

    assert site.asked == ["registry", "assets", "assets", "assets"]


async def test_a_device_that_is_not_there_has_no_schema(site: Site) -> None:
    assert await site.places(ShadowKey(DeviceId(uuid4())), desired={"a": 1}) == []


@pytest.mark.parametrize("away", ["is_registry_away", "are_assets_away"])
async def test_where_nothing_was_ever_known_a_wish_is_refused_and_a_report_is_taken(site: Site, away: str) -> None:
    key = site.add_device()
    setattr(site, away, True)

    assert await site.places(key, "reported", desired={"a": 1}, reported={"a": 1}) == []
    for sections in (("desired",), BOTH):
        with pytest.raises(UnavailableError):
            await site.places(key, *sections, desired={"heating": {"target": 60}}, reported={"a": 1})
    # What is taken back cannot break anything.
    assert await site.places(key, "desired", desired={}) == []


@pytest.mark.parametrize("away", ["is_registry_away", "are_assets_away"])
async def test_flags_stand_until_it_can_be_known_whether_the_report_is_right(site: Site, away: str) -> None:
    key = site.add_device()
    flags = [Violation("state.reported.heating.target", "Is above 80.")]
    shadow = Shadow(version=2, reported=Section({"heating": {"target": 60, "mode": 1}}), violations=flags)
    setattr(site, away, True)

    assert await site.rules.check(key, shadow, sections=["reported"]) == flags
    # Nothing breaks nothing, whatever the schema is.
    assert await site.rules.check(key, replace(shadow, reported=Section()), sections=["reported"]) == []

    setattr(site, away, False)
    site.now = 1_000_000.0
    assert await site.rules.check(key, shadow, sections=["reported"]) == []


async def test_with_both_stores_away_what_was_known_goes_on_counting(site: Site) -> None:
    key = site.add_device()
    await site.places(key, reported={"a": 1})
    site.is_registry_away = site.are_assets_away = True
    site.now = 1_000_000.0

    assert await site.places(key, desired={"heating": {"target": 95}}) == ["state.desired.heating.target"]
    assert await site.places(key, desired={"heating": {"target": 60}}) == []


async def test_the_device_that_was_not_asked_about_for_the_longest_is_forgotten(site: Site) -> None:
    site.rules = site.start_process(most_devices=2)
    first, second, third = (site.add_device(None) for _ in range(3))

    for key in (first, second, first, third, first):
        await site.places(key, reported={"a": 1})
    assert site.asked.count("registry") == 3
    await site.places(second, reported={"a": 1})
    assert site.asked.count("registry") == 4
