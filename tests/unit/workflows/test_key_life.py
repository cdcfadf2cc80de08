"""The life of keys, in whatever order things happen, against a plain model of what is true and since when.

A key is answered by what is true, or by what was true less than a lease ago: never by anything older, whatever is
remembered, being looked up, overheard or lost.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction
from typing import Any
from uuid import uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, invariant, multiple, precondition, rule

from iotsphere.identity.errors import CredentialInvalidError
from iotsphere.identity.keys import KeyService
from iotsphere.identity.model import KeyHolder
from iotsphere.identity.secrets import ApiKey, hash_secret
from iotsphere.identity.service import SessionService
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.lease import LeasedCache
from iotsphere.registry.contacts import ContactService
from iotsphere.registry.credentials import CredentialService
from iotsphere.registry.errors import DeviceSuspendedError
from iotsphere.registry.model import Credential, Device, DeviceStatus
from iotsphere.registry.service import DeviceRegistryService
from iotsphere.throttling.model import RequestLimits
from iotsphere.throttling.process import ProcessThrottleStore
from iotsphere.throttling.service import Throttle
from iotsphere.workflows.authentication import AuthenticationWorkflow
from tests.factories.identity import build_attempt
from tests.factories.registry import build_device
from tests.fakes.identity import RecordingPasswords, build_tokens
from tests.unit.workflows.lease_machine import Clocks, LeaseMachine, Truths

LET_IN, SUSPENDED, INVALID, UNAVAILABLE = "let in", "suspended", "invalid", "unavailable"
ENDS: dict[type[Exception], str] = {
    CredentialInvalidError: INVALID,
    DeviceSuspendedError: SUSPENDED,
    UnavailableError: UNAVAILABLE,
}
ATTEMPT = Attempt(None, "get_me", "192.0.2.1", "request-1")


class Patience(Throttle):
    """Lets any number of wrong keys be shown: here they are many on purpose."""

    @asynccontextmanager
    async def showing_key(self, *, key: str, address: str) -> AsyncIterator[None]:
        yield


@dataclass
class KnownKey:
    """What the model knows of a key."""

    credential: Credential
    text: str
    truths: Truths

    def becomes(self, truth: str, moment: Fraction) -> None:
        if self.truths.told[-1][1] != INVALID:
            self.truths.becomes(truth, moment)

    def answers(self, clocks: Clocks) -> set[str]:
        expires_at = self.credential.expires_at
        if expires_at is not None and expires_at <= clocks.now:
            return {INVALID}
        return self.truths.answers(clocks)


class LifeOfKeys(LeaseMachine):
    ends = ENDS
    devices = Bundle("devices")
    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.known: list[KnownKey] = []
        self.cache = LeasedCache[KeyHolder](monotonic=self.clock.monotonic, most=6)
        self.caches = [self.cache]
        common: dict[str, Any] = {"unit_of_work": self.unit_of_work, "clock": self.clock}
        self.registry = DeviceRegistryService(new_id=uuid4, **common)
        self.credentials = CredentialService(
            new_id=uuid4, make_key=lambda key_id: (str(ApiKey(key_id, "secret")), hash_secret("secret")), **common
        )
        self.workflow = AuthenticationWorkflow(
            sessions=SessionService(
                passwords=RecordingPasswords(),
                tokens=build_tokens(**common),
                cache=LeasedCache(),
                new_id=uuid4,
                **common,
            ),
            keys=KeyService(cache=self.cache, **common),
            devices=self.registry,
            contacts=ContactService(**common),
            throttle=Patience(store=ProcessThrottleStore(), limits=RequestLimits()),
        )

    def all_become(self, truth: str, device: Device) -> None:
        for key in self.known:
            if key.credential.device_id == device.id:
                key.becomes(truth, self.clock.moment)

    @initialize(target=devices)
    def begin_with_a_device(self) -> Any:
        self.lose_or_find_the_feed()
        return self.register()

    @precondition(lambda self: len(self.tables.devices) < 5)
    @rule(target=devices)
    def register(self) -> Any:
        device = build_device()
        self.tables.devices[device.id] = device
        return device

    @precondition(lambda self: self.is_up and len(self.known) < 10)
    @rule(target=keys, device=devices, milliseconds=st.none() | st.integers(1, 3000))
    def issue(self, device: Device, milliseconds: int | None) -> Any:
        if self.tables.devices[device.id].status is DeviceStatus.RETIRED:
            return multiple()
        work = self.credentials.issue_credential(
            attempt=build_attempt(organisation_id=device.organisation_id),
            device_id=device.id,
            label=None,
            expires_at=None if milliseconds is None else self.clock.now + timedelta(milliseconds=milliseconds),
        )
        assert self.end_of(work) == LET_IN
        credential = list(self.tables.credentials.values())[-1]
        status = self.tables.devices[device.id].status
        truth = SUSPENDED if status is DeviceStatus.SUSPENDED else LET_IN
        key = KnownKey(credential, str(ApiKey(credential.id, "secret")), Truths([(self.clock.moment, truth)]))
        self.known.append(key)
        return key

    @precondition(lambda self: self.is_up)
    @rule(key=keys)
    def revoke(self, key: KnownKey) -> None:
        if not self.tables.credentials[key.credential.id].is_live(now=self.clock.now):
            return
        work = self.credentials.revoke_credential(
            attempt=build_attempt(),
            device_id=key.credential.device_id,
            credential_id=key.credential.id,
            expected_version=None,
        )
        assert self.end_of(work) == LET_IN
        key.becomes(INVALID, self.clock.moment)

    @precondition(lambda self: self.is_up)
    @rule(device=devices, status=st.sampled_from([DeviceStatus.SUSPENDED, DeviceStatus.ACTIVE]))
    def suspend_or_resume(self, device: Device, status: DeviceStatus) -> None:
        if self.tables.devices[device.id].status is DeviceStatus.RETIRED:
            return
        attempt = build_attempt(organisation_id=device.organisation_id)
        work = self.registry.change_device(attempt=attempt, device_id=device.id, expected_version=None, status=status)
        assert self.end_of(work) == LET_IN
        self.all_become(SUSPENDED if status is DeviceStatus.SUSPENDED else LET_IN, device)

    @precondition(lambda self: self.is_up and len(self.tables.devices) > 3)
    @rule(device=devices)
    def retire(self, device: Device) -> None:
        async def save() -> None:
            async with self.unit_of_work() as uow:
                await uow.devices.save(replace(self.tables.devices[device.id], status=DeviceStatus.RETIRED))
                await uow.commit()

        assert self.end_of(save()) == LET_IN
        self.all_become(INVALID, device)

    @precondition(lambda self: self.is_up and self.is_listening)
    @rule(key=keys)
    def revoke_unheard(self, key: KnownKey) -> None:
        """Revoke a key that is warm while nobody listens: no word of it will ever come."""
        self.show_everything()
        self.lose_or_find_the_feed()
        self.revoke(key)
        self.lose_or_find_the_feed()

    @precondition(lambda self: self.is_up and self.is_listening)
    @rule(key=keys)
    def revoke_during_a_look_up(self, key: KnownKey) -> None:
        """Revoke a key that has been read and is not remembered yet: word of it comes too early to be of use."""
        self.begin(key)
        self.revoke(key)
        self.hear(len(self.words))

    @rule(key=keys)
    def begin(self, key: KnownKey) -> None:
        """Show a key that had to give way, and take long over it: other things happen meanwhile."""
        self.cache.forget(key.credential.id)
        work = self.workflow.authenticate_key(api_key=key.text, attempt=ATTEMPT)
        self.begin_work(work)

    def show_everything(self) -> None:
        unavailable = set() if self.is_up else {UNAVAILABLE}
        for key in self.known:
            wrong = f"{key.text}x"
            assert self.end_of(self.workflow.authenticate_key(api_key=wrong, attempt=ATTEMPT)) in (
                unavailable or {INVALID}
            )
            allowed = key.answers(self.clock) | unavailable
            assert self.end_of(self.workflow.authenticate_key(api_key=key.text, attempt=ATTEMPT)) in allowed

    @invariant()
    def without_a_proof_nothing_is_recalled(self) -> None:
        if not self.is_listening:
            assert all(self.cache.recall(key.credential.id) is None for key in self.known)


TestLifeOfKeys = LifeOfKeys.TestCase
TestLifeOfKeys.settings = settings(deadline=None, max_examples=200, stateful_step_count=40)
