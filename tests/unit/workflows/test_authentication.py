from functools import partial
from uuid import uuid4

import pytest

from iotsphere.identity.errors import CredentialInvalidError
from iotsphere.identity.keys import KeyService
from iotsphere.identity.secrets import ApiKey, ProvisioningKeyText, hash_secret
from iotsphere.identity.service import SessionService
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.audit import Attempt, AuditOutcome
from iotsphere.kernel.lease import LeasedCache
from iotsphere.registry.contacts import ContactService
from iotsphere.registry.errors import DeviceSuspendedError
from iotsphere.registry.model import Device, DeviceStatus
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.throttling.errors import GuessesExceededError
from iotsphere.throttling.service import WRONG_KEYS_OF_ONE_AT_ADDRESS
from iotsphere.workflows.authentication import AuthenticationWorkflow
from tests.factories.identity import build_attempt, build_integration_key, build_user
from tests.factories.registry import build_credential, build_device, build_provisioning_key
from tests.fakes.identity import ManualClock, RecordingPasswords, build_tokens
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables
from tests.fakes.throttling import build_throttle

ADDRESS = "192.0.2.1"
# Before anybody is recognised.
ATTEMPT = Attempt(None, "get_me", ADDRESS, "request-1")


class Bench:
    """The workflow on a store in memory, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()
        unit_of_work = partial(InMemoryRegistryUnitOfWork, self.tables)
        self.contacts = ContactService(unit_of_work=unit_of_work, clock=self.clock)
        self.sessions = SessionService(
            unit_of_work=unit_of_work,
            passwords=RecordingPasswords(),
            tokens=build_tokens(unit_of_work, self.clock),
            cache=LeasedCache(),
            clock=self.clock,
            new_id=uuid4,
        )
        self.workflow = AuthenticationWorkflow(
            sessions=self.sessions,
            keys=KeyService(unit_of_work=unit_of_work, cache=LeasedCache(), clock=self.clock),
            devices=DeviceRegistryService(unit_of_work=unit_of_work, clock=self.clock, new_id=uuid4),
            contacts=self.contacts,
            throttle=build_throttle(),
        )
        self.api_key = ""

    def add_device(self, status: DeviceStatus = DeviceStatus.PROVISIONED) -> Device:
        device = build_device(status=status)
        credential = build_credential(device_id=device.id, secret_hash=hash_secret("secret"))
        self.tables.devices[device.id] = device
        self.tables.credentials[credential.id] = credential
        self.api_key = str(ApiKey(credential.id, "secret"))
        return device


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_browser_is_recognised_by_its_secret(bench: Bench) -> None:
    user = build_user(password_hash="hash of correct horse")
    bench.tables.users[user.id] = user
    opened = await bench.workflow.log_in_browser(
        email=user.email, password="correct horse", remember=False, attempt=build_attempt()
    )

    assert await bench.workflow.authenticate_browser(secret=opened.secret) == user.as_actor()


async def test_a_user_is_recognised_by_the_access_token(bench: Bench) -> None:
    user = build_user(password_hash="hash of correct horse")
    bench.tables.users[user.id] = user
    pair = await bench.sessions.log_in(attempt=build_attempt(), email=user.email, password="correct horse")

    assert await bench.workflow.authenticate_user(access_token=pair.access_token) == user.as_actor()
    with pytest.raises(CredentialInvalidError):
        await bench.workflow.authenticate_user(access_token="made up")


async def test_a_device_becomes_active_when_it_first_shows_its_key(bench: Bench) -> None:
    device = bench.add_device()

    actor = await bench.workflow.authenticate_key(attempt=ATTEMPT, api_key=bench.api_key)

    assert (actor.device_id, actor.organisation_id, actor.role) == (device.id, device.organisation_id, None)
    seen = bench.tables.devices[device.id]
    assert (seen.status, seen.last_seen_at) == (DeviceStatus.ACTIVE, bench.clock.now)


async def test_the_trail_tells_of_the_first_contact_in_the_name_of_the_device(bench: Bench) -> None:
    device = bench.add_device()

    for _ in range(2):
        await bench.workflow.authenticate_key(attempt=ATTEMPT, api_key=bench.api_key)

    [entry] = bench.tables.audit.values()
    name = f"device:{device.id}"
    assert (entry.actor, entry.target, entry.organisation_id) == (name, name, device.organisation_id)
    assert (entry.action, entry.address, entry.correlation_id) == ("get_me", ADDRESS, "request-1")
    assert (entry.outcome, entry.details) == (AuditOutcome.DONE, {"status": "active"})


async def test_a_chatty_device_costs_no_write_per_message(bench: Bench) -> None:
    device = bench.add_device()
    first_contact = bench.clock.now
    await bench.workflow.authenticate_key(attempt=ATTEMPT, api_key=bench.api_key)

    bench.clock.advance(seconds=1)
    await bench.workflow.authenticate_key(attempt=ATTEMPT, api_key=bench.api_key)
    assert bench.tables.devices[device.id].last_seen_at == first_contact

    await bench.contacts.write_contacts()
    assert bench.tables.devices[device.id].last_seen_at == bench.clock.now


async def test_an_integration_is_recognised_and_is_no_contact_of_a_device(bench: Bench) -> None:
    maker = build_user(role=Role.ENGINEER)
    key = build_integration_key(
        organisation_id=maker.organisation_id, made_by=maker.id, role=Role.ADMIN, secret_hash=hash_secret("secret")
    )
    bench.tables.users[maker.id] = maker
    bench.tables.api_keys[key.id] = key

    actor = await bench.workflow.authenticate_key(attempt=ATTEMPT, api_key=str(ApiKey(key.id, "secret")))

    assert actor == Actor(ActorKind.INTEGRATION, key.id, maker.organisation_id, role=Role.ENGINEER)


async def test_a_suspended_device_is_turned_away_and_not_noted(bench: Bench) -> None:
    device = bench.add_device(DeviceStatus.SUSPENDED)

    with pytest.raises(DeviceSuspendedError):
        await bench.workflow.authenticate_key(attempt=ATTEMPT, api_key=bench.api_key)

    assert bench.tables.devices == {device.id: device}


async def test_a_wrong_key_says_nothing_of_the_device_and_is_no_contact(bench: Bench) -> None:
    device = bench.add_device(DeviceStatus.SUSPENDED)

    with pytest.raises(CredentialInvalidError):
        await bench.workflow.authenticate_key(attempt=ATTEMPT, api_key=bench.api_key + "x")

    assert bench.tables.devices == {device.id: device}


async def test_a_provisioning_key_is_recognised_spent_or_not_and_its_holder_is_no_device(bench: Bench) -> None:
    key = build_provisioning_key(max_devices=1, provisioned=1, secret_hash=hash_secret("secret"))
    bench.tables.provisioning_keys[key.id] = key

    actor = await bench.workflow.authenticate_provisioner(
        provisioning_key=str(ProvisioningKeyText(key.id, "secret")), address=ADDRESS
    )

    assert actor == Actor(ActorKind.PROVISIONING_KEY, key.id, key.organisation_id)


async def test_wrong_provisioning_keys_are_soon_looked_up_no_more(bench: Bench) -> None:
    key = build_provisioning_key(secret_hash=hash_secret("secret"))
    bench.tables.provisioning_keys[key.id] = key
    right = str(ProvisioningKeyText(key.id, "secret"))

    async def show(text: str, address: str = ADDRESS) -> Actor:
        return await bench.workflow.authenticate_provisioner(provisioning_key=text, address=address)

    for guess in range(WRONG_KEYS_OF_ONE_AT_ADDRESS.burst):
        with pytest.raises(CredentialInvalidError):
            await show(f"{right}{guess}")

    for text in (f"{right}x", right):
        with pytest.raises(GuessesExceededError) as refusal:
            await show(text)
        assert refusal.value.retry_after_seconds > 0
    assert await show(right, address="198.51.100.1")
