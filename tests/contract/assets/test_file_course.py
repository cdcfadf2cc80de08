"""Whatever a file says of what is below what, each line finds things as the lines above it left them."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotsphere.assets.asset_files import AssetFileService
from iotsphere.assets.asset_line import AssetFile, AssetLine
from iotsphere.assets.model import Asset, AssetPatch
from iotsphere.assets.portion import ImportedAsset
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.assets.search import AssetFilter
from iotsphere.assets.service import AssetService
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate
from repositories.sql import create_store_engine
from tests.fakes.assets import InMemoryAssetsUnitOfWork

# What is there before: of each, below which it is.
THERE: dict[str, str | None] = {"a": None, "b": "a", "c": "b", "d": None, "e": "d", "f": None}
which = st.integers(0, 40)
files = st.lists(st.tuples(st.sampled_from(["add", "move", "move", "rename"]), which, which), max_size=14)


class PlainModel:
    """Who is below whom by name, and what is called by which key."""

    def __init__(self) -> None:
        self.parents: dict[str, str | None] = dict(THERE)
        self.keys: dict[str, str] = {}
        self.names = {name: name for name in THERE}

    def settle(self, number: int, kind: str, own: str, parent: str | None) -> str:
        if kind == "rename":
            is_same, self.names[own] = self.names[own] == "renamed", "renamed"
            return "unchanged" if is_same else "updated"
        if parent is not None and parent.startswith("k"):
            if parent not in self.keys:
                return "rejected"
            parent = self.keys[parent]
        if kind == "move" and parent is not None and own in self._upwards(parent):
            return "rejected"
        is_same = kind == "move" and self.parents[own] == parent
        name = own if kind == "move" else f"n{number}"
        self.parents[name], self.keys[f"k{number}"] = parent, name
        self.names.setdefault(name, name)
        return "created" if kind == "add" else "unchanged" if is_same else "updated"

    def _upwards(self, name: str | None) -> Iterator[str]:
        while name is not None:
            yield name
            name = self.parents[name]

    def outline(self) -> set[tuple[str, ...]]:
        return {tuple(self.names[step] for step in self._upwards(name)) for name in self.parents}


def line_of(number: int, kind: str, own: AssetId | None, parent: AssetId | str | None) -> AssetLine:
    patch: AssetPatch = {"asset_type": "part", "name": f"n{number}"} if kind == "add" else {}
    if kind == "rename":
        return AssetLine(asset_id=own, patch={"name": "renamed"})
    if not isinstance(parent, str):
        patch["parent_id"] = parent
    parent_key = parent if isinstance(parent, str) else None
    return AssetLine(asset_id=own, patch=patch, key=f"k{number}", parent_key=parent_key)


class Course:
    """One file, worked through in portions of some size, beside the model."""

    def __init__(self, unit_of_work: AssetsUnitOfWorkFactory) -> None:
        self.ours = OrganisationId(uuid4())
        self.assets = AssetService(unit_of_work=unit_of_work, moving=unit_of_work, clock=utc_now, new_id=uuid4)
        self.files = AssetFileService(unit_of_work=unit_of_work, assets=self.assets, clock=utc_now, new_id=uuid4)

    async def run(self, file: list[tuple[str, int, int]], size: int) -> None:
        ids: dict[str, AssetId] = {}
        for name, above in THERE.items():
            ids[name] = await self.add(name, parent_id=ids[above] if above else None)
        model, expected, lines = PlainModel(), [], []
        for number, (kind, own_index, parent_index) in enumerate(file):
            own = list(THERE)[own_index % len(THERE)]
            # Among them keys of lines further down.
            parents = [None, *THERE, *(f"k{n}" for n in range(len(file)))]
            parent = parents[parent_index % len(parents)]
            expected.append(model.settle(number, kind, own, parent))
            named = ids.get(parent, parent) if parent else None
            lines.append(line_of(number, kind, None if kind == "add" else ids[own], named))

        assert await self._settle(lines, size) == expected
        assert await self.outline() == model.outline()

    async def add(self, name: str, *, parent_id: AssetId | None) -> AssetId:
        asset = await self.assets.add_asset(
            organisation_id=self.ours, added_by="user:one", asset_type="part", name=name, parent_id=parent_id
        )
        return asset.id

    async def _settle(self, lines: list[AssetLine], size: int) -> list[str]:
        file = AssetFile(self.ours, actor="user:one")
        outcomes: list[str] = []
        for first in range(0, len(lines), size):
            settled = await self.files.settle_lines(
                file=file, lines=lines[first : first + size], find_schemas=_no_schemas
            )
            outcomes += [one.status if isinstance(one, ImportedAsset) else "rejected" for one in settled]
        return outcomes

    async def outline(self) -> set[tuple[str, ...]]:
        """Read it from the parents and hold it against the places, by which the list goes."""
        page = await self.files.list_assets(
            organisation_id=self.ours, narrowed_to=AssetFilter(), limit=500, cursor=None
        )
        of_ids: dict[AssetId | None, Asset] = {asset.id: asset for asset in page.items}
        outlines = set()
        for asset in page.items:
            names, above = [asset.name], of_ids.get(asset.parent_id)
            while above is not None:
                names.append(above.name)
                above = of_ids.get(above.parent_id)
            outlines.add(tuple(names))
            ancestors = await self.assets.list_ancestors(
                organisation_id=self.ours, asset_id=asset.id, limit=64, cursor=None
            )
            assert [each.name for each in ancestors.items] == names[:0:-1]
        return outlines


async def _no_schemas(_: Any) -> dict[Any, Any]:
    return {}


async def test_what_others_put_something_below_meanwhile_moves_with_that(
    unit_of_work: AssetsUnitOfWorkFactory,
) -> None:
    course = Course(unit_of_work)
    site, hall = [await course.add(name, parent_id=None) for name in ("site", "hall")]

    async def find_schemas(_: Any) -> dict[Any, Any]:
        # When the assets of the lines have been looked at, and nothing is done yet.
        await course.add("line", parent_id=hall)
        return {}

    (outcome,) = await course.files.settle_lines(
        file=AssetFile(course.ours, actor="user:one"),
        lines=[AssetLine(asset_id=hall, patch={"parent_id": site})],
        find_schemas=find_schemas,
    )

    assert isinstance(outcome, ImportedAsset), outcome
    assert (outcome.status, outcome.version) == ("updated", 2)
    assert await course.outline() == {("site",), ("hall", "site"), ("line", "hall", "site")}


@pytest.mark.parametrize("store", ["memory", "postgresql"])
def test_a_file_does_what_its_lines_say_one_after_the_other(request: pytest.FixtureRequest, store: str) -> None:
    with asyncio.Runner() as loop:
        # An engine of its own, for its connections belong to the loop.
        engine = create_store_engine(request.getfixturevalue("assets_dsn")) if store == "postgresql" else None

        @settings(max_examples=300 if engine is None else 25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(file=files, size=st.sampled_from([1, 2, 5, 100]))
        def follow(file: list[tuple[str, int, int]], size: int) -> None:
            unit_of_work: AssetsUnitOfWorkFactory = (
                partial(InMemoryAssetsUnitOfWork, {})
                if engine is None
                else partial(SqlAlchemyAssetsUnitOfWork, engine, StoreGate("assets"))
            )
            loop.run(Course(unit_of_work).run(file, size))

        follow()
        if engine is not None:
            loop.run(engine.dispose())
