"""What PostgreSQL itself does to what is stored."""

from uuid import uuid4

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.assets.documents import JsonObject, size_of
from iotsphere.assets.service import AssetService
from iotsphere.kernel.identifiers import OrganisationId

WRITTEN = sa.text("SELECT CAST(properties AS text) FROM assets WHERE id = :id")


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ('{"b":1,"a":2,"aa":3}', '{"a":2,"b":1,"aa":3}'),
        ('{"a":1e2}', '{"a":100.0}'),
        ('{"a":1e22}', '{"a":10000000000000000000000}'),
        ('{"a":-0.0}', '{"a":0.0}'),
        ('{"a":1,"a":2}', '{"a":2}'),
        ('{"a":1.50}', '{"a":1.5}'),
    ],
)
async def test_jsonb_normalises_notation_alone(
    service: AssetService, ours: OrganisationId, written: str, kept: str
) -> None:
    asset = await service.add_asset(
        added_by="user:1", organisation_id=ours, asset_type="pump", name="P", properties=msgspec.json.decode(written)
    )

    found = await service.get_asset(organisation_id=ours, asset_id=asset.id)

    assert msgspec.json.encode(found.properties) == kept.encode()
    assert found.properties == asset.properties


@pytest.mark.parametrize("number", [1e16, -1.5e300, 1.7976931348623157e308, 1e-5, 5e-324, 123456.75, 0.0001, 2**70])
async def test_what_has_room_with_all_its_digits_has_room_when_it_is_changed(
    service: AssetService, ours: OrganisationId, assets_engine: AsyncEngine, number: float
) -> None:
    document: JsonObject = {"a": [number, f"{number}"]}
    asset = await service.add_asset(
        added_by="user:1", organisation_id=ours, asset_type="pump", name="P", properties=document
    )

    found = await service.get_asset(organisation_id=ours, asset_id=asset.id)

    async with assets_engine.connect() as connection:
        written = await connection.scalar(WRITTEN, {"id": asset.id})
    assert size_of(found.properties) == size_of(document) == len(written.replace(" ", ""))
