import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import count
from uuid import UUID, uuid4

import pytest

from iotsphere.identity.errors import CredentialInvalidError, LoginRefusedError, SessionMissingError
from iotsphere.identity.model import (
    ACCESS_TOKEN_LIFE,
    BROWSER_SESSION_LIFE,
    REMEMBERED_SESSION_LIFE,
    SESSION_LIFE,
    BrowserLogIn,
    LiveSession,
    TokenPair,
    User,
)
from iotsphere.identity.secrets import hash_secret
from iotsphere.identity.service import FORGOTTEN_AT_ONCE, SessionService
from iotsphere.identity.tokens import sign_token
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.lease import LeasedCache
from tests.factories.identity import build_attempt, build_session, build_user
from tests.fakes.identity import KeptSession, ManualClock, RecordingPasswords, build_tokens
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables, UnreachableUnitOfWork

EMAIL, PASSWORD = "odile@waterworks.example", "correct horse"


@dataclass
class Bench:
    """The service on a store in memory, with one user, and a clock that is set by hand."""

    tables: RegistryTables = field(default_factory=RegistryTables)
    passwords: RecordingPasswords = field(default_factory=RecordingPasswords)
    clock: ManualClock = field(default_factory=ManualClock)
    cache: LeasedCache[LiveSession] = field(default_factory=LeasedCache)
    user: User = field(default_factory=lambda: build_user(email=EMAIL, password_hash=f"hash of {PASSWORD}"))

    def __post_init__(self) -> None:
        self.tables.users[self.user.id] = self.user
        numbers = count(1)
        self.service = SessionService(
            unit_of_work=partial(InMemoryRegistryUnitOfWork, self.tables),
            passwords=self.passwords,
            tokens=build_tokens(partial(InMemoryRegistryUnitOfWork, self.tables), self.clock),
            cache=self.cache,
            clock=self.clock,
            new_id=lambda: UUID(int=next(numbers)),
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def attempt_with(bench: Bench, pair: TokenPair) -> Attempt:
    """Make an attempt of whoever shows the pair's access token."""
    actor = await bench.service.authenticate(access_token=pair.access_token)
    return replace(build_attempt(), actor=actor)


async def test_who_logs_in_is_recognised_by_the_access_token(bench: Bench) -> None:
    pair = await bench.service.log_in(attempt=build_attempt(), email=EMAIL.upper(), password=PASSWORD)

    actor = await bench.service.authenticate(access_token=pair.access_token)

    assert actor == Actor(ActorKind.USER, bench.user.id, bench.user.organisation_id, role=Role.OPERATOR)
    assert (pair.token_type, pair.expires_in) == ("Bearer", ACCESS_TOKEN_LIFE.total_seconds())


async def test_secrets_are_kept_as_hashes(bench: Bench) -> None:
    pair = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)

    assert list(bench.tables.refresh_tokens) == [hash_secret(pair.refresh_token)]
    assert pair.refresh_token not in repr(bench.tables)


@pytest.mark.parametrize(("email", "password"), [(EMAIL, "wrong"), ("nobody@waterworks.example", PASSWORD), ("", "")])
async def test_a_wrong_address_and_a_wrong_password_look_the_same_and_keep_nothing(
    bench: Bench, email: str, password: str
) -> None:
    with pytest.raises(LoginRefusedError) as refusal:
        await bench.service.log_in(attempt=build_attempt(), email=email, password=password)

    assert refusal.value.detail == "The e-mail address or the password is wrong."
    assert bench.tables.sessions == {}


async def test_log_in_does_the_same_work_without_an_account(bench: Bench) -> None:
    for email in (EMAIL, "nobody@waterworks.example"):
        with pytest.raises(LoginRefusedError):
            await bench.service.log_in(attempt=build_attempt(), email=email, password="wrong")

    assert bench.passwords.verified == [("wrong", f"hash of {PASSWORD}"), ("wrong", None)]


async def test_no_password_opens_an_account_that_is_not_there(bench: Bench) -> None:
    class YesSayer(RecordingPasswords):
        async def verify(self, password: str, password_hash: str | None) -> bool:
            return True

    bench.passwords = YesSayer()
    bench.__post_init__()

    with pytest.raises(LoginRefusedError):
        await bench.service.log_in(attempt=build_attempt(), email="nobody@waterworks.example", password=PASSWORD)


@pytest.mark.parametrize("meanwhile", ["changed", "removed"])
async def test_a_password_that_ends_while_it_is_compared_opens_nothing(bench: Bench, meanwhile: str) -> None:
    class Slow(RecordingPasswords):
        async def verify(self, password: str, password_hash: str | None) -> bool:
            if meanwhile == "removed":
                del bench.tables.users[bench.user.id]
            else:
                bench.tables.users[bench.user.id] = replace(bench.user, password_hash="hash of another")
            return await super().verify(password, password_hash)

    bench.passwords = Slow()
    bench.__post_init__()

    with pytest.raises(LoginRefusedError):
        await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)

    assert bench.tables.sessions == {}


async def test_a_refresh_gives_a_new_pair_of_the_same_session(bench: Bench) -> None:
    first = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)
    bench.clock.advance(minutes=10)

    second = await bench.service.refresh(attempt=build_attempt(), refresh_token=first.refresh_token)
    bench.clock.advance(minutes=10)

    assert second.refresh_token != first.refresh_token
    assert len(bench.tables.sessions) == 1
    assert (await bench.service.authenticate(access_token=second.access_token)).id == bench.user.id
    with pytest.raises(CredentialInvalidError):
        await bench.service.authenticate(access_token=first.access_token)


async def test_a_refresh_token_shown_twice_ends_the_session_for_both(bench: Bench) -> None:
    stolen = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)
    thiefs = await bench.service.refresh(attempt=build_attempt(), refresh_token=stolen.refresh_token)

    with pytest.raises(CredentialInvalidError) as refusal:
        await bench.service.refresh(attempt=build_attempt(), refresh_token=stolen.refresh_token)
    assert refusal.value.target == f"user:{bench.user.id}"
    assert refusal.value.organisation_id == bench.user.organisation_id
    ended = list(bench.tables.audit.values())[-1]
    assert (ended.target, ended.details) == (
        f"session:{next(iter(bench.tables.sessions))}",
        {"has_reused_token": True},
    )
    assert (ended.outcome, ended.organisation_id) == ("done", bench.user.organisation_id)

    with pytest.raises(CredentialInvalidError):
        await bench.service.refresh(attempt=build_attempt(), refresh_token=thiefs.refresh_token)
    for pair in (stolen, thiefs):
        with pytest.raises(CredentialInvalidError):
            await bench.service.authenticate(access_token=pair.access_token)


async def test_a_stolen_session_ends_alone(bench: Bench) -> None:
    stolen = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)
    other = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)
    await bench.service.refresh(attempt=build_attempt(), refresh_token=stolen.refresh_token)

    with pytest.raises(CredentialInvalidError):
        await bench.service.refresh(attempt=build_attempt(), refresh_token=stolen.refresh_token)

    assert await bench.service.refresh(attempt=build_attempt(), refresh_token=other.refresh_token)


@pytest.mark.parametrize("refresh_token", ["", "made up", "\0", "é" * 256])
async def test_a_refresh_token_that_was_never_given_out_is_refused_and_changes_nothing(
    bench: Bench, refresh_token: str
) -> None:
    await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)
    before = bench.tables.copy()

    with pytest.raises(CredentialInvalidError):
        await bench.service.refresh(attempt=build_attempt(), refresh_token=refresh_token)

    assert bench.tables == before


async def test_a_session_ends_after_its_life_however_often_it_was_refreshed(bench: Bench) -> None:
    pair = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)
    bench.clock.now += SESSION_LIFE - timedelta(seconds=1)
    pair = await bench.service.refresh(attempt=build_attempt(), refresh_token=pair.refresh_token)

    bench.clock.advance(seconds=1)

    with pytest.raises(CredentialInvalidError):
        await bench.service.refresh(attempt=build_attempt(), refresh_token=pair.refresh_token)
    with pytest.raises(CredentialInvalidError):
        await bench.service.authenticate(access_token=pair.access_token)


async def test_who_logs_out_is_out_with_every_token_of_the_session(bench: Bench) -> None:
    first = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)
    second = await bench.service.refresh(attempt=build_attempt(), refresh_token=first.refresh_token)
    elsewhere = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)

    attempt = await attempt_with(bench, second)
    await bench.service.log_out(attempt=attempt)
    await bench.service.log_out(attempt=attempt)

    for pair in (first, second):
        with pytest.raises(CredentialInvalidError):
            await bench.service.authenticate(access_token=pair.access_token)
        with pytest.raises(CredentialInvalidError):
            await bench.service.refresh(attempt=build_attempt(), refresh_token=pair.refresh_token)
    assert await bench.service.authenticate(access_token=elsewhere.access_token)


async def log_in_browser(bench: Bench, *, remember: bool = False, password: str = PASSWORD) -> BrowserLogIn:
    return await bench.service.log_in_browser(
        email=EMAIL, password=password, remember=remember, attempt=build_attempt()
    )


async def test_a_browser_is_recognised_by_its_secret_which_is_kept_as_a_hash(bench: Bench) -> None:
    opened = await log_in_browser(bench)

    actor = await bench.service.authenticate_browser(secret=opened.secret)

    [kept] = bench.tables.sessions.values()
    assert actor == bench.user.as_actor()
    assert (actor.session_id, kept.session.secret_hash) == (kept.session.id, hash_secret(opened.secret))
    assert opened.secret not in repr(bench.tables)
    assert bench.tables.refresh_tokens == {}


async def test_every_log_in_of_a_browser_has_a_session_of_its_own(bench: Bench) -> None:
    first, second = await log_in_browser(bench), await log_in_browser(bench)

    actor = await bench.service.authenticate_browser(secret=first.secret)
    await bench.service.log_out(attempt=replace(build_attempt(), actor=actor))

    with pytest.raises(CredentialInvalidError):
        await bench.service.authenticate_browser(secret=first.secret)
    assert await bench.service.authenticate_browser(secret=second.secret)


@pytest.mark.parametrize(
    ("remember", "life"), [(False, BROWSER_SESSION_LIFE), (True, REMEMBERED_SESSION_LIFE)], ids=["not", "remembered"]
)
async def test_a_browser_stays_logged_in_for_an_hour_or_as_long_as_it_is_remembered(
    bench: Bench, remember: bool, life: timedelta
) -> None:
    opened = await log_in_browser(bench, remember=remember)

    bench.clock.now += life - timedelta(seconds=1)
    assert await bench.service.authenticate_browser(secret=opened.secret)
    bench.clock.advance(seconds=1)

    assert opened.life_seconds == life.total_seconds()
    with pytest.raises(CredentialInvalidError):
        await bench.service.authenticate_browser(secret=opened.secret)


async def test_a_wrong_password_opens_nothing_for_a_browser(bench: Bench) -> None:
    with pytest.raises(LoginRefusedError):
        await log_in_browser(bench, password="wrong")

    assert bench.tables.sessions == {}


@pytest.mark.parametrize("secret", ["", "made up", "\0" * 43, "\udcff" * 43, "x" * 42, "x" * 43, "x" * 100_000])
async def test_a_secret_that_was_never_given_out_opens_nothing(bench: Bench, secret: str) -> None:
    await log_in_browser(bench)
    await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)

    with pytest.raises(CredentialInvalidError):
        await bench.service.authenticate_browser(secret=secret)


@pytest.mark.parametrize("attempt", [build_attempt(), Attempt(None, "log_out", "192.0.2.1", "request-1")])
async def test_who_has_no_session_has_none_to_end(bench: Bench, attempt: Attempt) -> None:
    before = bench.tables.copy()

    with pytest.raises(SessionMissingError):
        await bench.service.log_out(attempt=attempt)

    assert bench.tables == before


async def test_a_role_counts_as_it_is_now(bench: Bench) -> None:
    pair = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)
    bench.tables.users[bench.user.id] = replace(bench.user, role=Role.VIEWER)

    assert (await bench.service.authenticate(access_token=pair.access_token)).role is Role.VIEWER


async def test_a_session_that_is_remembered_asks_nobody_and_ends_in_time(bench: Bench) -> None:
    bench.cache.prove(time.monotonic() + 3600)
    pair = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)
    known = await bench.service.authenticate(access_token=pair.access_token)
    session = next(iter(bench.tables.sessions.values())).session
    bench.tables.users.clear()

    assert await bench.service.authenticate(access_token=pair.access_token) == known

    key = await build_tokens(partial(InMemoryRegistryUnitOfWork, bench.tables), bench.clock).signing_key()
    bench.clock.now = session.expires_at
    token = sign_token(key, session_id=session.id, issued_at=bench.clock())
    with pytest.raises(CredentialInvalidError):
        await bench.service.authenticate(access_token=token)


async def test_what_ends_a_session_here_ends_it_at_once_although_it_is_remembered(bench: Bench) -> None:
    bench.cache.prove(time.monotonic() + 3600)
    pair = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)
    stolen = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)
    await bench.service.authenticate(access_token=stolen.access_token)

    await bench.service.log_out(attempt=await attempt_with(bench, pair))
    await bench.service.refresh(attempt=build_attempt(), refresh_token=stolen.refresh_token)
    with pytest.raises(CredentialInvalidError):
        await bench.service.refresh(attempt=build_attempt(), refresh_token=stolen.refresh_token)

    for ended in (pair, stolen):
        with pytest.raises(CredentialInvalidError):
            await bench.service.authenticate(access_token=ended.access_token)


async def test_a_session_that_is_nobodys_is_refused(bench: Bench) -> None:
    await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)
    key = await build_tokens(partial(InMemoryRegistryUnitOfWork, bench.tables), bench.clock).signing_key()
    token = sign_token(key, session_id=uuid4(), issued_at=bench.clock())

    with pytest.raises(CredentialInvalidError):
        await bench.service.authenticate(access_token=token)


async def test_a_bad_token_is_refused_without_asking_the_store() -> None:
    def unreachable() -> UnreachableUnitOfWork:
        return UnreachableUnitOfWork(RegistryTables())

    service = SessionService(
        unit_of_work=unreachable,
        passwords=RecordingPasswords(),
        tokens=build_tokens(unreachable, ManualClock()),
        cache=LeasedCache(),
        clock=ManualClock(),
        new_id=uuid4,
    )

    with pytest.raises(CredentialInvalidError):
        await service.authenticate(access_token="made up")
    with pytest.raises(CredentialInvalidError):
        await service.authenticate_browser(secret="made up")
    with pytest.raises(UnavailableError):
        await service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)


async def test_however_many_sessions_are_over_all_are_forgotten(bench: Bench) -> None:
    for _ in range(2 * FORGOTTEN_AT_ONCE):
        session = build_session(expires_at=bench.clock.now)
        bench.tables.sessions[session.id] = KeptSession(session)

    await bench.service.forget_ended()

    assert bench.tables.sessions == {}


async def test_sessions_that_are_over_are_forgotten_and_the_others_go_on(bench: Bench) -> None:
    ended = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)
    await bench.service.log_out(attempt=await attempt_with(bench, ended))
    expired = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)
    bench.clock.now += SESSION_LIFE
    live = await bench.service.log_in(attempt=build_attempt(), email=EMAIL, password=PASSWORD)

    await bench.service.forget_ended()

    assert list(bench.tables.refresh_tokens) == [hash_secret(live.refresh_token)]
    assert len(bench.tables.sessions) == 1
    with pytest.raises(CredentialInvalidError):
        await bench.service.refresh(attempt=build_attempt(), refresh_token=expired.refresh_token)
    assert await bench.service.refresh(attempt=build_attempt(), refresh_token=live.refresh_token)
