"""Holds the store against the journal, shadow by shadow, while both are written to.

The journal follows the store by a moment, so that what is seen once proves little. What differs is looked at again
when the journal has all that the store held at the first look. Then, the head being read before the live shadow, the
head may be no older than the live shadow was at the first look, and no newer than it is at the second; and where both
are at one version, they are the same to the letter.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from iotsphere.shadow.model import Generation, ShadowHead, ShadowKey
from iotsphere.shadow.ports import HeldShadow, JournalUnitOfWorkFactory, ShadowInventory, ShadowStoreSurvey
from iotsphere.shadow.restoring import share_until

COMPARED_AT_ONCE = 250
DRIFTS_TO_NAME = 20
# How long the journal is given to catch up, once: where it is this far behind, nothing is gained by waiting again.
CATCH_UP_SECONDS = 5.0
POLL_SECONDS = 0.05

Tell = Callable[[float], None]
Sleep = Callable[[float], Awaitable[None]]


class DriftKind(StrEnum):
    """What is wrong with the shadow in the store, where the journal knows better or does not know."""

    MISSING = "missing"
    DAMAGED = "damaged"
    OLDER = "older"
    ALTERED = "altered"
    NEWER = "newer"
    UNKNOWN = "unknown"


JOURNAL_LACKS = {DriftKind.NEWER, DriftKind.UNKNOWN}


@dataclass(frozen=True, slots=True)
class ShadowDrift:
    """A shadow that is not the same in both; the versions are None where there is none, or none that can be read."""

    key: ShadowKey
    kind: DriftKind
    held: int | None
    journalled: int | None


@dataclass(frozen=True, slots=True)
class StoreAndJournal:
    """Both as a whole, the journal having been asked first: a store that has lost nothing is never behind it."""

    survey: ShadowStoreSurvey
    latest: Generation | None

    @property
    def are_agreed(self) -> bool:
        """Whether the store is whole in the generation that the journal knows."""
        number = self.latest.number if self.latest else None
        return self.survey.generation == number and not self.survey.is_rebuilding


@dataclass(slots=True)
class ComparisonReport:
    """What a comparison found; ``drifts`` are the first of ``drift_count``.

    ``restored`` counts those of the compared shadows that are in the store as of its generation. Not judged were
    ``unrestored`` shadows, for the store was not whole, and ``unjournalled``, for the journal did not catch up.
    """

    both: StoreAndJournal
    refused: int = 0
    compared: int = 0
    restored: int = 0
    unrestored: int = 0
    unjournalled: int = 0
    drifts: list[ShadowDrift] = field(default_factory=list)
    drift_count: int = 0

    def add(self, drift: ShadowDrift) -> None:
        self.drift_count += 1
        if len(self.drifts) < DRIFTS_TO_NAME:
            self.drifts.append(drift)


class ShadowComparison:
    """One comparison; it keeps no more in memory than a batch of shadows and what is to be told."""

    def __init__(
        self, *, inventory: ShadowInventory, unit_of_work: JournalUnitOfWorkFactory, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._inventory = inventory
        self._unit_of_work = unit_of_work
        self._sleep = sleep
        self._is_journal_late = False

    async def compare(self, *, tell: Tell) -> ComparisonReport:
        """Compare every shadow.

        :param tell: hears now and then which share is done.
        :raises UnavailableError: one of the two does not answer.
        """
        report = ComparisonReport(await self._look())
        await self._compare_heads(report, tell)
        await self._compare_held(report, tell)
        async with self._unit_of_work() as uow:
            report.refused = await uow.journal.count_put_aside()
        report.both = await self._look()
        return report

    async def _look(self) -> StoreAndJournal:
        async with self._unit_of_work() as uow:
            latest = await uow.journal.find_generation()
        return StoreAndJournal(await self._inventory.survey(), latest)

    async def _compare_heads(self, report: ComparisonReport, tell: Tell) -> None:
        heads = await self._list_heads(None)
        while heads:
            held = await self._inventory.find_all([head.key for head in heads])
            report.compared += len(heads)
            report.restored += sum(shadow.generation == report.both.survey.generation for shadow in held.values())
            doubtful = [head.key for head in heads if _drift_of(head.key, head, held.get(head.key))]
            await self._look_again({key: held.get(key) for key in doubtful}, report)
            tell(share_until(heads[-1].key) / 2)
            heads = await self._list_heads(heads[-1].key)

    async def _compare_held(self, report: ComparisonReport, tell: Tell) -> None:
        """Look for what the store holds and the journal does not know at all."""
        cursor, seen = None, 0
        while True:
            page = await self._inventory.list(cursor=cursor)
            known = {head.key for head in await self._find_heads(page.items)}
            held = await self._inventory.find_all([key for key in page.items if key not in known])
            await self._look_again(held, report)
            seen += len(page.items)
            cursor = page.next_cursor
            tell(0.5 + seen / max(report.compared, seen, 1) / 2 if cursor else 1.0)
            if cursor is None:
                return

    async def _look_again(self, seen: Mapping[ShadowKey, HeldShadow | None], report: ComparisonReport) -> None:
        if not seen:
            return
        has_caught_up = await self._catch_up()
        before = await self._look()
        heads = {head.key: head for head in await self._find_heads(list(seen))}
        held = await self._inventory.find_all(list(seen))
        is_whole = before.are_agreed and before.survey.generation == (await self._inventory.survey()).generation
        for key, earlier in seen.items():
            head = heads.get(key)
            drift = _drift_of(key, head, held.get(key))
            if drift is None or (drift.kind in JOURNAL_LACKS and _has_come(earlier, head)):
                continue
            if drift.kind in JOURNAL_LACKS and not has_caught_up:
                report.unjournalled += 1
            elif drift.kind in {DriftKind.ALTERED, DriftKind.DAMAGED} or is_whole:
                report.add(drift)
            else:
                report.unrestored += 1

    async def _catch_up(self) -> bool:
        """Wait until the journal has what waits for it now; false if that takes too long."""
        if self._is_journal_late:
            return False
        newest = (await self._inventory.survey()).backlog.newest
        for _ in range(round(CATCH_UP_SECONDS / POLL_SECONDS)):
            oldest = (await self._inventory.survey()).backlog.oldest
            if newest is None or oldest is None or oldest > newest:
                return True
            await self._sleep(POLL_SECONDS)
        self._is_journal_late = True
        return False

    async def _list_heads(self, after: ShadowKey | None) -> Sequence[ShadowHead]:
        async with self._unit_of_work() as uow:
            return await uow.journal.list_heads(after=after, limit=COMPARED_AT_ONCE)

    async def _find_heads(self, keys: Iterable[ShadowKey]) -> Sequence[ShadowHead]:
        async with self._unit_of_work() as uow:
            return await uow.journal.find_heads(list(keys))


def _has_come(earlier: HeldShadow | None, head: ShadowHead | None) -> bool:
    """Tell whether the journal has what was held earlier, and only lacks what was written since."""
    version = earlier.shadow.version if earlier and earlier.shadow else 0
    return (head.shadow.version if head else 0) >= version


def _drift_of(key: ShadowKey, head: ShadowHead | None, held: HeldShadow | None) -> ShadowDrift | None:
    kind = _kind_of(head, held)
    if kind is None:
        return None
    return ShadowDrift(
        key,
        kind,
        held=held.shadow.version if held and held.shadow else None,
        journalled=head.shadow.version if head else None,
    )


def _kind_of(head: ShadowHead | None, held: HeldShadow | None) -> DriftKind | None:
    if held is None:
        return DriftKind.MISSING if head else None
    if held.shadow is None:
        return DriftKind.DAMAGED
    if head is None:
        return DriftKind.UNKNOWN
    if held.shadow.version != head.shadow.version:
        return DriftKind.OLDER if held.shadow.version < head.shadow.version else DriftKind.NEWER
    # As JSON: 1 and 1.0 are equal to Python, and the order of keys is nothing to it.
    is_same = msgspec.json.encode(held.shadow) == msgspec.json.encode(head.shadow)
    return None if is_same else DriftKind.ALTERED
