"""The files that come with the platform, and what an organisation sees of them as it and the releases go on."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.api.assets.schemas import DefineDeviceTypeBody
from iotsphere.assets.device_type import DeviceType, DeviceTypeDefinition
from iotsphere.assets.device_types import DeviceTypeService
from iotsphere.assets.errors import DeviceTypeNotFoundError, DeviceTypeShippedError
from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.shipped_types import ShippedType, ShippedTypes
from iotsphere.kernel.identifiers import OrganisationId
from tests.factories.assets import FIRST_DAY
from tests.fakes.assets import DeviceTypes, InMemoryAssetsUnitOfWork

OURS = OrganisationId(uuid4())
NAMES = ("hvac", "pump", "robot", "turbofan", "vending-machine", "water-heater")
SHIPPED = ShippedTypes.load()


def shipped(name: str) -> DeviceType:
    found = SHIPPED.present(OURS, name, None)
    assert found is not None
    return found


def test_six_come_with_the_platform() -> None:
    assert sorted(SHIPPED.names) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_could_have_been_put_by_an_operator(name: str) -> None:
    said = DeviceTypeDefinition(**{member: getattr(shipped(name), member) for member in SAID}).members()

    assert DefineDeviceTypeBody().validate(said) == {}
    assert shipped(name).is_shipped
    assert shipped(name).updated_at.tzinfo is not None


SAID = ("metrics", "capabilities", "shadow_schema", "maintenance", "properties_schema")


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_its_numbers_mean_and_how_far_they_reach(name: str) -> None:
    for metric in shipped(name).metrics:
        assert metric["description"], metric
        assert metric["type"] != "number" or metric["min"] < metric["max"], metric
        assert metric["unit"] or metric["type"] != "number", metric


@pytest.mark.parametrize("name", NAMES)
def test_each_is_maintained_as_docs_device_types_says(name: str) -> None:
    device_type = shipped(name)
    components = {component["name"]: component for component in device_type.maintenance["components"]}
    metrics = {metric["name"] for metric in device_type.metrics}

    assert sum(component["weight"] for component in components.values()) == pytest.approx(1)
    for component in components.values():
        assert component.keys() == {"name", "weight", "expected_life_hours", "failure_modes"}
        assert component["expected_life_hours"] > 0
        for mode in component["failure_modes"]:
            assert mode.keys() == {"name", "metrics", "shows_as"}
            assert set(mode["metrics"]) <= metrics, mode
    for task in device_type.maintenance["tasks"]:
        assert task["component"] in components
        [every] = task.keys() - {"name", "component", "description"}
        assert every in {"every_hours", "every_days", "every_cycles"}
        assert task[every] > 0


def release(version: int) -> ShippedTypes:
    definition = DeviceTypeDefinition(maintenance={"release": version})
    return ShippedTypes({"pump": ShippedType(definition, version, FIRST_DAY, FIRST_DAY + timedelta(days=version))})


@dataclass
class Course:
    """An organisation that goes through releases, and says what it likes of a type."""

    name: str
    stored: DeviceTypes = field(default_factory=dict)
    version_of_release: int = 1
    said: int = 0

    def __post_init__(self) -> None:
        self.upgrade(1)

    def upgrade(self, version: int) -> None:
        self.version_of_release = version
        shipped = release(version)
        known_types = KnownTypes(unit_of_work=self.open_store, shipped=shipped)
        self.service = DeviceTypeService(
            unit_of_work=self.open_store, shipped=shipped, clock=self.now, known_types=known_types
        )

    def open_store(self) -> InMemoryAssetsUnitOfWork:
        return InMemoryAssetsUnitOfWork({}, self.stored)

    def now(self) -> datetime:
        self.said += 1
        return datetime(2027, 1, 1, tzinfo=UTC) + timedelta(seconds=self.said)

    async def do(self, step: str) -> None:
        if step == "upgrade":
            self.upgrade(self.version_of_release + 1)
        elif step == "define":
            definition = DeviceTypeDefinition(maintenance={"ours": self.said})
            await self.service.define_device_type(organisation_id=OURS, name=self.name, definition=definition)
        else:
            seen = await self.see()
            refusal = DeviceTypeNotFoundError if seen is None else DeviceTypeShippedError
            if seen is not None and not seen.is_shipped:
                await self.service.remove_device_type(organisation_id=OURS, name=self.name, expected_version=None)
                return
            with pytest.raises(refusal):
                await self.service.remove_device_type(organisation_id=OURS, name=self.name, expected_version=None)

    async def see(self) -> DeviceType | None:
        try:
            seen = await self.service.get_device_type(organisation_id=OURS, name=self.name)
        except DeviceTypeNotFoundError:
            assert (await self.service.list_device_types(organisation_id=OURS, limit=2, cursor=None)).items == [
                shipped for shipped in [release(self.version_of_release).present(OURS, "pump", None)] if shipped
            ]
            return None
        listed = await self.service.list_device_types(organisation_id=OURS, limit=500, cursor=None)
        assert seen in listed.items
        return seen


@given(
    name=st.sampled_from(["pump", "boiler"]),
    steps=st.lists(st.sampled_from(["define", "remove", "upgrade"]), max_size=12),
)
async def test_no_version_is_ever_given_to_two_definitions(name: str, steps: list[str]) -> None:
    course = Course(name)
    versions: dict[int, object] = {}
    last = 0
    for step in ["", *steps]:
        if step:
            await course.do(step)
        seen = await course.see()
        if seen is not None:
            assert versions.setdefault(seen.version, seen.maintenance) == seen.maintenance
            assert seen.version >= last
            last = seen.version


async def test_a_later_release_reaches_who_has_said_nothing_of_their_own() -> None:
    course = Course("pump")
    first = await course.see()
    await course.do("upgrade")
    second = await course.see()
    await course.do("define")
    await course.do("upgrade")
    ours = await course.see()
    await course.do("remove")
    back = await course.see()

    assert first is not None and second is not None and ours is not None and back is not None  # noqa: PT018
    assert (first.version, first.maintenance, first.is_shipped) == (1, {"release": 1}, True)
    assert (second.version, second.maintenance, second.is_shipped) == (2, {"release": 2}, True)
    assert (ours.version, ours.maintenance, ours.is_shipped) == (3, {"ours": 0}, False)
    assert (back.version, back.maintenance, back.is_shipped) == (4, {"release": 3}, True)
    assert second.updated_at < ours.updated_at < back.updated_at


@given(
    own=st.sets(st.sampled_from("abcdefgh"), max_size=8),
    removed=st.sets(st.sampled_from("abcdefgh"), max_size=8),
    of_us=st.sets(st.sampled_from("abcdefgh"), max_size=8),
    limit=st.integers(1, 9),
)
async def test_what_is_shipped_and_what_is_ours_are_listed_together_page_by_page(
    own: set[str], removed: set[str], of_us: set[str], limit: int
) -> None:
    shipped = ShippedTypes({name: ShippedType(DeviceTypeDefinition(), 1, FIRST_DAY, FIRST_DAY) for name in of_us})
    course = Course("pump")
    course.service = DeviceTypeService(
        unit_of_work=course.open_store,
        shipped=shipped,
        clock=course.now,
        known_types=KnownTypes(unit_of_work=course.open_store, shipped=shipped),
    )
    for name in own | removed:
        await course.service.define_device_type(organisation_id=OURS, name=name, definition=DeviceTypeDefinition())
    for name in removed:
        await course.service.remove_device_type(organisation_id=OURS, name=name, expected_version=None)

    listed: list[tuple[str, bool]] = []
    cursor: str | None = None
    while True:
        page = await course.service.list_device_types(organisation_id=OURS, limit=limit, cursor=cursor)
        assert len(page.items) == limit or page.next_cursor is None
        listed += [(device_type.name, device_type.is_shipped) for device_type in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break

    ours = own - removed
    assert listed == [(name, name not in ours) for name in sorted(ours | of_us)]
