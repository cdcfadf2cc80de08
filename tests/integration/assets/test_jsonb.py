"""What PostgreSQL itself does to what is stored."""

from uuid import uuid4

import msgspec
import pytest

from iotsphere.assets.service import AssetService
from iotsphere.kernel.identifiers import OrganisationId


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
