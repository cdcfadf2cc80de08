"""Relationships that are made, replaced and ended at once, and while their assets go."""

import asyncio
from collections import Counter
from contextlib import suppress
from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.assets.errors import AssetNotFoundError, RelationshipNotFoundError
from iotsphere.assets.model import Asset
from iotsphere.assets.relationship import Direction, Link, Relationship, RelationshipFilter
from iotsphere.assets.relationships import RelationshipService
from iotsphere.assets.service import AssetService
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.identifiers import OrganisationId
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


@pytest.fixture
def relating(assets_engine: AsyncEngine) -> RelationshipService:
    unit_of_work = partial(SqlAlchemyAssetsUnitOfWork, assets_engine, StoreGate("assets"))
    return RelationshipService(unit_of_work=unit_of_work, clock=utc_now)


async def add_pair(service: AssetService, ours: OrganisationId) -> tuple[Asset, Asset]:
    one, other = [
        await service.add_asset(added_by="user:1", organisation_id=ours, asset_type="pump", name=name)
        for name in ("one", "other")
    ]
    return one, other


async def test_of_many_who_relate_the_same_two_at_once_one_makes_it_and_all_count(
    service: AssetService, relating: RelationshipService, ours: OrganisationId
) -> None:
    one, other = await add_pair(service, ours)
    link = Link(ours, one.id, "feeds", other.id)

    related = await asyncio.gather(*(relating.relate_assets(link=link) for _ in range(10)))

    assert sorted(relationship.version for relationship in related) == list(range(1, 11))


async def test_whoever_relates_what_another_one_ends_comes_before_or_after(
    service: AssetService, relating: RelationshipService, ours: OrganisationId
) -> None:
    one, other = await add_pair(service, ours)
    link = Link(ours, one.id, "feeds", other.id)

    for _ in range(30):
        await relating.relate_assets(link=link)
        outcomes = await asyncio.gather(
            relating.unrelate_assets(link=link),
            *(relating.relate_assets(link=link) for _ in range(3)),
            return_exceptions=True,
        )
        assert {type(outcome) for outcome in outcomes} <= {Relationship, type(None)}


async def test_of_two_who_end_the_same_relationship_one_does(
    service: AssetService, relating: RelationshipService, ours: OrganisationId
) -> None:
    one, other = await add_pair(service, ours)
    link = Link(ours, one.id, "feeds", other.id)
    await relating.relate_assets(link=link)

    outcomes = await asyncio.gather(*(relating.unrelate_assets(link=link) for _ in range(5)), return_exceptions=True)

    assert Counter(type(outcome) for outcome in outcomes) == {type(None): 1, RelationshipNotFoundError: 4}


async def test_of_all_that_are_made_and_ended_at_once_no_version_comes_twice(
    service: AssetService, relating: RelationshipService, ours: OrganisationId
) -> None:
    one, other = await add_pair(service, ours)
    link = Link(ours, one.id, "feeds", other.id)

    async def relate() -> list[int]:
        return [(await relating.relate_assets(link=link)).version for _ in range(10)]

    async def unrelate() -> None:
        for _ in range(15):
            with suppress(RelationshipNotFoundError):
                await relating.unrelate_assets(link=link)

    courses = asyncio.gather(relate(), relate(), relate())
    await asyncio.gather(unrelate(), unrelate())

    versions = [version for course in await courses for version in course]
    assert len(set(versions)) == len(versions) == 30


@pytest.mark.parametrize("end", [0, 1])
async def test_what_is_ended_while_an_asset_goes_keeps_nobody_waiting(
    service: AssetService, relating: RelationshipService, ours: OrganisationId, end: int
) -> None:
    for turn in range(20):
        pair = await add_pair(service, ours)
        link = Link(ours, pair[0].id, "feeds", pair[1].id)
        await relating.relate_assets(link=link)
        course = [
            relating.unrelate_assets(link=link),
            service.remove_asset(organisation_id=ours, asset_id=pair[end].id, expected_version=None),
        ]
        outcomes = await asyncio.gather(*course[:: 1 if turn % 2 else -1], return_exceptions=True)

        refused = [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)]
        assert refused in ([], [RelationshipNotFoundError])


@pytest.mark.parametrize("end", [0, 1])
async def test_nothing_leads_to_or_from_an_asset_that_was_removed_meanwhile(
    service: AssetService, relating: RelationshipService, ours: OrganisationId, end: int
) -> None:
    for turn in range(20):
        pair = await add_pair(service, ours)
        link = Link(ours, pair[0].id, "feeds", pair[1].id)
        course = [
            relating.relate_assets(link=link),
            service.remove_asset(organisation_id=ours, asset_id=pair[end].id, expected_version=None),
        ]
        outcomes = await asyncio.gather(*course[:: 1 if turn % 2 else -1], return_exceptions=True)

        refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert [type(error) for error in refused] in ([], [AssetNotFoundError])
        left, direction = pair[1 - end], (Direction.IN, Direction.OUT)[end]
        page = await relating.list_relationships(
            organisation_id=ours, narrowed_to=RelationshipFilter(left.id, direction), limit=9, cursor=None
        )
        assert page.items == []
