"""What one statement writes is little enough for its time-out, however much comes at once."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.assets.model import AssetDescription
from iotsphere.assets.service import AssetService
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from repositories.assets.rows import MAX_STATEMENT_BYTES, ROW_BYTES
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate
from tests.factories.assets import build_asset

# Together several times what one statement may write: many values, nothing but rows, and one that fills it alone.
PROPERTIES: list[dict[str, Any]] = [
    *({f"property_{place}": place for place in range(60)} for _ in range(150)),
    *({} for _ in range(300)),
    {"notes": "x" * MAX_STATEMENT_BYTES},
]
# Of each asset: type, name, properties, capabilities; the type and the name are short.
TEXTS, SHORT = 4, 16


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


@pytest.fixture
def written(assets_engine: AsyncEngine) -> Iterator[list[list[int]]]:
    """Tell of each statement that writes assets how long the texts are that it carries."""
    seen: list[list[int]] = []

    def take_down(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if "INTO assets" in statement or "UPDATE assets" in statement:
            seen.append([len(value) for value in _scalars(parameters) if isinstance(value, str)])

    sa.event.listen(assets_engine.sync_engine, "before_cursor_execute", take_down)
    yield seen
    sa.event.remove(assets_engine.sync_engine, "before_cursor_execute", take_down)


def _scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _scalars(inner)
    else:
        yield value


def assert_bounded(written: list[list[int]]) -> None:
    """Each is of so many assets and bytes at the most, or of a single asset that is larger."""
    assert sum(map(len, written)) >= TEXTS * len(PROPERTIES)
    for texts in written:
        most = MAX_STATEMENT_BYTES + SHORT * len(texts)
        assert len(texts) == TEXTS or (len(texts) <= TEXTS * MAX_STATEMENT_BYTES // ROW_BYTES and sum(texts) <= most)


async def test_many_devices_are_described_by_statements_of_a_bounded_size(
    service: AssetService, ours: OrganisationId, written: list[list[int]]
) -> None:
    descriptions = {
        DeviceId(uuid4()): AssetDescription("pump", "P", properties=properties) for properties in PROPERTIES
    }

    await service.describe_devices(organisation_id=ours, described_by="user:1", descriptions=descriptions)

    assert_bounded(written)
    for device_id in (min(descriptions), max(descriptions)):
        asset = await service.get_device_asset(organisation_id=ours, device_id=device_id)
        assert asset.properties == descriptions[device_id].properties


async def test_a_file_adds_and_changes_by_statements_of_a_bounded_size(
    assets_engine: AsyncEngine, ours: OrganisationId, written: list[list[int]]
) -> None:
    unit_of_work = partial(SqlAlchemyAssetsUnitOfWork, assets_engine, StoreGate("assets"))
    drafted = [
        build_asset(id=AssetId(uuid4()), organisation_id=ours, properties=properties) for properties in PROPERTIES
    ]

    async with unit_of_work() as uow:
        added = await uow.asset_files.add(drafted)
        changed = [asset.change({"name": "Changed"}, changed_at=asset.updated_at) for asset in drafted]
        await uow.asset_files.save(changed)
        await uow.commit()

    assert_bounded(written)
    assert added == {asset.id for asset in drafted}
    async with unit_of_work() as uow:
        kept = await uow.asset_files.find(ours, added)
    assert {(asset.id, asset.name, asset.version) for asset in kept} == {(id_, "Changed", 2) for id_ in added}
