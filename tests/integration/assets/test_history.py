"""The history of assets while many change them, and where somebody does so past the platform."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, cast
from uuid import uuid4

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.assets.change import KEPT_EVERY, AssetChange, describe
from iotsphere.assets.documents import merge
from iotsphere.assets.history import AssetHistoryService
from iotsphere.assets.model import Asset, AssetDescription, AssetPatch
from iotsphere.assets.service import AssetService
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate
from repositories.sql import create_store_engine
from tests.integration.patience import eventually

WRITERS = 30


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


@pytest.fixture
def history(assets_engine: AsyncEngine) -> AssetHistoryService:
    return AssetHistoryService(unit_of_work=partial(SqlAlchemyAssetsUnitOfWork, assets_engine, StoreGate("assets")))


async def changes_of(history: AssetHistoryService, asset: Asset) -> list[AssetChange]:
    """All changes, the oldest first."""
    page = await history.list_changes(
        organisation_id=asset.organisation_id, asset_id=asset.id, start=None, end=None, limit=500, cursor=None
    )
    return page.items[::-1]


async def test_of_many_changes_at_once_each_makes_a_version_and_none_is_missing(
    service: AssetService, history: AssetHistoryService, ours: OrganisationId
) -> None:
    asset = await service.add_asset(organisation_id=ours, added_by="user:0", asset_type="pump", name="P")

    changed = await asyncio.gather(
        *(
            eventually(
                service.change_asset,
                organisation_id=ours,
                asset_id=asset.id,
                changed_by=f"user:{number}",
                patch={"properties": {f"p{number}": number}},
                expected_version=None,
            )
            for number in range(WRITERS)
        )
    )

    added, *changes = await changes_of(history, asset)
    assert (added.version, added.actor) == (1, "user:0")
    assert [change.version for change in changes] == list(range(2, WRITERS + 2))
    assert sorted(change.at for change in changes) == [change.at for change in changes]
    for version in changed:
        number = changes[version.version - 2].actor.removeprefix("user:")
        assert changes[version.version - 2].patch == {"properties": {f"p{number}": int(number)}}
        found = await history.get_version(organisation_id=ours, asset_id=asset.id, version=version.version)
        assert found == version


async def test_a_device_described_many_times_at_once_was_added_once(
    service: AssetService, history: AssetHistoryService, ours: OrganisationId
) -> None:
    device_id = DeviceId(uuid4())

    described = await asyncio.gather(
        *(
            eventually(
                service.describe_device,
                organisation_id=ours,
                device_id=device_id,
                described_by="user:1",
                description=AssetDescription("pump", "P"),
            )
            for _ in range(20)
        )
    )

    assert [change.version for change in await changes_of(history, described[0])] == [1]


async def test_what_is_changed_past_the_platform_is_found(
    service: AssetService, history: AssetHistoryService, assets_engine: AsyncEngine, ours: OrganisationId
) -> None:
    asset = await service.add_asset(organisation_id=ours, added_by="user:1", asset_type="pump", name="P")
    by_hand = sa.text("UPDATE assets SET name = :name, version = version + 1, updated_at = :at WHERE id = :id")
    for name in ("by hand", "by hand again"):
        async with assets_engine.begin() as connection:
            await connection.execute(by_hand, {"name": name, "at": utc_now(), "id": asset.id})
    change: AssetPatch = {"properties": {"a": 1}}
    await service.change_asset(
        organisation_id=ours, asset_id=asset.id, changed_by="user:2", patch=change, expected_version=None
    )

    changes = await changes_of(history, asset)
    assert [(change.version, change.actor) for change in changes] == [
        (1, "user:1"),
        (2, "unknown"),
        (3, "unknown"),
        (4, "user:2"),
    ]
    for version, name in enumerate(("P", "by hand", "by hand again", "by hand again"), 1):
        found = await history.get_version(organisation_id=ours, asset_id=asset.id, version=version)
        assert (found.name, found.version) == (name, version)
        assert (await history.get_at(organisation_id=ours, asset_id=asset.id, at=found.updated_at)).name == name


KEYS = st.sampled_from(["a", "b", "ä"])
NUMBERS = st.sampled_from([0, 1, 1.0, 1e22, -0.0, 2**70, 0.1, 5e-324])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)
PATCHES = st.fixed_dictionaries(
    {},
    optional={
        "properties": st.none() | OBJECTS,
        "name": st.sampled_from(["P", "Q"]),
        "capabilities": st.lists(OBJECTS.map(lambda said: said | {"name": "c"}), max_size=2),
        "parent_id": st.booleans(),
    },
)


def as_json(document: object) -> bytes:
    return msgspec.json.encode(document, order="sorted")


@contextmanager
def services_of(dsn: str) -> Iterator[tuple[asyncio.Runner, AssetService, AssetHistoryService]]:
    """Services with an engine of their own, whose connections belong to the loop."""
    with asyncio.Runner() as runner:
        engine = create_store_engine(dsn)
        unit_of_work = partial(SqlAlchemyAssetsUnitOfWork, engine, StoreGate("assets"))
        service = AssetService(unit_of_work=unit_of_work, moving=unit_of_work, clock=utc_now, new_id=uuid4)
        yield runner, service, AssetHistoryService(unit_of_work=unit_of_work)
        runner.run(engine.dispose())


def test_of_any_course_of_changes_every_version_comes_back_exactly(assets_dsn: str) -> None:
    """The model: what was answered, change by change."""
    with services_of(assets_dsn) as (runner, service, history):

        async def live(first: dict[str, Any], patches: list[dict[str, Any]]) -> None:
            ours = OrganisationId(uuid4())
            said: dict[str, Any] = {"organisation_id": ours, "added_by": "user:1", "asset_type": "pump"}
            site = await service.add_asset(**said, name="site")
            asset = await service.add_asset(**said, name="P", properties=first)
            # As it is stored: there a number may be written in another way.
            model = [await service.get_asset(organisation_id=ours, asset_id=asset.id)]
            which: dict[str, Any] = {"organisation_id": ours, "asset_id": asset.id}
            for patch in patches:
                moved = {"parent_id": site.id if patch["parent_id"] else None} if "parent_id" in patch else {}
                said_now = cast("AssetPatch", patch | moved)
                await service.change_asset(**which, changed_by="user:2", patch=said_now, expected_version=None)
                model.append(await service.get_asset(**which))
            await hold(history, model)

        @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(first=OBJECTS, patches=st.lists(PATCHES, max_size=KEPT_EVERY + 5))
        def every_version_comes_back(first: dict[str, Any], patches: list[dict[str, Any]]) -> None:
            runner.run(live(first, patches))

        every_version_comes_back()


async def hold(history: AssetHistoryService, model: list[Asset]) -> None:
    """Hold the history against what it ought to tell, also of the moments in between."""
    described: object = {}
    for change, then in zip(await changes_of(history, model[0]), model, strict=True):
        described = merge(described, change.content) if change.patch is not None else change.content
        assert as_json(described) == as_json(describe(then))
        which: dict[str, Any] = {"organisation_id": then.organisation_id, "asset_id": then.id}
        by_version = await history.get_version(**which, version=then.version)
        last_then = [later for later in model if later.updated_at == then.updated_at][-1]
        assert (by_version, await history.get_at(**which, at=then.updated_at)) == (then, last_then)
        assert as_json(describe(by_version)) == as_json(describe(then))
        before = [earlier for earlier in model if earlier.updated_at < then.updated_at]
        if before:
            at = then.updated_at - timedelta(microseconds=1)
            assert await history.get_at(**which, at=at) == before[-1]
