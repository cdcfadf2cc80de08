from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from iotsphere.assets.change import (
    KEPT_EVERY,
    KEPT_VERSIONS,
    UNKNOWN,
    AssetChange,
    as_it_was,
    change_of,
    describe,
)
from iotsphere.assets.model import Asset, AssetPatch
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.kernel.errors import MalformedInputError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.kernel.pagination import encode_cursor
from tests.factories.assets import build_asset

ACTOR = "user:1"
MINUTE = timedelta(minutes=1)
NEVER = datetime.min.replace(tzinfo=UTC)
AT_LAST = datetime.max.replace(tzinfo=UTC)


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


@pytest.fixture
def theirs() -> OrganisationId:
    return OrganisationId(uuid4())


async def keep(unit_of_work: AssetsUnitOfWorkFactory, *assets: Asset, told: bool = True) -> None:
    async with unit_of_work() as uow:
        for asset in assets:
            await uow.assets.add(asset)
        if told:
            await uow.changes.add(*(change_of(None, asset, actor=ACTOR) for asset in assets))
        await uow.commit()


async def change(
    unit_of_work: AssetsUnitOfWorkFactory, asset: Asset, patch: AssetPatch, *, told: bool = True
) -> Asset:
    changed = asset.change(patch, changed_at=asset.updated_at + MINUTE)
    async with unit_of_work() as uow:
        await uow.assets.save(changed)
        if told:
            await uow.changes.add(change_of(asset, changed, actor=ACTOR))
        await uow.commit()
    return changed


async def listed(unit_of_work: AssetsUnitOfWorkFactory, asset: Asset, **narrowed: Any) -> list[AssetChange]:
    given: dict[str, Any] = {"start": None, "end": None, "limit": 500, "cursor": None} | narrowed
    async with unit_of_work() as uow:
        page = await uow.changes.list(asset.organisation_id, asset.id, **given)
    return page.items


async def version_at(unit_of_work: AssetsUnitOfWorkFactory, asset: Asset, at: datetime) -> int | None:
    async with unit_of_work() as uow:
        return await uow.changes.find_version_at(asset.organisation_id, asset.id, at)


async def made_again(unit_of_work: AssetsUnitOfWorkFactory, asset: Asset, version: int) -> Asset | None:
    async with unit_of_work() as uow:
        changes = await uow.changes.list_since_whole(asset.organisation_id, asset.id, version=version)
    return as_it_was(asset, changes) if changes else None


def as_json(document: Any) -> bytes:
    """Tell 1 from 1.0 and from True, which Python's equality does not."""
    return msgspec.json.encode(document, order="sorted")


async def test_changes_are_listed_with_what_was_told_the_newest_first(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    site = build_asset(organisation_id=ours)
    first = build_asset(organisation_id=ours, properties={"a": 1, "n": {"null": None}}, parent_id=site.id)
    await keep(unit_of_work, site, first)
    second = await change(unit_of_work, first, {"properties": {"a": 1.0, "b": [None, {"c": None}]}})
    third = await change(unit_of_work, second, {"parent_id": None, "name": "Pümpe 😀"})
    await change(unit_of_work, third, {})

    changes = await listed(unit_of_work, first)

    assert [(each.version, each.at, each.actor) for each in changes] == [
        (number, first.updated_at + (number - 1) * MINUTE, ACTOR) for number in (4, 3, 2, 1)
    ]
    assert as_json([each.patch for each in changes]) == as_json(
        [
            {},
            {"parent_id": None, "name": "Pümpe 😀"},
            {"properties": {"a": 1.0, "b": [None, {"c": None}]}},
            None,
        ]
    )
    assert as_json(changes[-1].whole) == as_json(describe(first))


async def test_of_what_nobody_told_it_is_found_what_it_is(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    asset = build_asset(organisation_id=ours, version=7)
    await keep(unit_of_work, asset, told=False)
    assert await listed(unit_of_work, asset) == [
        AssetChange(ours, asset.id, 7, asset.updated_at, UNKNOWN, whole=describe(asset))
    ]

    eighth = await change(unit_of_work, asset, {"name": "8"}, told=False)
    ninth = await change(unit_of_work, eighth, {"name": "9"})

    told = [(each.version, each.actor, each.patch, each.whole) for each in await listed(unit_of_work, asset)]
    assert told == [
        (9, ACTOR, {"name": "9"}, None),
        (8, UNKNOWN, None, describe(eighth)),
        (7, UNKNOWN, None, describe(asset)),
    ]
    assert await made_again(unit_of_work, ninth, 8) == eighth
    assert await made_again(unit_of_work, ninth, 7) == asset
    assert await made_again(unit_of_work, ninth, 6) is None


@pytest.mark.parametrize("properties", [{"a": None}, {"a": {"b": {"c": None}}}])
async def test_what_no_patch_can_say_is_kept_whole(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, properties: dict[str, Any]
) -> None:
    first = build_asset(organisation_id=ours, properties={"a": 1})
    second = replace(first, properties=properties, version=2)
    await keep(unit_of_work, first)
    async with unit_of_work() as uow:
        await uow.assets.save(second)
        await uow.changes.add(change_of(first, second, actor=ACTOR))
        await uow.commit()

    assert (await listed(unit_of_work, first))[0].whole == describe(second)
    third = await change(unit_of_work, second, {"name": "Third"})

    assert (await listed(unit_of_work, first))[1].whole == describe(second)
    assert await made_again(unit_of_work, third, 2) == second


async def test_every_version_is_made_again(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    versions = [build_asset(organisation_id=ours, properties={"huge": 10**300 + 7, "null": None})]
    await keep(unit_of_work, *versions)
    for number in range(2 * KEPT_EVERY + 3):
        patch: AssetPatch = {"properties": {str(number % 7): number, str((number + 3) % 7): None}}
        versions.append(await change(unit_of_work, versions[-1], patch))

    for version in versions[:-1]:
        found = await made_again(unit_of_work, versions[-1], version.version)
        assert found == version
        assert as_json(describe(found)) == as_json(describe(version))


async def test_the_version_at_a_time_is_the_last_one_that_was_made_by_then(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    asset = build_asset(organisation_id=ours)
    await keep(unit_of_work, asset)
    await change(unit_of_work, await change(unit_of_work, asset, {}), {})
    start = asset.updated_at

    assert await version_at(unit_of_work, asset, start - timedelta(microseconds=1)) is None
    assert await version_at(unit_of_work, asset, NEVER) is None
    for number in range(3):
        assert await version_at(unit_of_work, asset, start + number * MINUTE) == number + 1
        assert await version_at(unit_of_work, asset, start + (number + 1) * MINUTE) == min(number + 2, 3)
    assert await version_at(unit_of_work, asset, AT_LAST) == 3


async def test_of_versions_of_one_moment_the_last_one_is_that_of_the_moment(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    asset = build_asset(organisation_id=ours)
    await keep(unit_of_work, asset)
    for _ in range(3):
        changed = asset.change({}, changed_at=asset.updated_at)
        async with unit_of_work() as uow:
            await uow.assets.save(changed)
            await uow.changes.add(change_of(asset, changed, actor=ACTOR))
            await uow.commit()
        asset = changed

    assert await version_at(unit_of_work, asset, asset.updated_at) == 4
    assert [each.version for each in await listed(unit_of_work, asset)] == [4, 3, 2, 1]


async def test_a_list_is_narrowed_by_time_with_the_start_and_without_the_end(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    told, untold = build_asset(organisation_id=ours), build_asset(organisation_id=ours)
    await keep(unit_of_work, told)
    await keep(unit_of_work, untold, told=False)
    await change(unit_of_work, await change(unit_of_work, told, {}), {})
    start, later = told.updated_at + MINUTE, told.updated_at + 2 * MINUTE

    assert [each.version for each in await listed(unit_of_work, told, start=start)] == [3, 2]
    assert [each.version for each in await listed(unit_of_work, told, end=later)] == [2, 1]
    assert [each.version for each in await listed(unit_of_work, told, start=start, end=later)] == [2]
    assert await listed(unit_of_work, told, start=AT_LAST) == await listed(unit_of_work, told, end=NEVER) == []
    assert await listed(unit_of_work, untold, start=untold.updated_at + MINUTE) == []
    assert await listed(unit_of_work, untold, end=untold.updated_at) == []


async def test_pages_join_to_the_whole_list_whatever_is_changed_meanwhile(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    asset = build_asset(organisation_id=ours)
    await keep(unit_of_work, asset)
    for _ in range(6):
        asset = await change(unit_of_work, asset, {"name": f"V{asset.version + 1}"})
    seen: list[int] = []
    cursor: str | None = None

    for page_number in range(4):
        async with unit_of_work() as uow:
            page = await uow.changes.list(ours, asset.id, start=None, end=None, limit=2, cursor=cursor)
        seen += [each.version for each in page.items]
        cursor = page.next_cursor
        assert (cursor is None) == (page_number == 3)
        asset = await change(unit_of_work, asset, {})

    assert seen == [7, 6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "made-up",
        encode_cursor("2026-11-20T00:00:00Z"),
        encode_cursor("2026-11-20T00:00:00", 1),
        encode_cursor("0001-01-01T00:00:00+14:00", 1),
        encode_cursor("2026-11-20T00:00:00Z", "1"),
        encode_cursor("2026-11-20T00:00:00Z", 0),
        encode_cursor("2026-11-20T00:00:00Z", 2**31),
    ],
)
async def test_a_cursor_that_no_list_gave_out_is_malformed(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, cursor: str
) -> None:
    asset = build_asset(organisation_id=ours)
    await keep(unit_of_work, asset)

    with pytest.raises(MalformedInputError):
        await listed(unit_of_work, asset, cursor=cursor)


async def test_another_organisation_learns_and_tells_nothing(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, theirs: OrganisationId
) -> None:
    asset = build_asset(organisation_id=ours)
    await keep(unit_of_work, asset)
    changed = await change(unit_of_work, asset, {"name": "P2"})
    stolen = replace(changed, organisation_id=theirs)

    async with unit_of_work() as uow:
        await uow.changes.add(
            replace(change_of(asset, changed, actor="user:thief"), organisation_id=theirs, version=3)
        )
        await uow.commit()

    assert await listed(unit_of_work, stolen) == []
    assert await version_at(unit_of_work, stolen, AT_LAST) is None
    assert await made_again(unit_of_work, stolen, 1) is None
    assert [each.version for each in await listed(unit_of_work, changed)] == [2, 1]


async def test_of_many_described_at_once_those_that_were_added_have_a_history(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    there = build_asset(organisation_id=ours, device_id=DeviceId(uuid4()))
    await keep(unit_of_work, there)
    added = [build_asset(organisation_id=ours, device_id=DeviceId(uuid4())) for _ in range(3)]
    again = build_asset(organisation_id=ours, device_id=there.device_id)

    async with unit_of_work() as uow:
        await uow.assets.add_missing([*added, again])
        await uow.changes.add(*(change_of(None, asset, actor="user:2") for asset in [*added, again]))
        await uow.commit()

    assert [[each.actor for each in await listed(unit_of_work, asset)] for asset in added] == [["user:2"]] * 3
    assert [each.actor for each in await listed(unit_of_work, there)] == [ACTOR]
    assert await listed(unit_of_work, again) == []


async def test_nothing_is_told_without_a_commit_and_of_none_nothing(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    asset = build_asset(organisation_id=ours)
    await keep(unit_of_work, asset)
    changed = asset.change({"name": "P2"}, changed_at=asset.updated_at)

    async with unit_of_work() as uow:
        await uow.changes.add()
        await uow.assets.save(changed)
        await uow.changes.add(change_of(asset, changed, actor=ACTOR))

    assert [each.version for each in await listed(unit_of_work, asset)] == [1]


async def test_the_history_goes_with_the_asset(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    asset = build_asset(organisation_id=ours)
    await keep(unit_of_work, asset)
    changed = await change(unit_of_work, asset, {"name": "P2"})

    async with unit_of_work() as uow:
        await uow.assets.remove(changed)
        await uow.commit()

    assert await listed(unit_of_work, asset) == []
    assert await version_at(unit_of_work, asset, AT_LAST) is None
    assert await made_again(unit_of_work, asset, 1) is None


async def test_the_oldest_of_very_many_versions_go(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    first = KEPT_VERSIONS + 1 - KEPT_EVERY
    asset = build_asset(organisation_id=ours, version=first)
    await keep(unit_of_work, asset)
    told = change_of(asset, asset, actor=ACTOR)
    async with unit_of_work() as uow:
        await uow.changes.add(*(replace(told, version=number) for number in range(1, first)))
        await uow.commit()

    async def oldest() -> list[int]:
        cursor = encode_cursor(asset.created_at, KEPT_EVERY + 2)
        return [each.version for each in await listed(unit_of_work, asset, cursor=cursor)]

    for _ in range(KEPT_EVERY + 1):
        asset = await change(unit_of_work, asset, {"name": f"V{asset.version + 1}"})
    assert asset.version == KEPT_VERSIONS + 2
    assert (await oldest())[-1] == 1

    for _ in range(KEPT_EVERY):
        asset = await change(unit_of_work, asset, {"name": f"V{asset.version + 1}"})
    assert await oldest() == [KEPT_EVERY + 1]
