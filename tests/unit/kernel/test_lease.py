from uuid import UUID, uuid4

import pytest

from iotsphere.identity.model import KeyHolder
from iotsphere.kernel.lease import LEASE_SECONDS, LeasedCache
from tests.factories.identity import build_key_holder


class Bench:
    """A cache at a moment of a clock that is set by hand, which has heard of everything up to now."""

    def __init__(self, *, most: int = 100) -> None:
        self.now = 0.0
        self.cache = LeasedCache[KeyHolder](monotonic=lambda: self.now, most=most)
        self.cache.prove(self.now)

    def remember(self) -> KeyHolder:
        holder = build_key_holder()
        self.cache.remember(holder.key_id, holder, generation=self.cache.generation)
        return holder

    def recalls(self, key_id: UUID) -> bool:
        return self.cache.recall(key_id) is not None


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_was_remembered_is_recalled_and_nothing_else(bench: Bench) -> None:
    holder = bench.remember()

    assert bench.cache.recall(holder.key_id) == holder
    assert not bench.recalls(uuid4())


def test_a_cache_that_never_heard_anything_recalls_nothing() -> None:
    cache = LeasedCache[KeyHolder]()
    holder = build_key_holder()
    cache.remember(holder.key_id, holder, generation=cache.generation)

    assert cache.recall(holder.key_id) is None


def test_the_cache_falls_silent_when_the_last_proof_is_too_old_and_speaks_again_after_the_next(bench: Bench) -> None:
    holder = bench.remember()

    bench.now = LEASE_SECONDS - 0.001
    assert bench.recalls(holder.key_id)
    bench.now = LEASE_SECONDS
    assert not bench.recalls(holder.key_id)

    bench.cache.prove(bench.now)
    assert bench.recalls(holder.key_id)


def test_a_proof_counts_from_when_it_was_asked_for_not_from_when_it_came(bench: Bench) -> None:
    holder = bench.remember()
    bench.now += LEASE_SECONDS

    bench.cache.prove(0.0)

    assert not bench.recalls(holder.key_id)


def test_a_word_of_a_key_takes_it_away_and_no_other(bench: Bench) -> None:
    changed, other = bench.remember(), bench.remember()

    bench.cache.forget(changed.key_id)

    assert not bench.recalls(changed.key_id)
    assert bench.recalls(other.key_id)


def test_a_look_up_during_which_there_was_word_of_a_change_is_not_remembered(bench: Bench) -> None:
    holder, generation = build_key_holder(), bench.cache.generation
    bench.cache.forget(holder.key_id)

    bench.cache.remember(holder.key_id, holder, generation=generation)

    assert not bench.recalls(holder.key_id)


def test_nothing_from_before_is_remembered_when_it_begins_anew(bench: Bench) -> None:
    remembered, looked_up, generation = bench.remember(), build_key_holder(), bench.cache.generation

    bench.cache.forget_all()
    bench.cache.remember(looked_up.key_id, looked_up, generation=generation)
    assert not bench.recalls(remembered.key_id)
    bench.cache.prove(bench.now)

    assert not bench.recalls(remembered.key_id)
    assert not bench.recalls(looked_up.key_id)


def test_the_key_that_was_not_asked_for_the_longest_gives_way() -> None:
    bench = Bench(most=2)
    asked_for, not_asked_for = bench.remember(), bench.remember()
    assert bench.recalls(asked_for.key_id)

    newcomer = bench.remember()

    assert [bench.recalls(holder.key_id) for holder in (asked_for, not_asked_for, newcomer)] == [True, False, True]
