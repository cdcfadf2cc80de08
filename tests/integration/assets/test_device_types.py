"""Many who define a device type at once, on the real store."""

import asyncio
from collections import Counter
from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.assets.device_type import DeviceType, DeviceTypeDefinition
from iotsphere.assets.device_types import DeviceTypeService
from iotsphere.assets.errors import DeviceTypeShippedError
from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.shipped_types import ShippedTypes
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.identifiers import OrganisationId
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate
from tests.integration.patience import eventually


@pytest.fixture
def types(assets_engine: AsyncEngine) -> DeviceTypeService:
    unit_of_work = partial(SqlAlchemyAssetsUnitOfWork, assets_engine, StoreGate("assets"))
    shipped = ShippedTypes.load()
    known_types = KnownTypes(unit_of_work=unit_of_work, shipped=shipped)
    return DeviceTypeService(unit_of_work=unit_of_work, shipped=shipped, clock=utc_now, known_types=known_types)


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


async def define(
    types: DeviceTypeService, ours: OrganisationId, name: str, expected_version: int | None = None
) -> DeviceType:
    return await types.define_device_type(
        organisation_id=ours, name=name, definition=DeviceTypeDefinition(), expected_version=expected_version
    )


@pytest.mark.parametrize(("name", "first"), [("boiler", 1), ("pump", 2)])
async def test_of_many_definitions_at_once_each_has_a_version_of_its_own(
    types: DeviceTypeService, ours: OrganisationId, name: str, first: int
) -> None:
    defined = await asyncio.gather(*(eventually(define, types, ours, name) for _ in range(20)))

    assert sorted(one.version for one in defined) == list(range(first, first + 20))


async def test_of_many_who_replace_the_shipped_version_one_is_heard(
    types: DeviceTypeService, ours: OrganisationId
) -> None:
    outcomes = await asyncio.gather(
        *(eventually(define, types, ours, "pump", expected_version=1) for _ in range(20)), return_exceptions=True
    )

    assert Counter(type(outcome) for outcome in outcomes) == {DeviceType: 1, PreconditionFailedError: 19}


async def test_of_many_who_take_back_one_is_heard_and_the_version_goes_on(
    types: DeviceTypeService, ours: OrganisationId
) -> None:
    await define(types, ours, "pump")

    outcomes = await asyncio.gather(
        *(types.remove_device_type(organisation_id=ours, name="pump", expected_version=None) for _ in range(10)),
        return_exceptions=True,
    )

    assert Counter(type(outcome) for outcome in outcomes) == {type(None): 1, DeviceTypeShippedError: 9}
    shown = await types.get_device_type(organisation_id=ours, name="pump")
    page = await types.list_device_types(organisation_id=ours, limit=500, cursor=None)
    assert (shown.version, shown.is_shipped) == (3, True)
    assert [(one.name, one.version) for one in page.items if one.name == "pump"] == [("pump", 3)]
    assert len(page.items) == 6
