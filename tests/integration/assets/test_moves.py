"""Moves of assets while others move, add and remove: the places have to say afterwards what the parents say."""

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.assets.errors import (
    AssetCycleError,
    AssetHasChildrenError,
    AssetNotFoundError,
    AssetParentUnknownError,
    AssetTooDeepError,
)
from iotsphere.assets.model import Asset
from iotsphere.assets.service import AssetService
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate

WRITERS = 6
SECONDS = 4
REFUSALS = (
    AssetCycleError,
    AssetHasChildrenError,
    AssetNotFoundError,
    AssetParentUnknownError,
    AssetTooDeepError,
    UnavailableError,
)

# What the parents say, against what the places say.
UNLIKE = sa.text("""
WITH RECURSIVE tree AS (
    SELECT id, number, int8send(number) AS path FROM assets
    WHERE organisation_id = :organisation_id AND parent_id IS NULL
    UNION ALL
    SELECT a.id, a.number, tree.path || int8send(a.number) FROM tree JOIN assets a ON a.parent_id = tree.id
)
SELECT count(*) FROM (SELECT number, path FROM tree) said FULL JOIN (
    SELECT places.* FROM places JOIN assets USING (number) WHERE organisation_id = :organisation_id
) kept ON kept.number = said.number WHERE said.path IS DISTINCT FROM kept.path
""")
# Whoever is in a cycle is below no root.
WITHOUT_ROOT = sa.text("""
WITH RECURSIVE tree AS (
    SELECT id FROM assets WHERE organisation_id = :organisation_id AND parent_id IS NULL
    UNION ALL SELECT a.id FROM tree JOIN assets a ON a.parent_id = tree.id
)
SELECT count(*) FROM assets WHERE organisation_id = :organisation_id AND id NOT IN (SELECT id FROM tree)
""")


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


@pytest.fixture
def other_service(assets_engine: AsyncEngine) -> AssetService:
    """As in another process: neither knows who is at the trees in the other one."""
    unit_of_work = partial(SqlAlchemyAssetsUnitOfWork, assets_engine, StoreGate("assets"))
    return AssetService(unit_of_work=unit_of_work, moving=unit_of_work, clock=utc_now, new_id=uuid4)


async def add(service: AssetService, ours: OrganisationId, name: str, parent_id: AssetId | None = None) -> Asset:
    return await service.add_asset(
        added_by="user:1", organisation_id=ours, asset_type="hall", name=name, parent_id=parent_id
    )


async def move(service: AssetService, asset: Asset, parent_id: AssetId | None) -> Asset:
    return await service.change_asset(
        changed_by="user:1",
        organisation_id=asset.organisation_id,
        asset_id=asset.id,
        patch={"parent_id": parent_id},
        expected_version=None,
    )


async def remove(service: AssetService, asset: Asset) -> None:
    await service.remove_asset(organisation_id=asset.organisation_id, asset_id=asset.id, expected_version=None)


async def assert_tree_is_true(engine: AsyncEngine, ours: OrganisationId) -> None:
    async with engine.connect() as connection:
        for query in (UNLIKE, WITHOUT_ROOT):
            assert await connection.scalar(query, {"organisation_id": ours}) == 0


async def test_after_seconds_of_six_writers_the_places_are_what_the_parents_say(
    service: AssetService, other_service: AssetService, assets_engine: AsyncEngine, ours: OrganisationId
) -> None:
    known = [await add(service, ours, f"root {number}") for number in range(3)]
    done: Counter[str] = Counter()
    end = monotonic() + SECONDS

    async def write(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311  # no secret
        process = (service, other_service)[seed % 2]
        while monotonic() < end:
            asset, other = chance.choice(known), chance.choice([None, *known])
            parent_id = other.id if other else None
            kind = chance.choices(["add", "move", "remove"], [5, 4, 1])[0]
            with suppress(*REFUSALS):
                if kind == "add":
                    known.append(await add(process, ours, "new", parent_id))
                elif kind == "move":
                    await move(process, asset, parent_id)
                elif asset is not known[0]:
                    await remove(process, asset)
                    known.remove(asset)
                else:
                    continue
                done[kind] += 1

    await asyncio.gather(*(write(seed) for seed in range(WRITERS)))

    assert min(done[kind] for kind in ("add", "move", "remove")) > 0, done
    await assert_tree_is_true(assets_engine, ours)


async def test_of_two_moves_that_together_make_a_cycle_one_is_refused(
    service: AssetService, assets_engine: AsyncEngine, ours: OrganisationId
) -> None:
    for _ in range(20):
        one, other = [await add(service, ours, name) for name in ("one", "other")]

        outcomes = await asyncio.gather(
            move(service, one, other.id), move(service, other, one.id), return_exceptions=True
        )

        assert Counter(type(outcome) for outcome in outcomes) == {Asset: 1, AssetCycleError: 1}
    await assert_tree_is_true(assets_engine, ours)


async def test_many_moves_round_in_a_circle_leave_a_tree(
    service: AssetService, assets_engine: AsyncEngine, ours: OrganisationId
) -> None:
    ring = [await add(service, ours, str(number)) for number in range(8)]

    outcomes = await asyncio.gather(
        *(move(service, asset, ring[number - 1].id) for number, asset in enumerate(ring)), return_exceptions=True
    )

    assert Counter(type(outcome) for outcome in outcomes) == {Asset: 7, AssetCycleError: 1}
    await assert_tree_is_true(assets_engine, ours)


async def test_what_is_added_below_a_moved_asset_meanwhile_is_moved_with_it(
    service: AssetService, assets_engine: AsyncEngine, ours: OrganisationId
) -> None:
    halls = [await add(service, ours, name) for name in ("one", "other")]
    machine = await add(service, ours, "machine", halls[0].id)

    for turn in range(10):
        hall = halls[(turn + 1) % 2]
        await asyncio.gather(
            move(service, machine, hall.id), *(add(service, ours, f"part {turn}", machine.id) for _ in range(3))
        )
        below = await service.list_descendants(
            organisation_id=ours, asset_id=hall.id, depth=64, limit=500, cursor=None
        )
        assert len(below.items) == 1 + 3 * (turn + 1)
    await assert_tree_is_true(assets_engine, ours)


async def test_a_parent_is_removed_or_gets_a_child_and_never_both(
    service: AssetService, assets_engine: AsyncEngine, ours: OrganisationId
) -> None:
    seen: Counter[type] = Counter()
    for turn in range(40):
        parent = await add(service, ours, "parent")
        course: list[Coroutine[Any, Any, Any]] = [
            remove(service, parent),
            add(service, ours, "child", parent.id),
        ]
        outcomes = await asyncio.gather(*course[:: 1 if turn % 2 else -1], return_exceptions=True)
        refused = [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)]
        assert refused in ([AssetHasChildrenError], [AssetParentUnknownError])
        seen.update(refused)

    assert len(seen) == 2, seen
    await assert_tree_is_true(assets_engine, ours)


async def test_nothing_is_moved_below_what_is_removed_meanwhile(
    service: AssetService, assets_engine: AsyncEngine, ours: OrganisationId
) -> None:
    for _ in range(20):
        moved, parent = [await add(service, ours, name) for name in ("moved", "parent")]
        outcomes = await asyncio.gather(
            move(service, moved, parent.id), remove(service, parent), return_exceptions=True
        )
        refused = [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)]
        assert refused in ([AssetHasChildrenError], [AssetParentUnknownError])
    await assert_tree_is_true(assets_engine, ours)


async def test_others_change_an_asset_while_something_is_added_below_it(
    service: AssetService, ours: OrganisationId
) -> None:
    parent = await add(service, ours, "parent")

    await asyncio.gather(
        *(add(service, ours, "child", parent.id) for _ in range(5)),
        *(
            service.change_asset(
                changed_by="user:1",
                organisation_id=ours,
                asset_id=parent.id,
                patch={"properties": {f"p{number}": number}},
                expected_version=None,
            )
            for number in range(5)
        ),
    )

    assert (await service.get_asset(organisation_id=ours, asset_id=parent.id)).version == 6
    children = await service.list_descendants(
        organisation_id=ours, asset_id=parent.id, depth=1, limit=50, cursor=None
    )
    assert len(children.items) == 5


async def test_while_much_is_moved_other_organisations_find_connections(
    service: AssetService, assets_engine: AsyncEngine, ours: OrganisationId
) -> None:
    theirs = OrganisationId(uuid4())
    parent = await add(service, ours, "parent")
    foreign = await add(service, theirs, "parent")
    async with SqlAlchemyAssetsUnitOfWork(assets_engine, StoreGate("assets")) as moving:
        await moving.places.hold(ours, alone=True)
        waiting = [asyncio.create_task(add(service, ours, "child", parent.id)) for _ in range(20)]
        try:
            done, _ = await asyncio.wait(waiting, timeout=0.1)
            assert done == set()

            assert (await add(service, theirs, "child", foreign.id)).parent_id == foreign.id
            assert await service.get_asset(organisation_id=ours, asset_id=parent.id) == parent
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("is_below", [True, False])
async def test_what_stays_where_it_is_does_not_wait_for_what_is_moved(
    service: AssetService, assets_engine: AsyncEngine, ours: OrganisationId, is_below: bool
) -> None:
    parent = await add(service, ours, "parent")
    asset = await add(service, ours, "child", parent.id if is_below else None)
    async with SqlAlchemyAssetsUnitOfWork(assets_engine, StoreGate("assets")) as moving:
        await moving.places.hold(ours, alone=True)

        changed = await move(service, asset, asset.parent_id)

    assert (changed.version, changed.parent_id) == (2, asset.parent_id)


async def test_what_is_said_to_stay_and_is_moved_meanwhile_is_moved_back(
    service: AssetService, assets_engine: AsyncEngine, ours: OrganisationId
) -> None:
    site, other = await add(service, ours, "site"), await add(service, ours, "other")
    asset = await add(service, ours, "asset", site.id)
    await add(service, ours, "part", asset.id)
    async with SqlAlchemyAssetsUnitOfWork(assets_engine, StoreGate("assets")) as moving:
        await moving.places.hold(ours, alone=True)
        await moving.assets.get(ours, asset.id, for_update=True)
        back = asyncio.create_task(move(service, asset, site.id))
        # It has seen that the asset stays, and waits for it.
        await asyncio.wait([back], timeout=0.3)
        assert not back.done()
        moved = asset.change({"parent_id": other.id}, changed_at=utc_now())
        place, target = await moving.places.get(ours, asset.id), await moving.places.get(ours, other.id)
        await moving.places.save(place, below=target)
        await moving.assets.save(moved)
        await moving.commit()

    assert ((await back).parent_id, (await back).version) == (site.id, 3)
    await assert_tree_is_true(assets_engine, ours)
