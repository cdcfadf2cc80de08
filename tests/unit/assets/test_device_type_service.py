from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from uuid import uuid4

import pytest

from iotsphere.assets.device_type import DeviceType, DeviceTypeDefinition
from iotsphere.assets.device_types import DeviceTypeService
from iotsphere.assets.errors import DeviceTypeNotFoundError
from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.shipped_types import ShippedTypes
from iotsphere.kernel.errors import PreconditionFailedError, RuleViolationError
from iotsphere.kernel.identifiers import OrganisationId
from tests.factories.assets import FIRST_DAY
from tests.fakes.assets import DeviceTypes, InMemoryAssetsUnitOfWork

OURS, THEIRS = OrganisationId(uuid4()), OrganisationId(uuid4())


@dataclass
class Desk:
    """The service on a store in memory; every look at the clock is a second later than the one before."""

    stored: DeviceTypes = field(default_factory=dict)
    seconds: Iterator[int] = field(default_factory=count)
    shipped: ShippedTypes = field(default_factory=lambda: ShippedTypes({}))

    def __post_init__(self) -> None:
        self.known_types = KnownTypes(unit_of_work=self.open_store, shipped=self.shipped)
        self.service = DeviceTypeService(
            unit_of_work=self.open_store, shipped=self.shipped, clock=self.now, known_types=self.known_types
        )

    def open_store(self) -> InMemoryAssetsUnitOfWork:
        return InMemoryAssetsUnitOfWork({}, self.stored)

    def now(self) -> datetime:
        return FIRST_DAY + timedelta(seconds=next(self.seconds))

    async def define(
        self, name: str = "boiler", *, expected_version: int | None = None, **said: object
    ) -> DeviceType:
        definition = DeviceTypeDefinition(**said)  # type: ignore[arg-type]
        return await self.service.define_device_type(
            organisation_id=OURS, name=name, definition=definition, expected_version=expected_version
        )


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_what_is_defined_first_is_new(desk: Desk) -> None:
    defined = await desk.define(maintenance={"a": 1})

    assert (defined.version, defined.created_at, defined.updated_at) == (1, FIRST_DAY, FIRST_DAY)
    assert await desk.service.get_device_type(organisation_id=OURS, name="boiler") == defined


async def test_what_is_defined_again_is_replaced_as_a_whole(desk: Desk) -> None:
    await desk.define(maintenance={"a": 1}, shadow_schema={}, capabilities=[{"name": "c"}])

    replaced = await desk.define(maintenance={"b": 2})

    assert (replaced.version, replaced.maintenance) == (2, {"b": 2})
    assert (replaced.shadow_schema, replaced.capabilities) == (None, [])
    assert (replaced.created_at, replaced.updated_at) == (FIRST_DAY, FIRST_DAY + timedelta(seconds=1))
    assert await desk.service.get_device_type(organisation_id=OURS, name="boiler") == replaced


async def test_of_two_who_read_the_same_version_the_second_is_refused(desk: Desk) -> None:
    await desk.define()
    first = await desk.define(expected_version=1)

    with pytest.raises(PreconditionFailedError):
        await desk.define(expected_version=1, maintenance={"lost": 1})

    assert desk.stored[OURS, "boiler"] == first


async def test_what_is_not_there_has_no_version_to_expect(desk: Desk) -> None:
    with pytest.raises(PreconditionFailedError):
        await desk.define(expected_version=1)

    assert desk.stored == {}


@pytest.mark.parametrize("name", ["", "Boiler", "1a", "a_b", "a" * 64, "a\n", "ä", "a/b", "\0"])
async def test_a_name_that_no_device_could_give_is_refused(desk: Desk, name: str) -> None:
    with pytest.raises(RuleViolationError) as refusal:
        await desk.define(name)
    with pytest.raises(DeviceTypeNotFoundError):
        await desk.service.get_device_type(organisation_id=OURS, name=name)

    assert list(refusal.value.errors) == ["name"]


async def test_another_organisation_does_not_see_it(desk: Desk) -> None:
    await desk.define()

    with pytest.raises(DeviceTypeNotFoundError):
        await desk.service.get_device_type(organisation_id=THEIRS, name="boiler")
    assert (await desk.service.list_device_types(organisation_id=THEIRS, limit=50, cursor=None)).items == []


async def test_what_was_changed_here_counts_at_once(desk: Desk) -> None:
    await desk.define()
    assert await desk.known_types.find_schema(organisation_id=OURS, device_type="boiler") is None

    await desk.define(shadow_schema={"required": ["a"]})

    assert await desk.known_types.find_schema(organisation_id=OURS, device_type="boiler") is not None
