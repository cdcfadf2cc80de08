"""The life of keys, in whatever order things happen, against a plain model of what is true and since when.

A key is answered by what is true, or by what was true less than a lease ago: never by anything older, whatever is
remembered, being looked up, overheard or lost.
"""

from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from iotsphere.identity.errors import CredentialInvalidError
from iotsphere.identity.key_cache import LEASE_SECONDS, KeyCache
from iotsphere.identity.keys import KeyService
from iotsphere.identity.secrets import ApiKey, hash_secret
from iotsphere.identity.service import SessionService
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import UnavailableError
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
from tests.fakes.identity import ManualClock, RecordingPasswords, build_tokens
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables, UnreachableUnitOfWork

LET_IN, SUSPENDED, INVALID, UNAVAILABLE = "let in", "suspended", "invalid", "unavailable"
ENDS: dict[type[Exception], str] = {
    CredentialInvalidError: INVALID,
    DeviceSuspendedError: SUSPENDED,
    UnavailableError: UNAVAILABLE,
}
ATTEMPT = Attempt(None, "get_me", "192.0.2.1", "request-1")
LEASE_MILLISECONDS = 800
# Exactly what the cache holds a difference against, so that its very end is met.
LEASE = Fraction(LEASE_SECONDS)
Work = Coroutine[Any, Any, Any]


class Pause:
    """Lets other things happen before whoever awaits it goes on."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def step(work: Work) -> str | None:
    """Go on with work until its next pause; tell how it ended if it did."""
    try:
        work.send(None)
    except StopIteration:
        return LET_IN
    except (*ENDS,) as error:
        return ENDS[type(error)]
    return None


def end_of(work: Work) -> str:
    while (end := step(work)) is None:
        pass
    return end


class Patience(Throttle):
    """Lets any number of wrong keys be shown: here they are many on purpose."""

    @asynccontextmanager
    async def showing_key(self, *, key: str, address: str) -> AsyncIterator[None]:
        yield


class TellingUnitOfWork(InMemoryRegistryUnitOfWork):
    """Tells which keys a commit has changed, as the triggers of the real registry do."""

    def __init__(self, committed: RegistryTables, words: list[UUID]) -> None:
        super().__init__(committed)
        self._words = words

    async def __aexit__(self, *_: object) -> None:
        await Pause()

    async def commit(self) -> None:
        before = self._committed.copy()
        await super().commit()
        for key_id, credential in before.credentials.items():
            device = before.devices[credential.device_id]
            if (
                self._committed.credentials[key_id] != credential
                or self._committed.devices[device.id].status is not device.status
            ):
                self._words.append(key_id)


class Clocks(ManualClock):
    """What the clock on the wall shows, and the monotonic one, whose arithmetic is exact."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = Fraction(0)

    def go_on(self, milliseconds: int) -> None:
        self.advance(milliseconds=milliseconds)
        self.moment += LEASE * milliseconds / LEASE_MILLISECONDS

    def monotonic(self) -> Any:
        return self.moment


@dataclass
class KnownKey:
    """What the model knows of a key: every answer that was ever true, with the moment from which on."""

    credential: Credential
    text: str
    truths: list[tuple[Fraction, str]]

    def becomes(self, truth: str, moment: Fraction) -> None:
        if self.truths[-1][1] != INVALID:
            self.truths.append((moment, truth))

    def answers(self, clocks: Clocks) -> set[str]:
        expires_at = self.credential.expires_at
        if expires_at is not None and expires_at <= clocks.now:
            return {INVALID}
        ends = [began for began, _ in self.truths[1:]]
        # A lease after its end, to the moment, what was true before counts no more.
        old = {truth for (_, truth), end in zip(self.truths, ends, strict=False) if clocks.moment - end < LEASE}
        return old | {self.truths[-1][1]}


class LifeOfKeys(RuleBasedStateMachine):
    devices = Bundle("devices")
    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.tables, self.clock = RegistryTables(), Clocks()
        self.is_up, self.is_listening = True, False
        self.words: list[UUID] = []
        self.heard = 0
        self.asked: tuple[float, int] | None = None
        self.under_way: list[Work] = []
        self.known: list[KnownKey] = []
        self.cache = KeyCache(monotonic=self.clock.monotonic, most_keys=6)
        common: dict[str, Any] = {"unit_of_work": self.unit_of_work, "clock": self.clock}
        self.registry = DeviceRegistryService(new_id=uuid4, **common)
        self.credentials = CredentialService(
            new_id=uuid4, make_key=lambda key_id: (str(ApiKey(key_id, "secret")), hash_secret("secret")), **common
        )
        self.workflow = AuthenticationWorkflow(
            sessions=SessionService(
                passwords=RecordingPasswords(), tokens=build_tokens(**common), new_id=uuid4, **common
            ),
            keys=KeyService(cache=self.cache, **common),
            devices=self.registry,
            contacts=ContactService(**common),
            throttle=Patience(store=ProcessThrottleStore(), limits=RequestLimits()),
        )

    def unit_of_work(self) -> InMemoryRegistryUnitOfWork:
        return TellingUnitOfWork(self.tables, self.words) if self.is_up else UnreachableUnitOfWork(self.tables)

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
        assert end_of(work) == LET_IN
        credential = list(self.tables.credentials.values())[-1]
        status = self.tables.devices[device.id].status
        truth = SUSPENDED if status is DeviceStatus.SUSPENDED else LET_IN
        key = KnownKey(credential, str(ApiKey(credential.id, "secret")), [(self.clock.moment, truth)])
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
        assert end_of(work) == LET_IN
        key.becomes(INVALID, self.clock.moment)

    @precondition(lambda self: self.is_up)
    @rule(device=devices, status=st.sampled_from([DeviceStatus.SUSPENDED, DeviceStatus.ACTIVE]))
    def suspend_or_resume(self, device: Device, status: DeviceStatus) -> None:
        if self.tables.devices[device.id].status is DeviceStatus.RETIRED:
            return
        attempt = build_attempt(organisation_id=device.organisation_id)
        work = self.registry.change_device(attempt=attempt, device_id=device.id, expected_version=None, status=status)
        assert end_of(work) == LET_IN
        self.all_become(SUSPENDED if status is DeviceStatus.SUSPENDED else LET_IN, device)

    @precondition(lambda self: self.is_up and len(self.tables.devices) > 3)
    @rule(device=devices)
    def retire(self, device: Device) -> None:
        async def save() -> None:
            async with self.unit_of_work() as uow:
                await uow.devices.save(replace(self.tables.devices[device.id], status=DeviceStatus.RETIRED))
                await uow.commit()

        assert end_of(save()) == LET_IN
        self.all_become(INVALID, device)

    @rule(milliseconds=st.sampled_from([1, 400, LEASE_MILLISECONDS, 900]))
    def time_goes_by(self, milliseconds: int) -> None:
        self.clock.go_on(milliseconds)
        self.show_everything()

    @rule()
    def lose_or_find_the_registry(self) -> None:
        self.is_up = not self.is_up

    @rule()
    def lose_or_find_the_feed(self) -> None:
        self.is_listening, self.asked, self.heard = not self.is_listening, None, len(self.words)
        self.cache.forget_all()

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

    @precondition(lambda self: self.is_listening)
    @rule()
    def ask_for_a_proof(self) -> None:
        self.asked = self.clock.monotonic(), len(self.words)

    @precondition(lambda self: self.is_listening)
    @rule()
    def go_on_for_a_second(self) -> None:
        """Long enough for whatever was true before to count no more, with a proof all the while."""
        for _ in range(5):
            self.clock.go_on(200)
            self.ask_for_a_proof()
            self.take_the_proof()
        self.show_everything()

    @precondition(lambda self: self.asked is not None)
    @rule()
    def take_the_proof(self) -> None:
        assert self.asked is not None
        moment, told = self.asked
        self.hear(told)
        self.cache.prove(moment)
        self.asked = None

    @precondition(lambda self: self.is_listening)
    @rule()
    def hear_a_word(self) -> None:
        self.hear(min(self.heard + 1, len(self.words)))

    def hear(self, until: int) -> None:
        for key_id in self.words[self.heard : until]:
            self.cache.forget(key_id)
        self.heard = max(self.heard, until)

    @rule(key=keys)
    def begin(self, key: KnownKey) -> None:
        """Show a key that had to give way, and take long over it: other things happen meanwhile."""
        self.cache.forget(key.credential.id)
        work = self.workflow.authenticate_key(api_key=key.text, attempt=ATTEMPT)
        if step(work) is None:
            self.under_way.append(work)

    @precondition(lambda self: self.under_way)
    @rule()
    def go_on(self) -> None:
        work = self.under_way.pop(0)
        if step(work) is None:
            self.under_way.append(work)

    @rule()
    def show_everything(self) -> None:
        unavailable = set() if self.is_up else {UNAVAILABLE}
        for key in self.known:
            wrong = f"{key.text}x"
            assert end_of(self.workflow.authenticate_key(api_key=wrong, attempt=ATTEMPT)) in (
                unavailable or {INVALID}
            )
            allowed = key.answers(self.clock) | unavailable
            assert end_of(self.workflow.authenticate_key(api_key=key.text, attempt=ATTEMPT)) in allowed

    @invariant()
    def without_a_proof_nothing_is_recalled(self) -> None:
        if not self.is_listening:
            assert all(self.cache.recall(key.credential.id) is None for key in self.known)

    def teardown(self) -> None:
        """Let everything come to its end with nothing lost: what is remembered wrongly then shows for certain."""
        if not self.is_up:
            self.lose_or_find_the_registry()
        if not self.is_listening:
            self.lose_or_find_the_feed()
        for work in self.under_way:
            end_of(work)
        self.go_on_for_a_second()


TestLifeOfKeys = LifeOfKeys.TestCase
TestLifeOfKeys.settings = settings(deadline=None, max_examples=200, stateful_step_count=40)
