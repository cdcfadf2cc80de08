from datetime import datetime, timedelta

from iotsphere.identity.model import IdempotencyRecord
from tests.contract.registry.stores import RegistryStore
from tests.factories.identity import FIRST_DAY

DAY = timedelta(days=1)
ABANDONED_AFTER = timedelta(seconds=30)
ACTOR, KEY = "user:1", "key ~!"


async def claim(
    store: RegistryStore,
    *,
    actor: str = ACTOR,
    key: str = KEY,
    fingerprint: bytes = b"\x00first",
    now: datetime = FIRST_DAY,
) -> IdempotencyRecord | None:
    async with store.unit_of_work() as uow:
        record = await uow.idempotency.claim(
            actor, key, fingerprint, now=now, forget_before=now - DAY, abandon_before=now - ABANDONED_AFTER
        )
        await uow.commit()
    return record


async def save_answer(store: RegistryStore, answer: bytes, *, started_at: datetime = FIRST_DAY) -> None:
    async with store.unit_of_work() as uow:
        await uow.idempotency.save_answer(ACTOR, KEY, answer, started_at=started_at)
        await uow.commit()


async def remove(store: RegistryStore, *, started_at: datetime = FIRST_DAY) -> None:
    async with store.unit_of_work() as uow:
        await uow.idempotency.remove(ACTOR, KEY, started_at=started_at)
        await uow.commit()


async def test_the_first_to_claim_a_key_has_it(store: RegistryStore) -> None:
    assert await claim(store) is None

    assert await claim(store, fingerprint=b"second") == IdempotencyRecord(b"\x00first", answer=None)


async def test_a_key_is_its_actors_own(store: RegistryStore) -> None:
    assert await claim(store) is None

    assert await claim(store, actor="user:2") is None
    assert await claim(store, key="another key") is None


async def test_an_answer_comes_back_for_a_day_and_then_the_key_is_free(store: RegistryStore) -> None:
    await claim(store)
    await claim(store, key="another key")
    await save_answer(store, b"\x00\xffanswer")

    remembered = IdempotencyRecord(b"\x00first", b"\x00\xffanswer")
    assert await claim(store, fingerprint=b"second", now=FIRST_DAY + DAY) == remembered
    assert await claim(store, fingerprint=b"second", now=FIRST_DAY + DAY + timedelta(microseconds=1)) is None
    assert await claim(store, now=FIRST_DAY + DAY) == IdempotencyRecord(b"second", answer=None)


async def test_a_request_without_an_answer_loses_the_key_after_a_while(store: RegistryStore) -> None:
    await claim(store)

    assert await claim(store, now=FIRST_DAY + ABANDONED_AFTER) is not None
    assert await claim(store, now=FIRST_DAY + ABANDONED_AFTER + timedelta(microseconds=1)) is None


async def test_a_removed_key_is_free(store: RegistryStore) -> None:
    await claim(store)
    await claim(store, actor="user:2")

    await remove(store)

    assert await claim(store, actor="user:2") is not None
    assert await claim(store) is None


async def test_an_answer_to_a_key_that_is_gone_is_dropped(store: RegistryStore) -> None:
    await save_answer(store, b"late")

    assert await claim(store) is None


async def test_who_lost_the_key_neither_answers_for_its_new_owner_nor_frees_it(store: RegistryStore) -> None:
    later = FIRST_DAY + ABANDONED_AFTER + timedelta(microseconds=1)
    await claim(store)
    assert await claim(store, fingerprint=b"second", now=later) is None

    await save_answer(store, b"late")
    await remove(store)

    assert await claim(store, now=later) == IdempotencyRecord(b"second", answer=None)
    await save_answer(store, b"answer", started_at=later)
    assert await claim(store, now=later) == IdempotencyRecord(b"second", answer=b"answer")


async def test_old_records_can_be_removed(store: RegistryStore) -> None:
    await claim(store, key="old", now=FIRST_DAY - timedelta(microseconds=1))
    await claim(store, key="young")

    async with store.unit_of_work() as uow:
        assert await uow.idempotency.remove_before(FIRST_DAY, limit=9) == 1
        await uow.commit()

    assert await claim(store, key="old", now=FIRST_DAY) is None
    assert await claim(store, key="young") is not None


async def test_no_more_old_records_are_removed_than_asked_for(store: RegistryStore) -> None:
    for number in range(3):
        await claim(store, key=str(number))

    async with store.unit_of_work() as uow:
        assert [await uow.idempotency.remove_before(FIRST_DAY + DAY, limit=2) for _ in range(3)] == [2, 1, 0]
