"""The whole application on stores in memory, and callers of every kind."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from dependency_injector import providers
from quart import Response
from werkzeug.datastructures import Headers

from iotsphere.app import create_app
from iotsphere.assets.model import Asset
from iotsphere.config import Settings
from iotsphere.containers.application import create_container
from iotsphere.identity.model import Organisation, SigningKey, StoredSigningKey, User
from iotsphere.identity.secrets import ApiKey, PlatformCipher, hash_secret
from iotsphere.identity.tokens import sign_token
from iotsphere.kernel.actor import Role
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.identifiers import AssetId, SigningKeyId
from iotsphere.registry.model import Device
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from iotsphere.throttling.process import ProcessThrottleStore
from tests.factories.identity import build_organisation, build_session, build_user
from tests.factories.registry import build_credential, build_device
from tests.fakes.assets import DeviceTypes, InMemoryAssetsUnitOfWork, MaintenanceEvents
from tests.fakes.identity import KeptSession, RecordingPasswords
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables, UnreachableUnitOfWork

NOWHERE = Settings(
    registry_dsn="postgresql://127.0.0.1:1/nowhere",
    assets_dsn="postgresql://127.0.0.1:1/nowhere",
    telemetry_dsn="postgresql://127.0.0.1:1/nowhere",
    shadow_url="redis://127.0.0.1:1",
    secret_key="a secret of more than thirty-two characters",
    admin_email="admin@iotsphere.local",
    admin_password=None,
    host="127.0.0.1",
    port=1,
    data_dir=None,
    cache_dir=None,
    log_level="info",
)
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "correlation_id"}
Credentials = dict[str, str]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem, which has all the members that it must have."""
        problem = self.json
        assert self.headers["Content-Type"] == "application/problem+json"
        assert problem.keys() - {"errors"} == PROBLEM_MEMBERS
        assert (problem["status"], problem["correlation_id"]) == (self.status, self.headers["X-Correlation-ID"])
        assert problem["type"].endswith(problem["code"])
        assert len(problem["code"].split(".")) == 3
        assert problem["title"]
        assert problem["detail"]
        assert ("errors" in problem) == (self.status == 422)
        return str(problem["code"])

    @property
    def refusal(self) -> tuple[int, str]:
        return self.status, self.code


class WiredApplication:
    """The application and its container, for many benches one after the other: to make it costs more than most tests.

    It is not served, which can be done once with each.
    """

    def __init__(self) -> None:
        self.container = create_container(NOWHERE)
        self.app = create_app(self.container)
        every: Iterator[providers.Provider[Any]] = self.container.traverse()
        self._overridden = {provider: len(provider.overridden) for provider in every}

    def renew(self) -> None:
        """Take out what was put in place of a provider, and forget every service that was made."""
        for provider, at_first in self._overridden.items():
            while len(provider.overridden) > at_first:
                provider.reset_last_overriding()
        self.container.reset_singletons()


class ApiBench:
    """Two organisations, ours and theirs; what is not said of a caller is ours and an administrator's."""

    def __init__(self, wired: WiredApplication) -> None:
        wired.renew()
        self.tables = RegistryTables()
        self.signing_key = self.add_signing_key()
        self.assets: dict[AssetId, Asset] = {}
        self.device_types: DeviceTypes = {}
        self.maintenance_events: MaintenanceEvents = {}
        self.app, self.container = wired.app, wired.container
        self.container.identity.passwords.override(providers.Object(RecordingPasswords()))
        in_memory = providers.Factory(
            InMemoryAssetsUnitOfWork, self.assets, self.device_types, {}, self.maintenance_events, {}
        )
        self.container.stores.assets_unit_of_work.override(in_memory)
        self.container.stores.search_unit_of_work.override(in_memory)
        self.container.stores.figures_unit_of_work.override(in_memory)
        self.container.stores.throttle.override(providers.Singleton(ProcessThrottleStore))
        self.open_registry()
        self.ours, self.theirs = self.add_organisation(), self.add_organisation()
        self.credentials: dict[str, Credentials] = {
            role.name.lower(): self.log_in(self.add_user(self.ours, role=role)) for role in Role
        }

    def open_registry(self) -> None:
        self.container.stores.registry_unit_of_work.override(
            providers.Factory(InMemoryRegistryUnitOfWork, self.tables)
        )

    def close_registry(self) -> None:
        self.container.stores.registry_unit_of_work.override(providers.Factory(UnreachableUnitOfWork, self.tables))

    def keep_telemetry(self, unit_of_work: TelemetryUnitOfWorkFactory) -> None:
        """Let readings be kept there, whoever writes them or only reads."""
        for provider in (self.container.stores.telemetry_unit_of_work, self.container.stores.telemetry_view):
            provider.override(providers.Factory(unit_of_work))

    def add_signing_key(self) -> SigningKey:
        key = SigningKey(SigningKeyId(uuid4()), b"key " * 8, utc_now())
        encrypted = PlatformCipher("signing-key", NOWHERE.secret_key or "").encrypt(key.secret)
        self.tables.signing_keys[key.id] = StoredSigningKey(key.id, encrypted, key.created_at)
        return key

    def add_organisation(self, **given: Any) -> Organisation:
        organisation = build_organisation(**given)
        self.tables.organisations[organisation.id] = organisation
        return organisation

    def add_user(self, organisation: Organisation, **given: Any) -> User:
        user = build_user(organisation_id=organisation.id, **given)
        self.tables.users[user.id] = user
        return user

    def log_in(self, user: User) -> Credentials:
        session = build_session(user_id=user.id, created_at=utc_now())
        self.tables.sessions[session.id] = KeptSession(session)
        token = sign_token(self.signing_key, session_id=session.id, issued_at=utc_now())
        return {"Authorization": f"Bearer {token}"}

    def add_device(self, organisation: Organisation | None = None, **given: Any) -> Device:
        device = build_device(organisation_id=(organisation or self.ours).id, **given)
        self.tables.devices[device.id] = device
        return device

    def give_key(self, device: Device, **given: Any) -> Credentials:
        credential = build_credential(device_id=device.id, secret_hash=hash_secret("secret"), **given)
        self.tables.credentials[credential.id] = credential
        return {"X-API-Key": str(ApiKey(credential.id, "secret"))}

    async def call(self, method: str, path: str, *, by: Credentials | str | None = "admin", **options: Any) -> Answer:
        credentials = self.credentials[by] if isinstance(by, str) else by or {}
        headers = credentials | options.pop("headers", {})
        client = self.app.test_client()
        response: Response = await client.open(path, method=method, headers=headers, **options)
        return Answer(response.status_code, response.headers, await response.get_data(as_text=False))

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.call("GET", f"/api/v1{path}", **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        sent = {} if body is None else {"json": body}
        return await self.call("POST", f"/api/v1{path}", **sent, **options)

    async def patch(self, path: str, body: Any, **options: Any) -> Answer:
        return await self.call("PATCH", f"/api/v1{path}", json=body, **options)

    async def delete(self, path: str, **options: Any) -> Answer:
        return await self.call("DELETE", f"/api/v1{path}", **options)

    async def send(self, path: str, body: bytes, *, method: str = "POST", **options: Any) -> Answer:
        """Send bytes as they are, declared as JSON."""
        headers = {"Content-Type": "application/json"} | options.pop("headers", {})
        return await self.call(method, f"/api/v1{path}", data=body, headers=headers, **options)

    async def register(self, **given: Any) -> Answer:
        return await self.post("/devices", {"serial_number": str(uuid4()), "device_type": "pump"} | given)


# Of a module, not of the session: others wire the same doors to something else.
@pytest.fixture(scope="module")
def wired() -> Iterator[WiredApplication]:
    wired = WiredApplication()
    yield wired
    wired.container.unwire()


@pytest.fixture
def bench(wired: WiredApplication) -> ApiBench:
    return ApiBench(wired)
