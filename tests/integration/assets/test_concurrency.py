import asyncio
from collections import Counter
from uuid import uuid4

import pytest

from iotsphere.assets.errors import AssetDeviceTakenError, MaintenanceEventNotFoundError
from iotsphere.assets.maintenance import MaintenanceService
from iotsphere.assets.maintenance_event import MaintenanceDraft, MaintenanceEvent, MaintenanceFilter, MaintenanceKind
from iotsphere.assets.model import Asset, AssetDescription
from iotsphere.assets.service import AssetService
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from tests.factories.assets import FIRST_DAY
from tests.integration.patience import eventually


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


async def test_of_many_patches_at_once_none_is_lost(service: AssetService, ours: OrganisationId) -> None:
    asset = await service.add_asset(added_by="user:1", organisation_id=ours, asset_type="pump", name="P1")

    await asyncio.gather(
        *(
            eventually(
                service.change_asset,
                changed_by="user:1",
                organisation_id=ours,
                asset_id=asset.id,
                patch={"properties": {f"p{number}": number}},
                expected_version=None,
            )
            for number in range(40)
        )
    )

    changed = await service.get_asset(organisation_id=ours, asset_id=asset.id)
    assert changed.properties == {f"p{number}": number for number in range(40)}
    assert changed.version == 41


async def test_of_many_patches_of_one_version_one_is_applied(service: AssetService, ours: OrganisationId) -> None:
    asset = await service.add_asset(added_by="user:1", organisation_id=ours, asset_type="pump", name="P1")

    outcomes = await asyncio.gather(
        *(
            eventually(
                service.change_asset,
                changed_by="user:1",
                organisation_id=ours,
                asset_id=asset.id,
                patch={"name": f"P{number}"},
                expected_version=1,
            )
            for number in range(20)
        ),
        return_exceptions=True,
    )

    assert Counter(type(outcome) for outcome in outcomes) == {Asset: 1, PreconditionFailedError: 19}
    assert (await service.get_asset(organisation_id=ours, asset_id=asset.id)).version == 2


async def test_a_device_described_many_times_at_once_has_one_asset(
    service: AssetService, ours: OrganisationId
) -> None:
    device_id = DeviceId(uuid4())

    described = await asyncio.gather(
        *(
            eventually(
                service.describe_device,
                described_by="user:1",
                organisation_id=ours,
                device_id=device_id,
                description=AssetDescription("pump", f"P{number}"),
            )
            for number in range(20)
        )
    )

    only = await service.get_device_asset(organisation_id=ours, device_id=device_id)
    assert described == [only] * 20


async def test_of_many_assets_added_at_once_for_a_device_one_is_taken(
    service: AssetService, ours: OrganisationId
) -> None:
    device_id = DeviceId(uuid4())

    outcomes = await asyncio.gather(
        *(
            eventually(
                service.add_asset,
                added_by="user:1",
                organisation_id=ours,
                asset_type="pump",
                name="P",
                device_id=device_id,
            )
            for _ in range(20)
        ),
        return_exceptions=True,
    )

    assert Counter(type(outcome) for outcome in outcomes) == {Asset: 1, AssetDeviceTakenError: 19}


async def test_of_many_who_remove_an_event_at_once_one_has_removed_it(
    maintenance: MaintenanceService, ours: OrganisationId
) -> None:
    device_id, draft = DeviceId(uuid4()), MaintenanceDraft(MaintenanceKind.FAILURE, FIRST_DAY)
    drafts = [(device_id, draft)] * 2
    event, other = await maintenance.record_events(organisation_id=ours, recorded_by="user:1", drafts=drafts)
    assert isinstance(event, MaintenanceEvent)

    outcomes = await asyncio.gather(
        *(maintenance.remove_event(device_id=device_id, event_id=event.id, expected_version=None) for _ in range(10)),
        return_exceptions=True,
    )

    assert Counter(type(outcome) for outcome in outcomes) == {MaintenanceEvent: 1, MaintenanceEventNotFoundError: 9}
    page = await maintenance.list_events(organisation_id=ours, narrowed_to=MaintenanceFilter(), limit=50, cursor=None)
    assert page.items == [other]
