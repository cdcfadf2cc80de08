"""What the models of remembered things have in common: two clocks, words that are told and heard, and proofs.

What is remembered is answered by what is true, or by what was true less than a lease ago: never by anything older,
whatever is being looked up, overheard or lost.
"""

from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from iotsphere.kernel.lease import LEASE_SECONDS, LeasedCache
from tests.fakes.identity import ManualClock
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables, UnreachableUnitOfWork

LEASE_MILLISECONDS = 800
# Exactly what the cache holds a difference against, so that its very end is met.
LEASE = Fraction(LEASE_SECONDS)
Work = Coroutine[Any, Any, Any]


class Pause:
    """Lets other things happen before whoever awaits it goes on."""

    def __await__(self) -> Generator[None, None, None]:
        yield


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
class Truths:
    """Every answer that was ever true of one thing, with the moment from which on."""

    told: list[tuple[Fraction, str]]

    def becomes(self, truth: str, moment: Fraction) -> None:
        self.told.append((moment, truth))

    def answers(self, clocks: Clocks) -> set[str]:
        ends = [began for began, _ in self.told[1:]]
        # A lease after its end, to the moment, what was true before counts no more.
        old = {truth for (_, truth), end in zip(self.told, ends, strict=False) if clocks.moment - end < LEASE}
        return old | {self.told[-1][1]}


class TellingUnitOfWork(InMemoryRegistryUnitOfWork):
    """Tells what a commit has changed, as the triggers of the real registry do."""

    def __init__(self, committed: RegistryTables, words: list[UUID]) -> None:
        super().__init__(committed)
        self._words = words

    async def __aexit__(self, *_: object) -> None:
        await Pause()

    async def commit(self) -> None:
        before = self._committed.copy()
        await super().commit()
        self._words += changed_ids(before, self._committed)


def changed_ids(before: RegistryTables, after: RegistryTables) -> list[UUID]:
    """Give what the registry tells of: keys, sessions and devices that were changed, or whose holder was."""
    words: list[UUID] = []
    for key_id, credential in before.credentials.items():
        device_id = credential.device_id
        status = before.devices[device_id].status
        if after.credentials[key_id] != credential or after.devices[device_id].status is not status:
            words.append(key_id)
    for session_id, kept in before.sessions.items():
        user_id = kept.session.user_id
        if after.sessions.get(session_id) != kept or after.users[user_id].role is not before.users[user_id].role:
            words.append(session_id)
    words += (device_id for device_id, device in before.devices.items() if after.devices[device_id] != device)
    return words


class LeaseMachine(RuleBasedStateMachine):
    """Time, outages, words and proofs, in whatever order; a subclass says what is remembered, and what is asked."""

    ends: ClassVar[dict[type[Exception], str]]
    caches: Sequence[LeasedCache[Any]]

    def __init__(self) -> None:
        super().__init__()
        self.tables, self.clock = RegistryTables(), Clocks()
        self.is_up, self.is_listening = True, False
        self.words: list[UUID] = []
        self.heard = 0
        self.asked: tuple[float, int] | None = None
        self.under_way: list[Work] = []

    def show_everything(self) -> None:
        """Ask of everything that is known, and hold the answers against the model."""
        raise NotImplementedError

    def unit_of_work(self) -> InMemoryRegistryUnitOfWork:
        return TellingUnitOfWork(self.tables, self.words) if self.is_up else UnreachableUnitOfWork(self.tables)

    def step(self, work: Work) -> str | None:
        """Go on with work until its next pause; tell how it ended if it did."""
        try:
            work.send(None)
        except StopIteration as end:
            return self.told_by(end.value)
        except (*self.ends,) as error:
            return self.ends[type(error)]
        return None

    def told_by(self, result: Any) -> str:
        """Tell what work has found that ended well."""
        return "let in"

    def end_of(self, work: Work) -> str:
        while (end := self.step(work)) is None:
            pass
        return end

    def begin_work(self, work: Work) -> None:
        if self.step(work) is None:
            self.under_way.append(work)

    def forget(self, id_: UUID) -> None:
        for cache in self.caches:
            cache.forget(id_)

    def hear(self, until: int) -> None:
        for word in self.words[self.heard : until]:
            self.forget(word)
        self.heard = max(self.heard, until)

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
        for cache in self.caches:
            cache.forget_all()

    @precondition(lambda self: self.is_listening)
    @rule()
    def ask_for_a_proof(self) -> None:
        self.asked = self.clock.monotonic(), len(self.words)

    @precondition(lambda self: self.asked is not None)
    @rule()
    def take_the_proof(self) -> None:
        assert self.asked is not None
        moment, told = self.asked
        self.hear(told)
        for cache in self.caches:
            cache.prove(moment)
        self.asked = None

    @precondition(lambda self: self.is_listening)
    @rule()
    def go_on_for_a_second(self) -> None:
        """Long enough for whatever was true before to count no more, with a proof all the while."""
        for _ in range(5):
            self.clock.go_on(200)
            self.ask_for_a_proof()
            self.take_the_proof()
        self.show_everything()

    @precondition(lambda self: self.is_listening)
    @rule()
    def hear_a_word(self) -> None:
        self.hear(min(self.heard + 1, len(self.words)))

    @precondition(lambda self: self.under_way)
    @rule()
    def go_on(self) -> None:
        work = self.under_way.pop(0)
        if self.step(work) is None:
            self.under_way.append(work)

    @rule()
    def look_again(self) -> None:
        self.show_everything()

    def teardown(self) -> None:
        """Let everything come to its end with nothing lost: what is remembered wrongly then shows for certain."""
        if not self.is_up:
            self.lose_or_find_the_registry()
        if not self.is_listening:
            self.lose_or_find_the_feed()
        for work in self.under_way:
            self.end_of(work)
        self.go_on_for_a_second()
