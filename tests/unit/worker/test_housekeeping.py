import asyncio
from datetime import timedelta
from functools import partial
from uuid import uuid4

from structlog.testing import capture_logs

from iotsphere.identity.idempotency import REMEMBERED_FOR, IdempotencyService
from iotsphere.identity.model import SESSION_LIFE
from iotsphere.identity.secrets import PlatformCipher
from iotsphere.identity.service import SessionService
from iotsphere.identity.signing import SIGNING_KEY_LIFE, SigningKeyRing
from iotsphere.kernel.lease import LeasedCache
from iotsphere.worker.housekeeping import keep_house
from tests.factories.identity import build_session
from tests.fakes.identity import (
    SECRET_KEY,
    KeptIdempotencyRecord,
    KeptSession,
    ManualClock,
    RecordingPasswords,
    build_tokens,
)
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables, UnreachableUnitOfWork


class House:
    """The services that are kept tidy, on a registry in memory that may not answer."""

    def __init__(self, unit_of_work: type[InMemoryRegistryUnitOfWork] = InMemoryRegistryUnitOfWork) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()
        self.stop = asyncio.Event()
        opened, clock = partial(unit_of_work, self.tables), self.clock
        self.idempotency = IdempotencyService(
            unit_of_work=opened, clock=clock, cipher=PlatformCipher("idempotency", SECRET_KEY)
        )
        self.sessions = SessionService(
            unit_of_work=opened,
            passwords=RecordingPasswords(),
            tokens=build_tokens(opened, clock),
            cache=LeasedCache(),
            clock=clock,
            new_id=uuid4,
        )
        self.ring = SigningKeyRing(
            unit_of_work=opened, cipher=PlatformCipher("signing-key", SECRET_KEY), clock=clock, new_id=uuid4
        )

    async def keep_once(self) -> None:
        """Go round once: the end is asked for when the round has begun."""
        duties = self.idempotency.forget_old, self.sessions.forget_ended, self.ring.keep_keys
        keeping = asyncio.gather(*(keep_house(duty, stop=self.stop) for duty in duties))
        await asyncio.sleep(0)
        self.stop.set()
        await asyncio.wait_for(keeping, timeout=5)


async def test_what_is_over_is_forgotten_and_an_old_signing_key_is_replaced() -> None:
    house = House()
    began = house.clock.now
    await house.ring.signing_key()
    session = build_session(created_at=began, expires_at=began + SESSION_LIFE)
    house.tables.sessions[session.id] = KeptSession(session)
    house.tables.idempotency["user:1", "key"] = KeptIdempotencyRecord(b"request", began)
    house.clock.now += max(SIGNING_KEY_LIFE, SESSION_LIFE, REMEMBERED_FOR) + timedelta(seconds=1)

    await house.keep_once()

    assert house.tables.sessions == {}
    assert house.tables.idempotency == {}
    assert sorted(key.created_at for key in house.tables.signing_keys.values()) == [began, house.clock.now]


async def test_a_signing_key_whose_tokens_have_all_expired_is_removed() -> None:
    house = House()
    await house.ring.signing_key()
    house.clock.advance(seconds=1)
    new = await house.ring.rotate_key()
    house.clock.advance(days=1)

    await house.keep_once()

    assert list(house.tables.signing_keys) == [new.id]


async def test_with_the_registry_away_it_is_put_off() -> None:
    with capture_logs() as logs:
        await House(UnreachableUnitOfWork).keep_once()

    assert [line["event"] for line in logs] == ["worker.housekeeping.postponed"] * 3


async def test_what_cannot_be_forgotten_keeps_no_signing_key_from_being_replaced() -> None:
    house = House()
    await house.ring.signing_key()
    house.clock.now += SIGNING_KEY_LIFE + timedelta(seconds=1)
    unreachable = House(UnreachableUnitOfWork)
    house.idempotency, house.sessions = unreachable.idempotency, unreachable.sessions

    with capture_logs() as logs:
        await house.keep_once()

    assert len(house.tables.signing_keys) == 2
    assert [line["duty"] for line in logs] == ["forget_old", "forget_ended"]
