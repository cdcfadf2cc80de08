"""What finds which assets, in which order, page by page."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from iotsphere.assets.errors import AssetNotFoundError
from iotsphere.assets.model import Asset
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.assets.predicate import read_predicate
from iotsphere.assets.relationship import Direction, Link, Relationship
from iotsphere.assets.search import BY_CREATION, AssetFilter, AssetOrder, RelatedTo, read_order
from iotsphere.assets.search_position import AssetQuestion
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from iotsphere.kernel.pagination import CursorMalformedError, encode_cursor
from tests.factories.assets import FIRST_DAY, build_asset

ANYTHING = AssetFilter()


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


async def keep(unit_of_work: AssetsUnitOfWorkFactory, *assets: Asset) -> None:
    async with unit_of_work() as uow:
        for asset in assets:
            await uow.assets.add(asset)
        await uow.commit()


async def keep_named(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, *names: str) -> None:
    await keep(unit_of_work, *(build_asset(organisation_id=ours, name=name) for name in names))


async def keep_valued(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, values: Iterable[Any]) -> None:
    """Add an asset with each of the values, named after it."""
    built = (build_asset(organisation_id=ours, name=repr(value), properties={"at": {"v": value}}) for value in values)
    await keep(unit_of_work, *built)


async def listed(
    unit_of_work: AssetsUnitOfWorkFactory,
    ours: OrganisationId,
    narrowed_to: AssetFilter = ANYTHING,
    order: AssetOrder = BY_CREATION,
) -> list[Asset]:
    async with unit_of_work() as uow:
        page = await uow.search.list(ours, narrowed_to, order, limit=500, cursor=None)
    assert page.next_cursor is None
    return page.items


async def names_of(
    unit_of_work: AssetsUnitOfWorkFactory,
    ours: OrganisationId,
    narrowed_to: AssetFilter = ANYTHING,
    sort: str = "created_at",
) -> list[str]:
    return [asset.name for asset in await listed(unit_of_work, ours, narrowed_to, read_order(sort))]


async def paged(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, order: AssetOrder, *, limit: int
) -> list[Asset]:
    found: list[Asset] = []
    cursor: str | None = None
    while True:
        async with unit_of_work() as uow:
            page = await uow.search.list(ours, ANYTHING, order, limit=limit, cursor=cursor)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


async def test_a_list_is_in_the_order_of_creation_and_then_of_ids(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    at_once = [build_asset(organisation_id=ours, created_at=FIRST_DAY) for _ in range(5)]
    later = build_asset(organisation_id=ours)

    await keep(unit_of_work, later, *at_once)

    assert await listed(unit_of_work, ours) == [*sorted(at_once, key=lambda asset: asset.id), later]


async def test_pages_join_to_the_whole_list_whatever_is_added_meanwhile(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    assets = [build_asset(organisation_id=ours) for _ in range(7)]
    await keep(unit_of_work, *assets)
    seen: list[Asset] = []
    cursor: str | None = None

    for page_number in range(4):
        async with unit_of_work() as uow:
            page = await uow.search.list(ours, ANYTHING, limit=2, cursor=cursor)
        seen += page.items
        cursor = page.next_cursor
        assert (cursor is None) == (page_number == 3)
        await keep(unit_of_work, build_asset(organisation_id=ours, created_at=FIRST_DAY.replace(year=2000)))

    assert seen == assets


async def test_a_page_that_ends_with_the_list_has_no_next(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    assets = [build_asset(organisation_id=ours) for _ in range(2)]
    await keep(unit_of_work, *assets)

    async with unit_of_work() as uow:
        page = await uow.search.list(ours, ANYTHING, limit=2, cursor=None)

    assert (page.items, page.next_cursor) == (assets, None)


# Of these no order has any, in any of its parts.
KEYS: list[tuple[Any, ...]] = [
    (),
    ("2026-11-20T00:00:00Z",),
    ("2026-11-20T00:00:00Z", "not an id"),
    (1, UUID(int=0)),
    ("a\0", UUID(int=0)),
    (3, "0", "", 1),
    (-1, "0", "", 1),
    (0, "nan", "", 1),
    (0, "five", "", 1),
    (0, 5, "", 1),
    (1, "0", "a\0", 1),
    (1, "0", "a", 0),
    (1, "0", "a", 2**63),
]
TIMES = ["2026-11-20T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]


@pytest.mark.parametrize(
    ("sort", "key"),
    [(sort, key) for sort in ("created_at", "name", "-properties.kw") for key in KEYS]
    + [(sort, (time, UUID(int=0))) for sort in ("created_at", "properties.kw") for time in TIMES],
)
async def test_a_cursor_that_no_search_gave_out_is_malformed(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, sort: str, key: tuple[Any, ...]
) -> None:
    order = read_order(sort)
    cursor = encode_cursor(*key, asked=AssetQuestion(ours, ANYTHING, order))

    async with unit_of_work() as uow:
        with pytest.raises(CursorMalformedError):
            await uow.search.list(ours, ANYTHING, order, limit=2, cursor=cursor)


@pytest.mark.parametrize(
    ("narrowed_to", "sort"),
    [
        (ANYTHING, "-created_at"),
        (ANYTHING, "name"),
        (ANYTHING, "properties.at"),
        (AssetFilter(asset_type="pump"), "created_at"),
        (AssetFilter(match={"at": 1}), "created_at"),
        (AssetFilter(path=read_predicate("$.at == 1")), "created_at"),
        (AssetFilter(words="pump"), "created_at"),
    ],
)
async def test_a_cursor_leads_on_beside_the_same_question_alone(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, narrowed_to: AssetFilter, sort: str
) -> None:
    theirs = OrganisationId(uuid4())
    await keep(unit_of_work, *(build_asset(organisation_id=owner) for owner in (ours, ours, theirs)))
    async with unit_of_work() as uow:
        first = await uow.search.list(ours, ANYTHING, limit=1, cursor=None)

        assert len((await uow.search.list(ours, ANYTHING, limit=5, cursor=first.next_cursor)).items) == 1
        with pytest.raises(CursorMalformedError):
            await uow.search.list(theirs, ANYTHING, limit=1, cursor=first.next_cursor)
        with pytest.raises(CursorMalformedError):
            await uow.search.list(ours, narrowed_to, read_order(sort), limit=1, cursor=first.next_cursor)


async def test_a_search_is_narrowed_by_type_and_by_device(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    device_id = DeviceId(uuid4())
    pump = build_asset(organisation_id=ours)
    robot = build_asset(organisation_id=ours, asset_type="robot", device_id=device_id)
    await keep(unit_of_work, pump, robot)

    assert await listed(unit_of_work, ours, AssetFilter(asset_type="pump")) == [pump]
    assert await listed(unit_of_work, ours, AssetFilter(device_id=device_id)) == [robot]
    assert await listed(unit_of_work, ours, AssetFilter(device_id=device_id, asset_type="pump")) == []
    assert await listed(unit_of_work, OrganisationId(uuid4()), AssetFilter(device_id=device_id)) == []


PUMP: dict[str, Any] = {
    "manufacturer": "Grundfos",
    "power": 100,
    "in_use": True,
    "place": {"site": "North", "floor": 1},
    "ratings": [1.0, 2, 2, "three", [4, 5], {"six": 7, "eight": 9}],
    "nothing": None,
    "empty": {},
    "none": [],
    "serial": 2**70,
}


@pytest.mark.parametrize(
    ("match", "is_matched"),
    [
        ({}, True),
        ({"manufacturer": "Grundfos"}, True),
        ({"manufacturer": "grundfos"}, False),
        ({"Manufacturer": "Grundfos"}, False),
        ({"manufacturer": "Grundfos", "power": 100}, True),
        ({"manufacturer": "Grundfos", "power": 101}, False),
        ({"power": 1e2}, True),
        ({"power": "100"}, False),
        ({"in_use": True}, True),
        ({"in_use": 1}, False),
        ({"place": {"floor": 1.0}}, True),
        ({"place": {"floor": True}}, False),
        ({"place": {}}, True),
        ({"place": []}, False),
        ({"place": {"room": None}}, False),
        ({"ratings": []}, True),
        ({"ratings": [2, 1]}, True),
        ({"ratings": [2, 2, 2, 2]}, True),
        ({"ratings": ["three", [5]]}, True),
        ({"ratings": [{"six": 7}, {"eight": 9}]}, True),
        ({"ratings": [{"six": 9}]}, False),
        ({"ratings": [5]}, False),
        ({"ratings": 2}, False),
        ({"nothing": None}, True),
        ({"missing": None}, False),
        ({"empty": {}}, True),
        ({"empty": []}, False),
        ({"none": []}, True),
        ({"none": {}}, False),
        ({"serial": 2**70}, True),
        ({"serial": 2**70 + 1}, False),
        ({"' OR 1=1 --": 1}, False),
    ],
)
async def test_a_search_is_narrowed_to_what_the_properties_contain(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, match: dict[str, Any], is_matched: bool
) -> None:
    asset = build_asset(organisation_id=ours, properties=PUMP)
    await keep(unit_of_work, asset, build_asset(properties=PUMP))

    assert await listed(unit_of_work, ours, AssetFilter(match=match)) == [asset] * is_matched


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.kw == 1.5", ["small"]),
        ("$.kw >= 1.5", ["small", "large"]),
        ("$.kw > 1.5 && $.kw < 22", []),
        ('$.maker == "Wilo" && $.kw > 2', ["large"]),
        ("$.at.floor == 1", ["small"]),
        ("$.kw == true", []),
        ("$.missing < 5", []),
    ],
)
async def test_a_search_is_narrowed_by_a_predicate(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, path: str, found: list[str]
) -> None:
    small = build_asset(
        name="small", properties={"kw": 1.5, "maker": "Wilo", "at": {"floor": 1}}, organisation_id=ours
    )
    large = build_asset(name="large", properties={"kw": 22, "maker": "Wilo"}, organisation_id=ours)
    text = build_asset(
        name="text", properties={"kw": "22", "maker": "KSB", "at": {"floor": "1"}}, organisation_id=ours
    )
    await keep(unit_of_work, small, large, text, build_asset(properties=small.properties))

    assert await names_of(unit_of_work, ours, AssetFilter(path=read_predicate(path))) == found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("pump", ["Pump 17", "Feed PUMP, hall B", "Umwälzpumpe / Pumpenhaus"]),
        ("PUM b", ["Feed PUMP, hall B"]),
        ("hall-b pump", ["Feed PUMP, hall B"]),
        ("ump", []),
        ("1", ["Pump 17"]),
        ("umwälz", ["Umwälzpumpe / Pumpenhaus"]),
        ("UMWÄLZ", ["Umwälzpumpe / Pumpenhaus"]),
        ("umwalz", []),
        ("\uff30\uff35\uff2d\uff30", ["Pump 17", "Feed PUMP, hall B", "Umwälzpumpe / Pumpenhaus"]),
        ("水", ["水泵 3"]),
        ("泵", []),
        ("hydropneumaticalx", ["Hydropneumatically"]),
        ("hydropneumax", []),
        ("1٣", ["Pump 17"]),
    ],
)
async def test_a_search_is_narrowed_by_the_words_of_the_name(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, words: str, found: list[str]
) -> None:
    names = ("Pump 17", "Feed PUMP, hall B", "Umwälzpumpe / Pumpenhaus", "水泵 3", "Hydropneumatically")
    await keep_named(unit_of_work, ours, *names)
    await keep_named(unit_of_work, OrganisationId(uuid4()), *names)

    assert await names_of(unit_of_work, ours, AssetFilter(words=words)) == found


async def test_a_search_is_narrowed_to_what_is_below_an_asset_or_directly_below(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    site, yard = build_asset(organisation_id=ours), build_asset(organisation_id=ours)
    hall = build_asset(organisation_id=ours, parent_id=site.id)
    pump = build_asset(organisation_id=ours, parent_id=hall.id, asset_type="robot")
    lamp = build_asset(organisation_id=ours, parent_id=yard.id)
    await keep(unit_of_work, site, yard, hall, pump, lamp)

    assert await listed(unit_of_work, ours, AssetFilter(ancestor=site.id)) == [hall, pump]
    assert await listed(unit_of_work, ours, AssetFilter(parent_id=site.id)) == [hall]
    assert await listed(unit_of_work, ours, AssetFilter(ancestor=site.id, asset_type="robot")) == [pump]
    assert await listed(unit_of_work, ours, AssetFilter(ancestor=site.id, parent_id=hall.id)) == [pump]
    assert await listed(unit_of_work, ours, AssetFilter(ancestor=yard.id, parent_id=hall.id)) == []
    assert await listed(unit_of_work, ours, AssetFilter(ancestor=pump.id)) == []


async def test_a_search_is_narrowed_by_relationships(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    pump, boiler, tank = (build_asset(organisation_id=ours, name=name) for name in ("pump", "boiler", "tank"))
    await keep(unit_of_work, pump, boiler, tank)
    async with unit_of_work() as uow:
        for asset, type_name, other in ((pump, "feeds", boiler), (tank, "feeds", pump), (pump, "near", boiler)):
            link = Link(ours, asset.id, type_name, other.id)
            await uow.relationships.add(Relationship(link, {}, FIRST_DAY, FIRST_DAY))
        await uow.commit()

    async def related_to(asset: Asset, *described: Any) -> list[str]:
        return await names_of(unit_of_work, ours, AssetFilter(related_to=RelatedTo(asset.id, *described)))

    assert await related_to(boiler) == ["pump"]
    assert await related_to(boiler, "feeds") == ["pump"]
    assert await related_to(boiler, "serves") == []
    assert await related_to(boiler, None, Direction.IN) == []
    assert await related_to(pump, "feeds") == ["tank"]
    assert await related_to(pump, None, Direction.IN) == ["boiler"]


@pytest.mark.parametrize("member", ["ancestor", "parent_id", "related_to"])
async def test_what_a_search_speaks_of_has_to_be_there(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, member: str
) -> None:
    theirs = build_asset()
    await keep(unit_of_work, build_asset(organisation_id=ours), theirs)

    for asset_id in (theirs.id, AssetId(uuid4())):
        named: Any = RelatedTo(asset_id) if member == "related_to" else asset_id
        async with unit_of_work() as uow:
            with pytest.raises(AssetNotFoundError):
                await uow.search.list(ours, AssetFilter(**{member: named}), limit=5, cursor=None)


async def test_names_are_in_the_order_of_their_characters(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    names = ["", " b", "A", "Z", "a", "a b", "ab", "b", "ä", "\uffff", "\U0001f600"][1:]
    await keep_named(unit_of_work, ours, *reversed(names))

    assert await names_of(unit_of_work, ours, sort="name") == names
    assert await names_of(unit_of_work, ours, sort="-name") == names[::-1]


async def test_of_one_name_or_one_moment_ids_tell(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    alike = [build_asset(organisation_id=ours, name="pump", created_at=FIRST_DAY) for _ in range(5)]
    await keep(unit_of_work, *alike)
    in_order = sorted(alike, key=lambda asset: asset.id)

    for sort in ("name", "created_at"):
        assert await paged(unit_of_work, ours, read_order(sort), limit=2) == in_order
        assert await paged(unit_of_work, ours, read_order(f"-{sort}"), limit=2) == in_order[::-1]


VALUES: list[Any] = [
    -(10**400), -1e308, -7, 0, 5e-324, 0.1, 1, 2**53, 10**300, 10**400,
    "", " ", "10", "9", "A", "a", "a" * 63, "ä", "\U0001f600",
    False, True,
]  # fmt: skip
# In the order of creation.
NO_VALUES: list[Any] = [None, [1], {"v": 1}, [], {}]


async def test_properties_are_in_the_order_of_numbers_texts_and_booleans(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    await keep_valued(unit_of_work, ours, [*NO_VALUES, *reversed(VALUES)])
    without = build_asset(organisation_id=ours, name="without", properties={"at": 5, "v": 1})
    await keep(unit_of_work, without)
    in_order, last = [repr(value) for value in VALUES], [*map(repr, NO_VALUES), "without"]

    assert await names_of(unit_of_work, ours, sort="properties.at.v") == in_order + last
    assert await names_of(unit_of_work, ours, sort="-properties.at.v") == in_order[::-1] + last


@pytest.mark.parametrize("limit", [1, 2, 7])
@pytest.mark.parametrize("sort", ["properties.at.v", "-properties.at.v", "name", "-name", "-created_at"])
async def test_pages_join_to_the_whole_in_every_order(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, sort: str, limit: int
) -> None:
    await keep_valued(unit_of_work, ours, [*VALUES, *NO_VALUES, *VALUES[::2], "a" * 64 + "b", "a" * 64])

    pages = await paged(unit_of_work, ours, read_order(sort), limit=limit)

    assert pages == await listed(unit_of_work, ours, order=read_order(sort))


async def test_texts_that_begin_alike_are_in_the_order_in_which_they_were_added(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    alike = ["a" * 64 + end for end in "cab"]
    await keep_valued(unit_of_work, ours, alike)

    assert await names_of(unit_of_work, ours, sort="properties.at.v") == [*map(repr, alike)]


@pytest.mark.parametrize("sort", ["properties.at.v", "-properties.at.v"])
async def test_what_stays_is_met_once_whatever_changes_meanwhile(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, sort: str
) -> None:
    await keep_valued(unit_of_work, ours, range(6))
    staying = await listed(unit_of_work, ours)
    await keep_valued(unit_of_work, ours, [0.5, 1.5, 2.5, 3.5, 4.5])
    *_, first, second, third, fourth, fifth = await listed(unit_of_work, ours)
    seen: list[AssetId] = []
    cursor: str | None = None

    for changed in (first, second, third, fourth, fifth, None):
        async with unit_of_work() as uow:
            page = await uow.search.list(ours, ANYTHING, read_order(sort), limit=2, cursor=cursor)
            seen += [asset.id for asset in page.items]
            cursor = page.next_cursor
            if changed is not None:
                await uow.assets.save(replace(changed, properties={"at": {"v": 10 - changed.properties["at"]["v"]}}))
                await uow.assets.add(build_asset(organisation_id=ours, properties={"at": {"v": -1}}))
                await uow.assets.add(build_asset(organisation_id=ours, properties={"at": {"v": 11}}))
                await uow.commit()

    in_order = [asset.id for asset in (staying if sort[0] != "-" else staying[::-1])]
    assert [asset_id for asset_id in seen if asset_id in in_order] == in_order[: len(in_order)]
