"""However much is said of the things on a page, it comes to little more than there is room for."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.assets.change import change_of
from iotsphere.assets.documents import size_of
from iotsphere.assets.model import Asset
from iotsphere.assets.place import MAX_LEVELS
from iotsphere.assets.ports import AssetsUnitOfWork, AssetsUnitOfWorkFactory
from iotsphere.assets.relationship import Link, Relationship, RelationshipFilter
from iotsphere.assets.search import AssetFilter, read_order
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import MAX_PAGE_BYTES, Page
from tests.factories.assets import FIRST_DAY, build_asset, build_device_type

# The database has these packed to a hundredth, and sends them as they are.
LONG = {"text": "x" * (240 * 1024)}
# Ends the first page, and not with the last one.
MANY = MAX_PAGE_BYTES // (240 * 1024) + 4

ReadPage = Callable[[AssetsUnitOfWork, str | None], Awaitable[Page[Any]]]
DocumentOf = Callable[[Any], Any]


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


async def add(unit_of_work: AssetsUnitOfWorkFactory, *assets: Asset) -> list[Asset]:
    async with unit_of_work() as uow:
        for asset in assets:
            await uow.assets.add(asset)
        await uow.commit()
    return list(assets)


async def read_all(
    unit_of_work: AssetsUnitOfWorkFactory, read_page: ReadPage, document_of: DocumentOf = lambda item: item.properties
) -> list[Any]:
    """Read page after page, of which none is too large, nor smaller than it need be."""
    pages: list[Page[Any]] = []
    async with unit_of_work() as uow:
        while not pages or pages[-1].next_cursor is not None:
            pages.append(await read_page(uow, pages[-1].next_cursor if pages else None))
    sizes = [[size_of(document_of(item)) for item in page.items] for page in pages]
    assert len(sizes) > 1
    for one in sizes:
        assert one
        assert sum(one[:-1]) < MAX_PAGE_BYTES
    assert all(sum(one) + following[0] >= MAX_PAGE_BYTES for one, following in pairwise(sizes))
    return [item for page in pages for item in page.items]


async def grow(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> tuple[Asset, list[Asset]]:
    """Add a site, and below it what much is said of."""
    site = build_asset(organisation_id=ours)
    below = [build_asset(organisation_id=ours, parent_id=site.id, properties=LONG) for _ in range(MANY)]
    await add(unit_of_work, site, *below)
    return site, below


@pytest.mark.parametrize("sort", ["created_at", "properties.text"])
@pytest.mark.parametrize("narrowed_to", [AssetFilter(), AssetFilter(match={"of": "many"})])
async def test_of_a_search(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, narrowed_to: AssetFilter, sort: str
) -> None:
    moments = (FIRST_DAY + timedelta(seconds=nth) for nth in range(MANY))
    said = {"of": "many"} | LONG
    added = await add(
        unit_of_work, *(build_asset(organisation_id=ours, properties=said, created_at=moment) for moment in moments)
    )

    async def read_page(uow: AssetsUnitOfWork, cursor: str | None) -> Page[Asset]:
        return await uow.search.list(ours, narrowed_to, read_order(sort), limit=500, cursor=cursor)

    assert await read_all(unit_of_work, read_page) == added


async def test_of_what_is_below_an_asset(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    site, below = await grow(unit_of_work, ours)

    async def read_page(uow: AssetsUnitOfWork, cursor: str | None) -> Page[Asset]:
        return await uow.places.list_descendants(ours, site.id, depth=MAX_LEVELS, limit=500, cursor=cursor)

    assert await read_all(unit_of_work, read_page) == below


async def test_of_what_an_asset_is_part_of(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    chain: list[Asset] = []
    for _ in range(MANY + 1):
        above = chain[-1].id if chain else None
        chain += await add(unit_of_work, build_asset(organisation_id=ours, parent_id=above, properties=LONG))

    async def read_page(uow: AssetsUnitOfWork, cursor: str | None) -> Page[Asset]:
        return await uow.places.list_ancestors(ours, chain[-1].id, limit=500, cursor=cursor)

    assert await read_all(unit_of_work, read_page) == chain[:-1]


async def test_of_a_file(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    site, below = await grow(unit_of_work, ours)

    async def read_page(uow: AssetsUnitOfWork, cursor: str | None) -> Page[Asset]:
        return await uow.asset_files.list(ours, AssetFilter(), limit=100, cursor=cursor)

    assert await read_all(unit_of_work, read_page) == [site, *below]


async def test_of_a_file_of_which_not_all_is_wanted(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    site, below = await grow(unit_of_work, ours)

    async def read_page(uow: AssetsUnitOfWork, cursor: str | None) -> Page[Asset]:
        return await uow.asset_files.list(ours, AssetFilter(parent_id=site.id), limit=MANY + 1, cursor=cursor)

    assert await read_all(unit_of_work, read_page) == below


async def test_of_the_history_of_an_asset(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    (asset,) = await add(unit_of_work, build_asset(organisation_id=ours))
    async with unit_of_work() as uow:
        await uow.changes.add(change_of(None, asset, actor="user:1"))
        for nth in range(MANY):
            before, asset = (
                asset,
                asset.change({"properties": {"text": f"{nth} {LONG['text']}"}}, changed_at=FIRST_DAY),
            )
            await uow.assets.save(asset)
            await uow.changes.add(change_of(before, asset, actor="user:1"))
        await uow.commit()

    async def read_page(uow: AssetsUnitOfWork, cursor: str | None) -> Page[Any]:
        return await uow.changes.list(ours, asset.id, start=None, end=None, limit=500, cursor=cursor)

    told = await read_all(unit_of_work, read_page, lambda change: change.content)
    assert [change.version for change in told] == [*range(MANY + 1, 0, -1)]
    assert told[0].content == {"properties": {"text": f"{MANY - 1} {LONG['text']}"}}


async def test_of_relationships(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    said = {"text": "x" * 16_000}
    one, other = await add(unit_of_work, *(build_asset(organisation_id=ours) for _ in range(2)))
    links = [Link(ours, one.id, f"feeds-{nth:03}", other.id) for nth in range(MAX_PAGE_BYTES // 16_000 + 4)]
    async with unit_of_work() as uow:
        for link in links:
            await uow.relationships.add(Relationship(link, said, created_at=FIRST_DAY, updated_at=FIRST_DAY))
        await uow.commit()

    async def read_page(uow: AssetsUnitOfWork, cursor: str | None) -> Page[Relationship]:
        return await uow.relationships.list(ours, RelationshipFilter(one.id), limit=500, cursor=cursor)

    assert [related.link for related in await read_all(unit_of_work, read_page)] == links


async def test_of_device_types(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId) -> None:
    said = {"text": "x" * 60_000}
    names = [f"pump-{nth:03}" for nth in range(MAX_PAGE_BYTES // 60_000 + 4)]
    async with unit_of_work() as uow:
        for name in names:
            await uow.device_types.add(build_device_type(organisation_id=ours, name=name, maintenance=said))
        await uow.commit()

    async def read_page(uow: AssetsUnitOfWork, cursor: str | None) -> Page[Any]:
        return await uow.device_types.list(ours, even_removed=(), limit=500, cursor=cursor)

    found = await read_all(unit_of_work, read_page, lambda device_type: device_type.maintenance)
    assert [device_type.name for device_type in found] == names
