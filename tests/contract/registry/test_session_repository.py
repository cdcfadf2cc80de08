from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from iotsphere.identity.model import RefreshToken, Session, SessionHolder, User
from tests.contract.registry.stores import RegistryStore
from tests.factories.identity import FIRST_DAY, build_session

NOW = FIRST_DAY + timedelta(hours=1)
TOKEN, OTHER_TOKEN = b"\x00" * 32, bytes(range(32))


@pytest.fixture
async def user(store: RegistryStore) -> User:
    return await store.add_user(await store.add_organisation())


@pytest.fixture
async def session(store: RegistryStore, user: User) -> Session:
    session = build_session(user_id=user.id, created_at=FIRST_DAY + timedelta(microseconds=1))
    async with store.unit_of_work() as uow:
        await uow.sessions.add(session)
        await uow.sessions.add_refresh_token(TOKEN, session.id)
        await uow.commit()
    return session


async def find_token(store: RegistryStore, *, token: bytes = TOKEN, now: datetime = NOW) -> RefreshToken | None:
    async with store.unit_of_work() as uow:
        return await uow.sessions.find_refresh_token(token, now=now)


async def find_user(store: RegistryStore, session: Session, *, now: datetime = NOW) -> SessionHolder | None:
    async with store.unit_of_work() as uow:
        return await uow.users.find_by_session(session.id, now=now)


async def test_a_token_comes_back_with_its_session(store: RegistryStore, session: Session) -> None:
    assert await find_token(store) == RefreshToken(TOKEN, session, used_at=None)


async def test_a_session_tells_its_user(store: RegistryStore, user: User, session: Session) -> None:
    assert await find_user(store, session) == SessionHolder(session.id, user, session.expires_at)


async def test_a_used_token_is_found_with_the_time_of_its_use(store: RegistryStore, session: Session) -> None:
    async with store.unit_of_work() as uow:
        await uow.sessions.mark_used(TOKEN, now=NOW)
        await uow.sessions.add_refresh_token(OTHER_TOKEN, session.id)
        await uow.commit()

    assert await find_token(store) == RefreshToken(TOKEN, session, used_at=NOW)
    assert await find_token(store, token=OTHER_TOKEN) == RefreshToken(OTHER_TOKEN, session, used_at=None)


async def test_a_revoked_session_is_over_and_only_that_one(
    store: RegistryStore, user: User, session: Session
) -> None:
    other = build_session(user_id=user.id)
    async with store.unit_of_work() as uow:
        await uow.sessions.add(other)
        await uow.sessions.add_refresh_token(OTHER_TOKEN, other.id)
        await uow.sessions.revoke(session.id, now=NOW)
        await uow.sessions.revoke(session.id, now=NOW + timedelta(days=1))
        await uow.sessions.revoke(uuid4(), now=NOW)
        await uow.commit()

    assert await find_token(store) is None
    assert await find_user(store, session) is None
    assert await find_token(store, token=OTHER_TOKEN) == RefreshToken(OTHER_TOKEN, other, used_at=None)
    assert await find_user(store, other) == SessionHolder(other.id, user, other.expires_at)


@pytest.mark.parametrize("spares_one", [True, False])
async def test_all_sessions_of_a_user_are_revoked_but_one(
    store: RegistryStore, user: User, session: Session, spares_one: bool
) -> None:
    others = [build_session(user_id=user.id) for _ in range(2)]
    foreign = build_session(user_id=(await store.add_user(await store.add_organisation())).id)
    async with store.unit_of_work() as uow:
        for added in (*others, foreign):
            await uow.sessions.add(added)
        await uow.sessions.revoke_all(user.id, but=session.id if spares_one else None, now=NOW)
        await uow.commit()

    assert (await find_user(store, session) is not None) is spares_one
    assert [await find_user(store, other) for other in others] == [None, None]
    assert await find_user(store, foreign) is not None


async def test_a_session_is_over_at_the_moment_it_expires(store: RegistryStore, session: Session) -> None:
    just_before = session.expires_at - timedelta(microseconds=1)

    assert await find_token(store, now=just_before) is not None
    assert await find_user(store, session, now=just_before) is not None
    assert await find_token(store, now=session.expires_at) is None
    assert await find_user(store, session, now=session.expires_at) is None


@pytest.fixture
async def browser(store: RegistryStore, user: User) -> Session:
    """A browser's session beside another one of the same user, and one with tokens."""
    sessions = [build_session(user_id=user.id, secret_hash=secret) for secret in (TOKEN, OTHER_TOKEN, None)]
    async with store.unit_of_work() as uow:
        for session in sessions:
            await uow.sessions.add(session)
        await uow.commit()
    return sessions[0]


async def find_holder(store: RegistryStore, *, secret: bytes = TOKEN, now: datetime = NOW) -> SessionHolder | None:
    async with store.unit_of_work() as uow:
        return await uow.users.find_by_session_secret(secret, now=now)


async def test_a_browsers_secret_tells_its_session_and_user(
    store: RegistryStore, user: User, browser: Session
) -> None:
    assert await find_holder(store) == SessionHolder(browser.id, user, browser.expires_at)
    assert await find_holder(store, secret=b"") is None
    assert await find_holder(store, secret=TOKEN[1:]) is None


async def test_a_browsers_secret_ends_with_its_session(store: RegistryStore, browser: Session) -> None:
    assert await find_holder(store, now=browser.expires_at - timedelta(microseconds=1)) is not None
    assert await find_holder(store, now=browser.expires_at) is None

    async with store.unit_of_work() as uow:
        await uow.sessions.revoke(browser.id, now=NOW)
        await uow.commit()

    assert await find_holder(store) is None
    assert await find_holder(store, secret=OTHER_TOKEN) is not None


async def test_a_browsers_session_that_has_expired_is_removed(store: RegistryStore, browser: Session) -> None:
    async with store.unit_of_work() as uow:
        await uow.sessions.remove_ended(now=browser.expires_at, limit=9)
        await uow.commit()

    assert await find_holder(store) is None


async def test_an_unknown_token_or_session_is_nobodys(store: RegistryStore, session: Session) -> None:
    assert await find_token(store, token=b"") is None
    assert await find_token(store, token=OTHER_TOKEN) is None
    assert await find_user(store, build_session()) is None


async def test_expired_sessions_are_removed_with_their_tokens_and_live_ones_stay(
    store: RegistryStore, user: User, session: Session
) -> None:
    expired = build_session(user_id=user.id, expires_at=NOW)
    async with store.unit_of_work() as uow:
        await uow.sessions.add(expired)
        await uow.sessions.add_refresh_token(OTHER_TOKEN, expired.id)
        assert await uow.sessions.remove_ended(now=NOW, limit=9) == 1
        await uow.commit()

    earlier = FIRST_DAY + timedelta(minutes=1)
    assert await find_token(store, token=OTHER_TOKEN, now=earlier) is None
    assert await find_user(store, session) == SessionHolder(session.id, user, session.expires_at)


async def test_no_more_expired_sessions_are_removed_than_asked_for(store: RegistryStore, user: User) -> None:
    async with store.unit_of_work() as uow:
        for _ in range(3):
            await uow.sessions.add(build_session(user_id=user.id, expires_at=NOW))

        assert [await uow.sessions.remove_ended(now=NOW, limit=2) for _ in range(3)] == [2, 1, 0]
