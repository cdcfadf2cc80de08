from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from iotsphere.assets.device_type import DeviceType
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.kernel.errors import MalformedInputError
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import encode_cursor
from tests.factories.assets import build_device_type


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


async def keep(unit_of_work: AssetsUnitOfWorkFactory, *device_types: DeviceType) -> None:
    async with unit_of_work() as uow:
        for device_type in device_types:
            assert await uow.device_types.add(device_type)
        await uow.commit()


async def names(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, limit: int = 500, even_removed: Collection[str] = ()
) -> list[str]:
    """List all of them, page by page."""
    listed: list[str] = []
    cursor: str | None = None
    while True:
        async with unit_of_work() as uow:
            page = await uow.device_types.list(ours, even_removed=even_removed, limit=limit, cursor=cursor)
        listed += [device_type.name for device_type in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return listed


async def test_returns_what_was_added(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    device_type = build_device_type(organisation_id=ours, version=3)

    await keep(unit_of_work, device_type)

    async with unit_of_work() as uow:
        assert await uow.device_types.find(ours, device_type.name) == device_type
        assert await uow.device_types.find(ours, device_type.name, for_update=True) == device_type


@pytest.mark.parametrize(
    "document",
    [
        {"one": 1, "one_point_zero": 1.0, "true": True, "beyond_64_bits": 2**64 + 1},
        {"array": [], "object": {}, "null": None, "text": "", "nested": [[], {}, [None]]},
        {"": 1, "$ref": 2, "ä": 3, "\U0001f600": 4, '"\\/\n': 5},
    ],
)
async def test_keeps_json_exactly(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, document: dict[str, Any]
) -> None:
    kept = build_device_type(
        organisation_id=ours,
        shadow_schema=document,
        maintenance=document,
        capabilities=[document],
        properties_schema=document,
    )

    await keep(unit_of_work, kept)

    async with unit_of_work() as uow:
        found = await uow.device_types.find(ours, kept.name)
    assert found is not None
    for member in ("shadow_schema", "maintenance", "capabilities", "properties_schema"):
        as_json = [msgspec.json.encode(getattr(one, member), order="deterministic") for one in (found, kept)]
        assert as_json[0] == as_json[1]


async def test_tells_no_schema_from_an_empty_one(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    none = build_device_type(organisation_id=ours, shadow_schema=None, properties_schema=None)
    empty = build_device_type(organisation_id=ours, shadow_schema={}, properties_schema={})

    await keep(unit_of_work, none, empty)

    async with unit_of_work() as uow:
        found = [await uow.device_types.find(ours, kept.name) for kept in (none, empty)]
    assert found == [none, empty]


async def test_adds_no_second_one_of_a_name_and_goes_on(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    first = build_device_type(organisation_id=ours)
    await keep(unit_of_work, first)

    async with unit_of_work() as uow:
        assert not await uow.device_types.add(replace(first, metrics=[]))
        await uow.device_types.save(replace(first, version=2))
        await uow.commit()

    async with unit_of_work() as uow:
        assert await uow.device_types.find(ours, first.name) == replace(first, version=2)


async def test_saves_all_that_can_change(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    device_type = build_device_type(organisation_id=ours)
    await keep(unit_of_work, device_type)
    changed = replace(
        device_type,
        metrics=[],
        capabilities=[],
        shadow_schema=None,
        maintenance={"a": 1},
        properties_schema={},
        is_removed=True,
        updated_at=device_type.updated_at + timedelta(microseconds=1),
        version=2,
    )

    async with unit_of_work() as uow:
        await uow.device_types.save(changed)
        await uow.commit()

    async with unit_of_work() as uow:
        assert await uow.device_types.find(ours, device_type.name) == changed


async def test_what_was_not_committed_is_not_there(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    async with unit_of_work() as uow:
        await uow.device_types.add(build_device_type(organisation_id=ours))

    assert await names(unit_of_work, ours) == []


async def test_another_organisations_type_of_the_same_name_is_another_one(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    theirs = build_device_type()
    await keep(unit_of_work, theirs)

    async with unit_of_work() as uow:
        assert await uow.device_types.find(ours, theirs.name) is None
        await uow.device_types.save(replace(theirs, organisation_id=ours, version=9))
        await uow.commit()
    await keep(unit_of_work, replace(theirs, organisation_id=ours, version=7))

    async with unit_of_work() as uow:
        assert await uow.device_types.find(ours, theirs.name) == replace(theirs, organisation_id=ours, version=7)
        assert await uow.device_types.find(theirs.organisation_id, theirs.name) == theirs
    assert await names(unit_of_work, ours) == [theirs.name]


async def test_lists_them_by_name_page_by_page(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    made = ["b", "a-b", "ab", "a", "a1", "a-1", "z"]

    await keep(unit_of_work, *(build_device_type(organisation_id=ours, name=name) for name in made))

    assert await names(unit_of_work, ours, limit=2) == sorted(made)
    assert await names(unit_of_work, ours, limit=7) == sorted(made)


async def test_lists_what_was_removed_only_where_it_is_asked_for_by_name(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    for name in ("a", "b", "c", "d", "e"):
        await keep(
            unit_of_work, build_device_type(organisation_id=ours, name=name, is_removed=name in {"b", "c", "e"})
        )

    assert await names(unit_of_work, ours, limit=1) == ["a", "d"]
    assert await names(unit_of_work, ours, limit=1, even_removed=["c", "e", "z"]) == ["a", "c", "d", "e"]


@pytest.mark.parametrize("cursor", ["nonsense", encode_cursor("\0"), encode_cursor(7), encode_cursor("a", "b")])
async def test_a_made_up_cursor_is_malformed(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, cursor: str
) -> None:
    async with unit_of_work() as uow:
        with pytest.raises(MalformedInputError):
            await uow.device_types.list(ours, even_removed=(), limit=10, cursor=cursor)
