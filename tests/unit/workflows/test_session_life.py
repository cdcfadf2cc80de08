"""The life of sessions, and of who owns devices, in whatever order things happen, against a plain model.

What this process has done itself counts at once; what another has done, within a lease.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, invariant, precondition, rule

from iotsphere.identity.accounts import AccountService
from iotsphere.identity.errors import CredentialInvalidError
from iotsphere.identity.model import LiveSession, User
from iotsphere.identity.service import SessionService
from iotsphere.identity.tokens import AccessTokens
from iotsphere.kernel.actor import Actor, Role
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.lease import LeasedCache
from iotsphere.registry.errors import DeviceNotFoundError
from iotsphere.registry.model import Device, DeviceStatus
from iotsphere.registry.ownership import DeviceOwnership
from tests.factories.identity import build_attempt, build_session, build_user
from tests.factories.registry import build_device
from tests.fakes.identity import KeptSession, RecordingPasswords
from tests.unit.workflows.lease_machine import LeaseMachine, Truths, Work

FOUND, NOT_FOUND, INVALID, UNAVAILABLE = "let in", "not found", "invalid", "unavailable"
OURS = OrganisationId(uuid4())
THEIRS = OrganisationId(uuid4())
ADMINISTRATOR = build_user(organisation_id=OURS, role=Role.ADMIN)


class PlainTokens(AccessTokens):
    """Access tokens that are the ids of their sessions."""

    def __init__(self) -> None:
        """They need no keys."""

    async def read(self, token: str, *, now: datetime) -> UUID:
        return UUID(token)


class KnownSession:
    """What the model knows of a session."""

    def __init__(self, session_id: UUID, user_id: UUID, expires_at: datetime, truths: Truths) -> None:
        self.id, self.user_id, self.expires_at, self.truths = session_id, user_id, expires_at, truths

    @property
    def is_over(self) -> bool:
        return self.truths.told[-1][1] == INVALID


class LifeOfSessions(LeaseMachine):
    ends: ClassVar[dict[type[Exception], str]] = {
        CredentialInvalidError: INVALID,
        DeviceNotFoundError: NOT_FOUND,
        UnavailableError: UNAVAILABLE,
    }
    users = Bundle("users")
    sessions = Bundle("sessions")
    devices = Bundle("devices")

    def __init__(self) -> None:
        super().__init__()
        self.tables.users[ADMINISTRATOR.id] = ADMINISTRATOR
        self.known: list[KnownSession] = []
        self.owned: dict[Any, Truths] = {}
        session_cache = LeasedCache[LiveSession](monotonic=self.clock.monotonic, most=4)
        device_cache = LeasedCache[OrganisationId](monotonic=self.clock.monotonic, most=4)
        self.caches = [session_cache, device_cache]
        self.here = self.services(session_cache)
        self.elsewhere = self.services(LeasedCache())
        self.ownership = DeviceOwnership(unit_of_work=self.unit_of_work, cache=device_cache)

    def services(self, cache: LeasedCache[LiveSession]) -> tuple[SessionService, AccountService]:
        common: dict[str, Any] = {
            "unit_of_work": self.unit_of_work,
            "clock": self.clock,
            "passwords": RecordingPasswords(),
            "new_id": uuid4,
        }
        sessions = SessionService(tokens=PlainTokens(), cache=cache, **common)
        return sessions, AccountService(sessions=cache, **common)

    def told_by(self, result: Any) -> str:
        return result.role.name if isinstance(result, Actor) and result.role else FOUND

    def becomes(self, session: KnownSession, truth: str, *, at_once: bool) -> None:
        if session.is_over:
            return
        if at_once:
            session.truths = Truths([])
        session.truths.becomes(truth, self.clock.moment)

    @initialize(target=users)
    def begin_with_a_user(self) -> Any:
        self.lose_or_find_the_feed()
        return self.add_user(Role.OPERATOR)

    @precondition(lambda self: len(self.tables.users) < 4)
    @rule(target=users, role=st.sampled_from(Role))
    def add_user(self, role: Role) -> Any:
        user = build_user(organisation_id=OURS, role=role)
        self.tables.users[user.id] = user
        return user

    @precondition(lambda self: len(self.known) < 8)
    @rule(target=sessions, user=users, milliseconds=st.integers(1, 5000))
    def open(self, user: User, milliseconds: int) -> KnownSession:
        present = self.tables.users.get(user.id)
        expires_at = self.clock.now + timedelta(milliseconds=milliseconds)
        session = build_session(user_id=user.id, expires_at=expires_at)
        if present is not None:
            self.tables.sessions[session.id] = KeptSession(session)
        truths = Truths([(self.clock.moment, present.role.name if present else INVALID)])
        self.known.append(KnownSession(session.id, user.id, expires_at, truths))
        return self.known[-1]

    @precondition(lambda self: self.is_up)
    @rule(session=sessions, is_here=st.booleans())
    def log_out(self, session: KnownSession, is_here: bool) -> None:
        self.show_everything()
        attempt = build_attempt(session_id=session.id)
        sessions, _ = self.here if is_here else self.elsewhere
        assert self.end_of(sessions.log_out(attempt=attempt)) == FOUND
        self.becomes(session, INVALID, at_once=is_here)
        self.show_everything()

    @precondition(lambda self: self.is_up)
    @rule(user=users, role=st.none() | st.sampled_from(Role), is_here=st.booleans())
    def give_role_or_password(self, user: User, role: Role | None, is_here: bool) -> None:
        if user.id in self.tables.users:
            change: dict[str, Any] = {"password": "another password"} if role is None else {"role": role}
            self.do(is_here, "change_user", user, **change)
            for session in self.sessions_of(user):
                self.becomes(session, role.name if role else INVALID, at_once=is_here)
            self.show_everything()

    @precondition(lambda self: self.is_up)
    @rule(user=users, is_here=st.booleans())
    def remove(self, user: User, is_here: bool) -> None:
        if user.id in self.tables.users:
            self.do(is_here, "remove_user", user)
            for session in self.sessions_of(user):
                self.becomes(session, INVALID, at_once=is_here)
            self.show_everything()

    def do(self, is_here: bool, what: str, user: User, **change: Any) -> None:
        self.show_everything()
        _, accounts = self.here if is_here else self.elsewhere
        attempt = build_attempt(id=ADMINISTRATOR.id, organisation_id=OURS)
        work = getattr(accounts, what)(attempt=attempt, user_id=user.id, expected_version=None, **change)
        assert self.end_of(work) == FOUND

    def sessions_of(self, user: User) -> list[KnownSession]:
        return [session for session in self.known if session.user_id == user.id]

    @precondition(lambda self: len(self.owned) < 5)
    @rule(target=devices)
    def register(self) -> Device:
        device = build_device(organisation_id=OURS)
        self.tables.devices[device.id] = device
        self.owned[device.id] = Truths([(self.clock.moment, FOUND)])
        return device

    @precondition(lambda self: self.is_up)
    @rule(device=devices, owner=st.sampled_from([OURS, THEIRS]), is_retired=st.booleans())
    def give_or_retire(self, device: Device, owner: OrganisationId, is_retired: bool) -> None:
        status = DeviceStatus.RETIRED if is_retired else DeviceStatus.ACTIVE

        async def save() -> None:
            async with self.unit_of_work() as uow:
                await uow.devices.save(replace(device, organisation_id=owner, status=status))
                await uow.commit()

        assert self.end_of(save()) == FOUND
        truth = FOUND if owner == OURS and not is_retired else NOT_FOUND
        self.owned[device.id].becomes(truth, self.clock.moment)

    @rule(session=sessions)
    def begin_with_session(self, session: KnownSession) -> None:
        """Show a session that had to give way, and take long over it: other things happen meanwhile."""
        self.forget(session.id)
        self.begin_work(self.here[0].authenticate(access_token=str(session.id)))

    @rule(device=devices)
    def begin_with_device(self, device: Device) -> None:
        self.forget(device.id)
        self.begin_work(self.ownership.check_device(organisation_id=OURS, device_id=device.id))

    @precondition(lambda self: self.is_up and self.is_listening)
    @rule(session=sessions)
    def log_out_unheard(self, session: KnownSession) -> None:
        """End a session that is warm while nobody listens: no word of it will ever come."""
        self.show_everything()
        self.lose_or_find_the_feed()
        self.log_out(session, is_here=False)
        self.lose_or_find_the_feed()

    def show_everything(self) -> None:
        unavailable = set() if self.is_up else {UNAVAILABLE}
        for session in self.known:
            is_expired = session.expires_at <= self.clock.now
            allowed = {INVALID} if is_expired else session.truths.answers(self.clock)
            work: Work = self.here[0].authenticate(access_token=str(session.id))
            assert self.end_of(work) in allowed | unavailable
        for device_id, truths in self.owned.items():
            work = self.ownership.check_device(organisation_id=OURS, device_id=device_id)
            assert self.end_of(work) in truths.answers(self.clock) | unavailable

    @invariant()
    def without_a_proof_nothing_is_recalled(self) -> None:
        if not self.is_listening:
            assert all(cache.recall(session.id) is None for cache in self.caches for session in self.known)


TestLifeOfSessions = LifeOfSessions.TestCase
TestLifeOfSessions.settings = settings(deadline=None, max_examples=200, stateful_step_count=40)
