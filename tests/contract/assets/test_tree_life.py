"""Any course of adding, moving and removing leaves the trees that a plain model says."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from iotsphere.assets.errors import AssetCycleError, AssetHasChildrenError, AssetParentUnknownError
from iotsphere.assets.model import Asset
from iotsphere.assets.place import MAX_LEVELS
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.assets.service import AssetService
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.errors import DomainError
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from iotsphere.kernel.pagination import Page
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate
from repositories.sql import create_store_engine
from tests.fakes.assets import InMemoryAssetsUnitOfWork

which = st.integers(0, 30)
depths = st.sampled_from([1, 2, 3, MAX_LEVELS])
limits = st.sampled_from([1, 2, 3, 50])


class LifeOfTrees(RuleBasedStateMachine):
    """The model: who is whose child, in the order in which they were added. Indexes go round; one is for nobody."""

    runner: ClassVar[asyncio.Runner]
    unit_of_work: ClassVar[AssetsUnitOfWorkFactory]

    def __init__(self) -> None:
        super().__init__()
        self.ours = OrganisationId(uuid4())
        self.parents: dict[AssetId, AssetId | None] = {}
        self.gone: list[AssetId] = []
        open_store = type(self).unit_of_work
        self.service = AssetService(unit_of_work=open_store, moving=open_store, clock=utc_now, new_id=uuid4)

    @rule(parent=which)
    def add(self, parent: int) -> None:
        parent_id = self._pick_or_none(parent)
        asset = self._run(
            self.service.add_asset(
                added_by="user:1", organisation_id=self.ours, asset_type="a", name="a", parent_id=parent_id
            )
        )
        self.parents[asset.id] = parent_id

    @rule(moved=which, parent=which)
    def move(self, moved: int, parent: int) -> None:
        asset_id, parent_id = self._pick(moved), self._pick_or_none(parent)
        if asset_id is None:
            return
        makes_cycle = parent_id is not None and asset_id in [parent_id, *self._above(parent_id)]
        refused = self._attempt(self._change(asset_id, parent_id))
        assert refused is (AssetCycleError if makes_cycle else None)
        if not makes_cycle:
            self.parents[asset_id] = parent_id

    @rule(moved=which, gone=which)
    def move_to_what_is_gone(self, moved: int, gone: int) -> None:
        asset_id = self._pick(moved)
        if asset_id is not None and self.gone:
            parent_id = self.gone[gone % len(self.gone)]
            assert self._attempt(self._change(asset_id, parent_id)) is AssetParentUnknownError

    @rule(removed=which)
    def remove(self, removed: int) -> None:
        asset_id = self._pick(removed)
        if asset_id is None:
            return
        has_children = asset_id in self.parents.values()
        refused = self._attempt(
            self.service.remove_asset(organisation_id=self.ours, asset_id=asset_id, expected_version=None)
        )
        assert refused is (AssetHasChildrenError if has_children else None)
        if not has_children:
            del self.parents[asset_id]
            self.gone.append(asset_id)

    @rule(top=which, depth=depths, limit=limits)
    def look_down(self, top: int, depth: int, limit: int) -> None:
        asset_id = self._pick(top)
        if asset_id is not None:
            look = partial(self.service.list_descendants, organisation_id=self.ours, asset_id=asset_id, depth=depth)
            assert self._all_pages(look, limit) == self._below(asset_id, depth)

    @rule(bottom=which, limit=limits)
    def look_up(self, bottom: int, limit: int) -> None:
        asset_id = self._pick(bottom)
        if asset_id is not None:
            look = partial(self.service.list_ancestors, organisation_id=self.ours, asset_id=asset_id)
            assert self._all_pages(look, limit) == self._above(asset_id)[::-1]

    def _above(self, asset_id: AssetId) -> list[AssetId]:
        parent_id = self.parents[asset_id]
        return [] if parent_id is None else [parent_id, *self._above(parent_id)]

    def _below(self, asset_id: AssetId, depth: int) -> list[AssetId]:
        children = [child for child, parent_id in self.parents.items() if parent_id == asset_id] if depth else []
        return [found for child in children for found in (child, *self._below(child, depth - 1))]

    def _pick(self, index: int) -> AssetId | None:
        return list(self.parents)[index % len(self.parents)] if self.parents else None

    def _pick_or_none(self, index: int) -> AssetId | None:
        return [None, *self.parents][index % (len(self.parents) + 1)]

    def _change(self, asset_id: AssetId, parent_id: AssetId | None) -> Coroutine[Any, Any, Asset]:
        return self.service.change_asset(
            changed_by="user:1",
            organisation_id=self.ours,
            asset_id=asset_id,
            patch={"parent_id": parent_id},
            expected_version=None,
        )

    def _all_pages(self, look: Any, limit: int) -> list[AssetId]:
        found: list[AssetId] = []
        cursor: str | None = None
        while True:
            page: Page[Asset] = self._run(look(limit=limit, cursor=cursor))
            found += [asset.id for asset in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return found

    def _attempt(self, what: Coroutine[Any, Any, Any]) -> type[DomainError] | None:
        try:
            self._run(what)
        except DomainError as error:
            return type(error)
        return None

    def _run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(what)


@pytest.mark.parametrize("store", ["memory", "postgresql"])
def test_the_trees_are_what_was_made_of_them(request: pytest.FixtureRequest, store: str) -> None:
    with asyncio.Runner() as loop:
        # An engine of its own, for its connections belong to the loop.
        engine = create_store_engine(request.getfixturevalue("assets_dsn")) if store == "postgresql" else None
        open_store: AssetsUnitOfWorkFactory = (
            partial(InMemoryAssetsUnitOfWork, {})
            if engine is None
            else partial(SqlAlchemyAssetsUnitOfWork, engine, StoreGate("assets"))
        )

        class Life(LifeOfTrees):
            runner = loop
            unit_of_work = open_store

        try:
            run_state_machine_as_test(
                Life,
                settings=settings(
                    max_examples=40,
                    stateful_step_count=40,
                    deadline=None,
                    suppress_health_check=[HealthCheck.too_slow],
                ),
            )
        finally:
            if engine is not None:
                loop.run(engine.dispose())
