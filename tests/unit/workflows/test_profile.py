from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from iotsphere.identity.accounts import AccountService
from iotsphere.identity.errors import PasswordUnfitError, PasswordWrongError, UserRequiredError
from iotsphere.identity.model import PasswordChange, User
from iotsphere.kernel.actor import ActorKind
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.lease import LeasedCache
from iotsphere.throttling.errors import GuessesExceededError
from iotsphere.workflows.profile import ProfileWorkflow
from tests.factories.identity import build_attempt, build_session, build_user
from tests.fakes.identity import KeptSession, ManualClock, RecordingPasswords
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables
from tests.fakes.throttling import build_throttle

CHANGE = PasswordChange(old="correct horse", new="battery staple")


class Slow(RecordingPasswords):
    """Compares so slowly that somebody else changes the password meanwhile."""

    def __init__(self, bench: "Bench") -> None:
        super().__init__()
        self._bench = bench

    async def verify(self, password: str, password_hash: str | None) -> bool:
        self._bench.tables.users[self._bench.user.id] = replace(self._bench.user, password_hash="hash of another")
        return await super().verify(password, password_hash)


class Bench:
    """A user who is logged in three times, and asks in the first of the sessions."""

    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()
        self.user = build_user(email="odile@Waterworks.example", password_hash="hash of correct horse")
        self.tables.users[self.user.id] = self.user
        self.present, *self.others = [self.open_session() for _ in range(3)]
        self.compare_with(RecordingPasswords())

    def compare_with(self, passwords: RecordingPasswords) -> None:
        accounts = AccountService(
            unit_of_work=partial(InMemoryRegistryUnitOfWork, self.tables),
            passwords=passwords,
            sessions=LeasedCache(),
            clock=self.clock,
            new_id=uuid4,
        )
        self.workflow = ProfileWorkflow(accounts=accounts, throttle=build_throttle())

    def open_session(self) -> UUID:
        session = build_session(user_id=self.user.id, created_at=self.clock.now)
        self.tables.sessions[session.id] = KeptSession(session)
        return session.id

    async def change(self, *, expected_version: int | None = None, **given: Any) -> User:
        attempt = replace(build_attempt(), actor=self.user.as_actor(session_id=self.present))
        return await self.workflow.change_me(attempt=attempt, expected_version=expected_version, **given)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_changed_password_ends_the_other_sessions_and_the_present_one_goes_on(bench: Bench) -> None:
    changed = await bench.change(password=CHANGE)

    assert changed == replace(bench.user, password_hash="hash of battery staple", version=2)
    assert bench.tables.users[bench.user.id] == changed
    assert bench.tables.sessions[bench.present].revoked_at is None
    assert [bench.tables.sessions[other].revoked_at for other in bench.others] == [bench.clock.now] * 2
    [entry] = bench.tables.audit.values()
    assert (entry.target, entry.details) == (f"user:{bench.user.id}", {"has_new_password": True})


async def test_a_changed_name_ends_no_session(bench: Bench) -> None:
    changed = await bench.change(expected_version=1, name="Odile")

    assert changed == replace(bench.user, name="Odile", version=2)
    assert {kept.revoked_at for kept in bench.tables.sessions.values()} == {None}


async def test_without_the_old_password_there_is_no_new_one(bench: Bench) -> None:
    before = bench.tables.copy()

    with pytest.raises(PasswordWrongError) as refusal:
        await bench.change(password=replace(CHANGE, old="wrong"), name="New")

    assert refusal.value.target == f"user:{bench.user.id}"
    assert bench.tables == before


async def test_a_password_that_ends_while_it_is_compared_gives_no_right_to_a_new_one(bench: Bench) -> None:
    bench.compare_with(Slow(bench))

    with pytest.raises(PasswordWrongError):
        await bench.change(password=CHANGE)

    assert bench.tables.users[bench.user.id].password_hash == "hash of another"


async def test_guesses_at_the_old_password_come_to_an_end(bench: Bench) -> None:
    for _ in range(10):
        with pytest.raises(PasswordWrongError):
            await bench.change(password=replace(CHANGE, old="wrong"))

    with pytest.raises(GuessesExceededError):
        await bench.change(password=CHANGE)

    assert bench.tables.users[bench.user.id] == bench.user
    assert (await bench.change(name="Odile")).name == "Odile"


@pytest.mark.parametrize("new", ["correct horse", "ODILE@waterworks.example"])
async def test_a_new_password_is_neither_the_old_one_nor_the_address(bench: Bench, new: str) -> None:
    before = bench.tables.copy()

    with pytest.raises(PasswordUnfitError) as refusal:
        await bench.change(password=replace(CHANGE, new=new))

    assert list(refusal.value.errors) == ["password.new"]
    assert bench.tables == before


async def test_an_expected_version_is_kept_to(bench: Bench) -> None:
    before = bench.tables.copy()

    with pytest.raises(PreconditionFailedError):
        await bench.change(expected_version=2, password=CHANGE)

    assert bench.tables == before


@pytest.mark.parametrize("kind", [ActorKind.INTEGRATION, ActorKind.DEVICE])
async def test_a_key_changes_no_user_as_itself(bench: Bench, kind: ActorKind) -> None:
    with pytest.raises(UserRequiredError):
        await bench.workflow.change_me(attempt=build_attempt(kind=kind), expected_version=None, name="New")
