from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Self
from uuid import uuid4

import pytest

from iotsphere.identity.errors import CredentialInvalidError, SigningKeysUnreadableError
from iotsphere.identity.model import ACCESS_TOKEN_LIFE
from iotsphere.identity.secrets import PlatformCipher
from iotsphere.identity.signing import LEEWAY, SIGNING_KEY_LIFE, SIGNS_AFTER, SigningKeyRing
from iotsphere.identity.tokens import AccessTokens, sign_token
from iotsphere.kernel.identifiers import SigningKeyId
from tests.fakes.identity import SECRET_KEY, ManualClock
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables

NEXT_SECRET_KEY = "another secret of more than thirty-two characters"


class CountingUnitOfWork(InMemoryRegistryUnitOfWork):
    opened = 0

    async def __aenter__(self) -> Self:
        type(self).opened += 1
        return await super().__aenter__()


class Bench:
    """A registry, and rings of as many processes as a test asks for."""

    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()

    def ring(self, *secret_keys: str) -> SigningKeyRing:
        secret_key, *previous = secret_keys or (SECRET_KEY,)
        return SigningKeyRing(
            unit_of_work=partial(CountingUnitOfWork, self.tables),
            cipher=PlatformCipher("signing-key", secret_key, previous),
            clock=self.clock,
            new_id=uuid4,
        )

    async def issue(self, ring: SigningKeyRing) -> str:
        return sign_token(await AccessTokens(ring).signing_key(), session_id=uuid4(), issued_at=self.clock())

    async def is_good(self, ring: SigningKeyRing, token: str) -> bool:
        try:
            await AccessTokens(ring).read(token, now=self.clock())
        except CredentialInvalidError:
            return False
        return True


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_first_key_is_made_when_it_is_needed_and_kept_encrypted(bench: Bench) -> None:
    ring, other = bench.ring(), bench.ring()

    key = await ring.signing_key()

    [stored] = bench.tables.signing_keys.values()
    assert (stored.id, stored.created_at) == (key.id, bench.clock.now)
    assert len(key.secret) == 32
    assert key.secret not in stored.secret
    assert repr(key.secret) not in repr(key)
    assert await ring.signing_key() == await other.signing_key() == key
    [entry] = bench.tables.audit.values()
    assert (entry.action, entry.target) == ("rotate_signing_key", f"signing_key:{key.id}")


async def test_a_new_key_signs_when_everybody_knows_it_and_old_tokens_stay_good(bench: Bench) -> None:
    here, elsewhere = bench.ring(), bench.ring()
    old_token = await bench.issue(here)
    assert await bench.is_good(elsewhere, old_token)
    bench.clock.advance(hours=1)
    old = await here.signing_key()

    new = await here.rotate_key()

    assert await here.signing_key() == await elsewhere.signing_key() == old
    bench.clock.now += SIGNS_AFTER
    assert await here.signing_key() == await elsewhere.signing_key() == new
    just_before = sign_token(old, session_id=uuid4(), issued_at=bench.clock())
    for ring in (here, elsewhere):
        assert await bench.is_good(ring, just_before)
        assert await bench.is_good(ring, await bench.issue(here))


async def test_a_token_that_was_signed_at_the_last_moment_is_good_to_its_end(bench: Bench) -> None:
    ring = bench.ring()
    await ring.signing_key()
    bench.clock.advance(hours=1)
    await ring.rotate_key()
    bench.clock.now += SIGNS_AFTER - timedelta(microseconds=1)
    token = await bench.issue(ring)

    bench.clock.now += ACCESS_TOKEN_LIFE - timedelta(seconds=1)
    await ring.keep_keys()
    assert await bench.is_good(bench.ring(), token)
    bench.clock.now += LEEWAY + timedelta(seconds=2)
    await ring.keep_keys()

    assert list(bench.tables.signing_keys) == [(await ring.signing_key()).id]
    assert not await bench.is_good(ring, token)


async def test_a_key_is_replaced_after_thirty_days_and_not_before(bench: Bench) -> None:
    ring = bench.ring()
    await ring.keep_keys()
    bench.clock.now += SIGNING_KEY_LIFE - timedelta(seconds=1)
    await ring.keep_keys()
    assert len(bench.tables.signing_keys) == 1

    bench.clock.advance(seconds=1)
    await ring.keep_keys()
    await ring.keep_keys()

    assert len(bench.tables.signing_keys) == 2


async def test_a_key_is_newer_than_every_other_whatever_the_clock_says(bench: Bench) -> None:
    ring = bench.ring()
    first = await ring.signing_key()
    bench.clock.advance(hours=-1)

    second = await ring.rotate_key()

    assert second.created_at > first.created_at
    bench.clock.advance(hours=1, minutes=1)
    assert await ring.signing_key() == second


async def test_with_a_new_secret_key_and_the_old_one_among_the_previous_nobody_is_logged_out(bench: Bench) -> None:
    token = await bench.issue(bench.ring())
    ring = bench.ring(NEXT_SECRET_KEY, SECRET_KEY)

    assert await bench.is_good(ring, token)
    await ring.rotate_key()
    bench.clock.now += SIGNS_AFTER + ACCESS_TOKEN_LIFE + LEEWAY
    await ring.keep_keys()

    token = await bench.issue(ring)
    assert await bench.is_good(bench.ring(NEXT_SECRET_KEY), token)


async def test_without_the_secret_key_of_a_ring_its_tokens_are_refused_and_a_fresh_key_is_made(bench: Bench) -> None:
    token = await bench.issue(bench.ring())
    ring = bench.ring(NEXT_SECRET_KEY)

    assert not await bench.is_good(ring, token)
    assert await bench.is_good(ring, await bench.issue(ring))
    assert len(bench.tables.signing_keys) == 2


async def test_a_stored_key_that_is_damaged_is_as_good_as_absent(bench: Bench) -> None:
    token = await bench.issue(bench.ring())
    [stored] = bench.tables.signing_keys.values()
    bench.tables.signing_keys[stored.id] = replace(stored, secret=stored.secret[:-1])
    ring = bench.ring()

    assert not await bench.is_good(ring, token)
    assert await bench.is_good(ring, await bench.issue(ring))


async def test_a_key_is_kept_while_nobody_here_can_read_the_one_after_it(bench: Bench) -> None:
    ring = bench.ring()
    key = await ring.signing_key()
    bench.clock.advance(hours=1)
    await bench.ring(NEXT_SECRET_KEY).signing_key()
    bench.clock.advance(days=1)

    await ring.keep_keys()

    assert await ring.signing_key() == key
    assert key.id in bench.tables.signing_keys


async def test_who_invents_key_ids_does_not_keep_the_registry_busy(bench: Bench) -> None:
    ring = bench.ring()
    await ring.signing_key()
    before = CountingUnitOfWork.opened

    for _ in range(1000):
        assert await ring.find(SigningKeyId(uuid4())) is None
        bench.clock.advance(milliseconds=1)

    assert CountingUnitOfWork.opened - before <= 1


async def test_a_known_key_is_found_without_asking_the_registry_each_time(bench: Bench) -> None:
    ring = bench.ring()
    key = await ring.signing_key()
    before = CountingUnitOfWork.opened

    for _ in range(100):
        assert await ring.find(key.id) == await ring.signing_key() == key

    assert CountingUnitOfWork.opened == before


async def test_a_clock_that_is_set_back_does_not_keep_a_process_from_looking(bench: Bench) -> None:
    here, elsewhere = bench.ring(), bench.ring()
    await elsewhere.signing_key()
    bench.clock.advance(days=-1)

    new = await here.rotate_key()

    assert await elsewhere.find(new.id) == new


async def test_whoever_can_read_no_key_rotates_none(bench: Bench) -> None:
    token = await bench.issue(bench.ring())
    before = bench.tables.copy()

    with pytest.raises(SigningKeysUnreadableError):
        await bench.ring(NEXT_SECRET_KEY).rotate_key()

    assert bench.tables == before
    assert await bench.is_good(bench.ring(), token)


async def test_whoever_knows_the_secret_key_before_rotates(bench: Bench) -> None:
    token = await bench.issue(bench.ring())

    await bench.ring(NEXT_SECRET_KEY, SECRET_KEY).rotate_key()

    assert await bench.is_good(bench.ring(NEXT_SECRET_KEY, SECRET_KEY), token)
    assert len(bench.tables.signing_keys) == 2
