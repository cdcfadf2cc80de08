import asyncio
from datetime import timedelta
from functools import partial

import pytest

from iotsphere.identity.errors import IdempotencyKeyReusedError
from iotsphere.identity.idempotency import ABANDONED_AFTER, FORGOTTEN_AT_ONCE, REMEMBERED_FOR, IdempotencyService
from iotsphere.identity.secrets import PlatformCipher
from iotsphere.kernel.errors import ConflictError
from tests.fakes.identity import KeptIdempotencyRecord, ManualClock
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables


class TakenError(ConflictError):
    code = "test.name.taken"


class Bench:
    """The service on a store in memory, and a piece of work that counts how often it was done."""

    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()
        self.service = self.make_service("a secret of more than thirty-two characters")
        self.done = 0
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    def make_service(self, *secret_keys: str) -> IdempotencyService:
        return IdempotencyService(
            unit_of_work=partial(InMemoryRegistryUnitOfWork, self.tables),
            clock=self.clock,
            cipher=PlatformCipher("idempotency", secret_keys[0], secret_keys[1:]),
        )

    async def ask(self, *, actor: str = "user:1", key: str = "key", fingerprint: bytes = b"request") -> bytes:
        return await self.service.answer_once(actor=actor, key=key, fingerprint=fingerprint, work=self.work)

    async def work(self) -> bytes:
        self.began.set()
        await self.may_end.wait()
        self.done += 1
        return b"answer %d" % self.done


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_a_repeat_gets_the_first_answer_for_a_day(bench: Bench) -> None:
    assert await bench.ask() == b"answer 1"

    bench.clock.now += REMEMBERED_FOR
    assert await bench.ask() == b"answer 1"
    bench.clock.advance(seconds=1)
    assert await bench.ask() == b"answer 2"


async def test_another_actor_and_another_key_are_other_requests(bench: Bench) -> None:
    await bench.ask()

    assert await bench.ask(actor="user:2") == b"answer 2"
    assert await bench.ask(key="Key") == b"answer 3"


async def test_another_request_under_the_key_is_refused(bench: Bench) -> None:
    await bench.ask()

    with pytest.raises(IdempotencyKeyReusedError):
        await bench.ask(fingerprint=b"another")

    assert bench.done == 1


async def test_of_many_at_once_one_does_the_work(bench: Bench) -> None:
    bench.may_end.clear()
    asking = [asyncio.create_task(bench.ask()) for _ in range(20)]
    another = asyncio.create_task(bench.ask(fingerprint=b"another"))
    with pytest.raises(IdempotencyKeyReusedError):
        await another

    bench.may_end.set()

    assert await asyncio.gather(*asking) == [b"answer 1"] * 20


async def test_work_that_is_refused_leaves_the_key_free(bench: Bench) -> None:
    async def refused() -> bytes:
        raise TakenError("Taken.")

    with pytest.raises(TakenError):
        await bench.service.answer_once(actor="user:1", key="key", fingerprint=b"first", work=refused)

    assert bench.tables.idempotency == {}
    assert await bench.ask(fingerprint=b"corrected") == b"answer 1"


async def test_a_client_that_goes_away_finds_its_answer_when_it_comes_again(bench: Bench) -> None:
    bench.may_end.clear()
    asking = asyncio.create_task(bench.ask())
    await bench.began.wait()

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    bench.may_end.set()

    assert await bench.ask() == b"answer 1"
    assert bench.done == 1


async def test_a_request_that_died_with_its_process_frees_the_key_after_a_while(bench: Bench) -> None:
    async with InMemoryRegistryUnitOfWork(bench.tables) as uow:
        now = bench.clock()
        await uow.idempotency.claim(
            "user:1", "key", b"request", now=now, forget_before=now, abandon_before=now - timedelta(days=1)
        )
        await uow.commit()

    bench.clock.now += ABANDONED_AFTER + timedelta(seconds=1)

    assert await bench.ask() == b"answer 1"


@pytest.mark.parametrize("is_refused", [False, True])
async def test_work_that_ends_after_its_key_was_given_on_leaves_the_other_request_alone(
    bench: Bench, is_refused: bool
) -> None:
    may_end = asyncio.Event()

    async def slow() -> bytes:
        bench.began.set()
        await may_end.wait()
        if is_refused:
            raise TakenError("Taken.")
        return b"slow answer"

    asking = asyncio.create_task(bench.service.answer_once(actor="user:1", key="key", fingerprint=b"slow", work=slow))
    await bench.began.wait()
    bench.clock.now += ABANDONED_AFTER + timedelta(seconds=1)
    bench.began.clear()
    bench.may_end.clear()
    another = asyncio.create_task(bench.ask())
    await bench.began.wait()

    claimed = dict(bench.tables.idempotency)
    may_end.set()
    await asyncio.wait([asking])
    assert isinstance(asking.exception(), TakenError) if is_refused else asking.result() == b"slow answer"
    assert bench.tables.idempotency == claimed
    bench.may_end.set()

    assert await another == b"answer 1"
    assert await bench.ask() == b"answer 1"
    assert bench.done == 1


async def test_answers_are_kept_encrypted(bench: Bench) -> None:
    await bench.ask()

    assert "answer 1" not in repr(bench.tables.idempotency)


async def test_an_answer_kept_under_another_secret_is_refused_and_not_done_again(bench: Bench) -> None:
    await bench.ask()
    bench.service = bench.make_service("another secret of more than thirty-two characters")

    with pytest.raises(IdempotencyKeyReusedError, match="make a new key"):
        await bench.ask()

    assert bench.done == 1


async def test_an_answer_outlives_the_secret_key_for_as_long_as_that_is_among_the_previous_ones(bench: Bench) -> None:
    await bench.ask()
    bench.service = bench.make_service(
        "another secret of more than thirty-two characters", "a secret of more than thirty-two characters"
    )

    assert await bench.ask() == b"answer 1"


async def test_old_answers_are_forgotten_however_many(bench: Bench) -> None:
    for number in range(2 * FORGOTTEN_AT_ONCE):
        bench.tables.idempotency["user:1", str(number)] = KeptIdempotencyRecord(b"request", bench.clock.now)
    bench.clock.now += REMEMBERED_FOR + timedelta(seconds=1)
    await bench.ask(key="young")

    await bench.service.forget_old()

    assert list(bench.tables.idempotency) == [("user:1", "young")]
