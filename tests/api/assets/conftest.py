from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from quart import Quart, Response

from iotsphere.api.assets import aggregate, endpoints, relationships, search, tree
from iotsphere.assets.aggregates import AssetAggregateService
from iotsphere.assets.history import AssetHistoryService
from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.relationships import RelationshipService
from iotsphere.assets.searching import AssetSearchService
from iotsphere.assets.service import AssetService
from iotsphere.assets.shipped_types import ShippedTypes
from iotsphere.identity.errors import CredentialInvalidError
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.registry.errors import DeviceNotFoundError
from iotsphere.registry.model import Device
from iotsphere.workflows.description import DescriptionWorkflow
from iotsphere.workflows.device_kinds import DeviceKinds
from tests.factories.assets import FIRST_DAY
from tests.factories.registry import build_device
from tests.fakes.assets import InMemoryAssetsUnitOfWork
from tests.fakes.doors import application_of


class Callers:
    """Knows a caller by a token that is the organisation's name and the role's; a device by its id for a key."""

    def __init__(self, organisations: dict[str, OrganisationId], devices: dict[DeviceId, OrganisationId]) -> None:
        self._organisations = organisations
        self._devices = devices

    async def authenticate_user(self, *, access_token: str) -> Actor:
        name, _, role = access_token.partition("-")
        if name not in self._organisations:
            raise CredentialInvalidError("No such token.")
        return Actor(ActorKind.USER, uuid4(), self._organisations[name], role=Role[role.upper()])

    async def authenticate_key(self, *, api_key: str, attempt: Attempt) -> Actor:
        device_id = DeviceId(UUID(api_key))
        return Actor(ActorKind.DEVICE, device_id, self._devices[device_id], device_id=device_id)


class Devices:
    """The registry, as far as it is asked for a device."""

    def __init__(self, devices: dict[DeviceId, OrganisationId]) -> None:
        self._devices = devices

    async def get_device(self, *, organisation_id: OrganisationId, device_id: DeviceId) -> DeviceId:
        if self._devices.get(device_id) != organisation_id:
            raise DeviceNotFoundError
        return device_id

    async def find_device(self, *, device_id: DeviceId) -> Device | None:
        organisation_id = self._devices.get(device_id)
        return build_device(id=device_id, organisation_id=organisation_id) if organisation_id else None

    async def check_device(self, *, organisation_id: OrganisationId, device_id: DeviceId) -> None:
        await self.get_device(organisation_id=organisation_id, device_id=device_id)


@dataclass
class Api:
    """The asset part of the API, on a store in memory, with two organisations: ours and theirs."""

    app: Quart
    service: AssetService
    organisations: dict[str, OrganisationId]
    devices: dict[DeviceId, OrganisationId]

    def add_device(self, organisation: str = "ours") -> DeviceId:
        device_id = DeviceId(uuid4())
        self.devices[device_id] = self.organisations[organisation]
        return device_id

    async def call(self, method: str, path: str, *, by: str = "ours-operator", **options: Any) -> Response:
        headers = {"Authorization": f"Bearer {by}"} | options.pop("headers", {})
        client = self.app.test_client()
        answer: Response = await client.open(f"/api/v1{path}", method=method, headers=headers, **options)
        return answer

    async def call_as_device(self, device_id: DeviceId, path: str) -> Response:
        answer: Response = await self.app.test_client().get(f"/api/v1{path}", headers={"X-API-Key": str(device_id)})
        return answer

    async def add(self, by: str = "ours-operator", **body: Any) -> dict[str, Any]:
        answer = await self.call("POST", "/assets", by=by, json={"asset_type": "pump", "name": "P1"} | body)
        assert answer.status_code == 201, await answer.get_data()
        asset: dict[str, Any] = await answer.get_json()
        return asset


@pytest.fixture
def api() -> Iterator[Api]:
    numbers = count(1)
    unit_of_work = partial(InMemoryAssetsUnitOfWork, {}, {}, {}, {}, {}, {})
    service = AssetService(
        unit_of_work=unit_of_work,
        moving=unit_of_work,
        clock=lambda: FIRST_DAY,
        new_id=lambda: UUID(int=next(numbers)),
    )
    organisations = {"ours": OrganisationId(uuid4()), "theirs": OrganisationId(uuid4())}
    devices: dict[DeviceId, OrganisationId] = {}
    callers = Callers(organisations, devices)
    registry: Any = Devices(devices)
    description = DescriptionWorkflow(
        devices=registry,
        kinds=DeviceKinds(devices=registry),
        types=KnownTypes(unit_of_work=partial(InMemoryAssetsUnitOfWork, {}), shipped=ShippedTypes({})),
        assets=service,
    )
    relating = RelationshipService(unit_of_work=unit_of_work, clock=lambda: FIRST_DAY)
    services = {
        "assets.assets": service,
        "assets.aggregates": AssetAggregateService(unit_of_work=unit_of_work),
        "assets.history": AssetHistoryService(unit_of_work=unit_of_work),
        "assets.search": AssetSearchService(unit_of_work=unit_of_work),
        "assets.relationships": relating,
        "workflows.description": description,
    }
    doors = (endpoints, search, aggregate, tree, relationships)
    with application_of(*doors, callers=callers, devices=registry, services=services) as app:
        yield Api(app, service, organisations, devices)
