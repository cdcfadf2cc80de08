from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from iotsphere.assets.errors import (
    AssetNotFoundError,
    RelationshipNotFoundError,
    RelationshipToItselfError,
    RelationshipTooLargeError,
)
from iotsphere.assets.model import Asset
from iotsphere.assets.relationship import Link, Relationship, RelationshipFilter, last_behind
from iotsphere.assets.relationships import RelationshipService
from iotsphere.kernel.errors import PreconditionFailedError, RuleViolationError
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from iotsphere.kernel.pagination import CursorMalformedError, encode_cursor
from tests.factories.assets import build_asset
from tests.fakes.assets import InMemoryAssetsUnitOfWork, InMemoryRelationshipRepository, Relationships

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 21, 12, tzinfo=UTC)
OURS = OrganisationId(uuid4())
ONE, OTHER = AssetId(UUID(int=1)), AssetId(UUID(int=2))
FEEDS = Link(OURS, ONE, "feeds", OTHER)


class Bench:
    """A service on two assets in memory, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.assets: dict[AssetId, Asset] = {
            asset_id: build_asset(id=asset_id, organisation_id=OURS) for asset_id in (ONE, OTHER)
        }
        self.stored: Relationships = {}
        self.ended: dict[AssetId, int] = {}
        self.now = NOW
        self.service = RelationshipService(unit_of_work=self.open, clock=lambda: self.now)

    def open(self) -> InMemoryAssetsUnitOfWork:
        return InMemoryAssetsUnitOfWork(self.assets, {}, self.stored, committed_ended=self.ended)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("type_name", ["", "Feeds", "1", "-a", "a b", "a\0", "ü", "a\n", "a" * 64])
def test_a_type_is_a_name_of_small_letters(type_name: str) -> None:
    with pytest.raises(RuleViolationError) as refused:
        Relationship(Link(OURS, ONE, type_name, OTHER), {}, NOW, NOW)

    assert list(refused.value.errors) == ["type"]


def test_a_relationship_leads_to_another_asset() -> None:
    with pytest.raises(RelationshipToItselfError):
        Relationship(Link(OURS, ONE, "feeds", ONE), {}, NOW, NOW)


def test_properties_take_16_kib_and_not_a_byte_more() -> None:
    largest = {"a": "x" * (16 * 1024 - len('{"a":""}'))}

    Relationship(FEEDS, largest, NOW, NOW)
    with pytest.raises(RelationshipTooLargeError):
        Relationship(FEEDS, {"a": largest["a"] + "x"}, NOW, NOW)


def test_properties_are_what_can_be_kept() -> None:
    with pytest.raises(RuleViolationError) as refused:
        Relationship(FEEDS, {"a": {"b": "\0"}}, NOW, NOW)

    assert list(refused.value.errors) == ["properties.a.b"]


async def test_a_relationship_is_made_and_then_replaced_as_a_whole(bench: Bench) -> None:
    made = await bench.service.relate_assets(link=FEEDS, properties={"bar": 4, "old": True})
    bench.now = LATER
    replaced = await bench.service.relate_assets(link=FEEDS, properties={"bar": 5})

    assert made == Relationship(FEEDS, {"bar": 4, "old": True}, NOW, NOW)
    assert replaced == Relationship(FEEDS, {"bar": 5}, NOW, LATER, version=2)
    assert bench.stored == {FEEDS: replaced}


async def test_one_that_somebody_ends_meanwhile_is_made_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.service.relate_assets(link=FEEDS)
    get = InMemoryRelationshipRepository.get

    async def end_and_get(self: InMemoryRelationshipRepository, link: Link, **how: Any) -> Relationship:
        self.stored.pop(link, None)
        return await get(self, link, **how)

    monkeypatch.setattr(InMemoryRelationshipRepository, "get", end_and_get)

    made = await bench.service.relate_assets(link=FEEDS, properties={"a": 1})

    assert (made.version, made.properties) == (1, {"a": 1})


@pytest.mark.parametrize("absent", [ONE, OTHER])
async def test_only_what_is_there_is_related(bench: Bench, absent: AssetId) -> None:
    del bench.assets[absent]

    with pytest.raises(AssetNotFoundError):
        await bench.service.relate_assets(link=FEEDS)

    assert bench.stored == {}


async def test_nobody_relates_what_belongs_to_others(bench: Bench) -> None:
    bench.assets[OTHER] = build_asset(id=OTHER)

    with pytest.raises(AssetNotFoundError):
        await bench.service.relate_assets(link=FEEDS)
    with pytest.raises(AssetNotFoundError):
        await bench.service.list_relationships(
            organisation_id=OURS, narrowed_to=RelationshipFilter(OTHER), limit=1, cursor=None
        )


async def test_writes_heed_the_version(bench: Bench) -> None:
    with pytest.raises(PreconditionFailedError):
        await bench.service.relate_assets(link=FEEDS, expected_version=1)
    made = await bench.service.relate_assets(link=FEEDS)
    with pytest.raises(PreconditionFailedError):
        await bench.service.relate_assets(link=FEEDS, expected_version=2)
    with pytest.raises(PreconditionFailedError):
        await bench.service.unrelate_assets(link=FEEDS, expected_version=2)

    assert bench.stored == {FEEDS: made}
    assert (await bench.service.relate_assets(link=FEEDS, expected_version=1)).version == 2


async def test_an_ended_relationship_is_gone(bench: Bench) -> None:
    await bench.service.relate_assets(link=FEEDS)

    await bench.service.unrelate_assets(link=FEEDS)

    assert bench.stored == {}
    with pytest.raises(RelationshipNotFoundError):
        await bench.service.unrelate_assets(link=FEEDS)


async def test_what_was_known_of_an_ended_one_is_not_known_of_the_one_made_after_it(bench: Bench) -> None:
    seen = await bench.service.relate_assets(link=FEEDS)
    await bench.service.unrelate_assets(link=FEEDS)
    made = await bench.service.relate_assets(link=FEEDS)

    assert made.is_new
    with pytest.raises(PreconditionFailedError):
        await bench.service.relate_assets(link=FEEDS, expected_version=seen.version)
    with pytest.raises(PreconditionFailedError):
        await bench.service.unrelate_assets(link=FEEDS, expected_version=seen.version)
    assert bench.stored == {FEEDS: made}


async def test_a_change_is_later_than_what_it_changes_whatever_the_clock_says(bench: Bench) -> None:
    made = await bench.service.relate_assets(link=FEEDS)
    bench.now = NOW - timedelta(days=1)

    changed = await bench.service.relate_assets(link=FEEDS)

    assert not changed.is_new
    assert changed.updated_at > made.updated_at


@pytest.mark.parametrize("type_name", ["cools", "a\0", "Feeds", ""])
async def test_one_that_nobody_made_is_not_found(bench: Bench, type_name: str) -> None:
    link = Link(OURS, ONE, type_name, OTHER)

    with pytest.raises(RelationshipNotFoundError):
        await bench.service.get_relationship(link=link)
    with pytest.raises(RelationshipNotFoundError):
        await bench.service.unrelate_assets(link=link)


@pytest.mark.parametrize("last", [(), ("feeds",), ("Feeds", ONE), ("a\0", ONE), ("feeds", "x"), ("feeds", ONE, 1)])
def test_what_no_list_gave_out_is_no_cursor(last: tuple[object, ...]) -> None:
    with pytest.raises(CursorMalformedError):
        last_behind(encode_cursor(*last))
