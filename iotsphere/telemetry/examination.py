"""Looks whether the background work of telemetry is being done, and says what to do where it is not."""

from datetime import timedelta

from iotsphere.kernel.clock import Clock
from iotsphere.kernel.findings import Finding
from iotsphere.telemetry.archive import is_restored
from iotsphere.telemetry.errors import QueryTooCostlyError
from iotsphere.telemetry.keeping import ROOM_AHEAD
from iotsphere.telemetry.model import RollupBacklog
from iotsphere.telemetry.ports import KeepingUnitOfWorkFactory, TelemetryUnitOfWorkFactory
from iotsphere.telemetry.rollups import RollupService

TELEMETRY = "telemetry"
# A worker that is away for less is no reason to be woken.
TIME_TO_MAKE_ROOM = timedelta(days=1)
LONGEST_WAIT = timedelta(hours=1)
MOST_NAMED = 5
# Much is archived before it is dropped.
TIME_TO_DROP = timedelta(days=1)
WHAT_KEEPS = (
    "Is a worker running? If so, its log says what keeps it: an archive that cannot be written, somebody who reads "
    "without an end, or hours that wait for their figures."
)
WHAT_TO_DO = (
    "Queries read their readings meanwhile, which is slow. Is a worker running, and is it fast enough? "
    "More workers share the work."
)


class TelemetryExamination:
    def __init__(
        self,
        *,
        unit_of_work: TelemetryUnitOfWorkFactory,
        keeping: KeepingUnitOfWorkFactory,
        rollups: RollupService,
        clock: Clock,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._keeping = keeping
        self._rollups = rollups
        self._clock = clock

    async def examine(self) -> list[Finding]:
        """:raises UnavailableError: the store does not answer."""
        return [await self._examine_room(), await self._examine_figures(), await self._examine_dropping()]

    async def _examine_room(self) -> Finding:
        now = self._clock()
        async with self._unit_of_work() as uow:
            # A worker is given time to make room for a new class, too.
            used = [
                kept.number
                for kept in await uow.retention.list()
                if kept.is_default or (kept.deleted_at is None and kept.changed_at < now - TIME_TO_MAKE_ROOM)
            ]
            missing = await uow.points.find_missing_room([now, now + ROOM_AHEAD - TIME_TO_MAKE_ROOM], classes=used)
        if not missing:
            return _well("room", "there is room for readings of this month and the next")
        detail = f"Nobody has made {', '.join(missing)}: the first writer will have to. Is a worker running?"
        return _bad("room", detail)

    async def _examine_figures(self) -> Finding:
        try:
            backlog = await self._rollups.find_backlog()
        except QueryTooCostlyError:
            return _bad("figures", f"More hours wait for their figures than can be counted. {WHAT_TO_DO}")
        if backlog.oldest_at is not None and self._clock() - backlog.oldest_at >= LONGEST_WAIT:
            since = f"the first of them since {backlog.oldest_at:%Y-%m-%d %H:%M} UTC"
            return _bad("figures", f"{backlog.waiting:,} hours wait for their figures, {since}. {WHAT_TO_DO}")
        return _well("figures", _said_of(backlog))

    async def _examine_dropping(self) -> Finding:
        """Look for what should have been dropped, by what is said of it, a while ago."""
        then = self._clock() - TIME_TO_DROP
        async with self._unit_of_work() as uow:
            every = await uow.retention.list()
        async with self._keeping() as keeping:
            overdue = [
                f"those of class {kept.name} before {chunk.end:%Y-%m-%d}"
                for kept in every
                for chunk in await keeping.chunks.list(before=kept.droppable_before(then), number=kept.number)
                if not await is_restored(keeping, chunk, then)
            ]
        if not overdue:
            return _well("dropping", "nothing is kept that should have been dropped")
        named = "; ".join(overdue[:MOST_NAMED])
        return _bad("dropping", f"Readings are past their age, and still there: {named}. {WHAT_KEEPS}")


def _said_of(backlog: RollupBacklog) -> str:
    said = f"{backlog.waiting:,} hours wait for their figures"
    return f"{said}; {backlog.put_off:,} took too long and are asked of their readings" if backlog.put_off else said


def _well(check: str, detail: str) -> Finding:
    return Finding(TELEMETRY, check, is_well=True, detail=detail)


def _bad(check: str, detail: str) -> Finding:
    return Finding(TELEMETRY, check, is_well=False, detail=detail)
