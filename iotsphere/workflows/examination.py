"""Looks at every store, at the shadows, the signing keys and the audit trail, and tells what is well and what not."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Protocol

from iotsphere.audit.model import ChainFault, ChainFaultKind, ChainHead, ChainReport, Waiting
from iotsphere.audit.service import SealingService
from iotsphere.identity.signing import SigningKeyRing
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.findings import Finding
from iotsphere.shadow.comparison import ShadowComparison
from iotsphere.shadow.findings import JOURNAL, list_findings
from iotsphere.telemetry.archive import ARCHIVE, ArchiveService
from iotsphere.telemetry.examination import TELEMETRY, TelemetryExamination

TRAIL = "audit trail"
SIGNING_KEYS = "signing keys"
SAID_OF_KEYS = {
    True: "the newest can be read",
    None: "there is none yet; whoever logs in first has one made",
    False: "The newest was made with another IOTSPHERE_SECRET_KEY, which is not among the previous ones either.",
}
LONGEST_WAIT = timedelta(seconds=60)


class StoreExaminer(Protocol):
    async def examine(self) -> list[Finding]:
        """Look at the engine, the schema and the rights.

        :raises UnavailableError: the store does not answer.
        """


class ExaminationWorkflow:
    """What is needed to look at one thing comes into being when it is looked at: something else may not be there."""

    def __init__(
        self,
        *,
        examiner_of: Callable[[str], StoreExaminer],
        make_sealing: Callable[[], SealingService],
        make_ring: Callable[[], SigningKeyRing],
        make_comparison: Callable[[], ShadowComparison],
        make_telemetry: Callable[[], TelemetryExamination],
        make_archive: Callable[[], ArchiveService],
        clock: Clock,
    ) -> None:
        self._examiner_of = examiner_of
        self._make_sealing = make_sealing
        self._make_ring = make_ring
        self._make_comparison = make_comparison
        self._make_telemetry = make_telemetry
        self._make_archive = make_archive
        self._clock = clock

    async def examine_store(self, store: str) -> list[Finding]:
        """Look at one store. That it is down is found out, not raised."""
        try:
            return await self._examiner_of(store).examine()
        except UnavailableError as error:
            return [Finding(store, "answers", is_well=False, detail=error.detail)]

    async def examine_shadows(self, *, tell: Callable[[float], None]) -> list[Finding]:
        """Hold every shadow against the journal.

        :param tell: hears now and then which share is done.
        """
        try:
            report = await self._make_comparison().compare(tell=tell)
        except UnavailableError as error:
            detail = f"Shadows and journal cannot be compared. {error.detail}"
            return [Finding(JOURNAL, "agreement", is_well=False, detail=detail)]
        return list(list_findings(report, now=self._clock()))

    async def examine_telemetry(self) -> list[Finding]:
        """See whether what has to be done to readings in the background is being done."""
        try:
            return await self._make_telemetry().examine()
        except UnavailableError as error:
            detail = f"The store cannot be asked. {error.detail}"
            return [Finding(TELEMETRY, "background work", is_well=False, detail=detail)]

    async def examine_archive(self) -> list[Finding]:
        """See whether every file of the archive is there, and is what was written."""
        try:
            return await self._make_archive().examine()
        except UnavailableError as error:
            return [Finding(ARCHIVE, "files", is_well=False, detail=f"They cannot be looked at. {error.detail}")]

    async def examine_signing_keys(self) -> list[Finding]:
        """See whether the platform's secret key is the one that the signing keys were encrypted with."""
        try:
            is_readable = await self._make_ring().is_newest_readable()
        except UnavailableError as error:
            return [Finding(SIGNING_KEYS, "readable", is_well=False, detail=f"They cannot be read. {error.detail}")]
        return [Finding(SIGNING_KEYS, "readable", is_well=is_readable is not False, detail=SAID_OF_KEYS[is_readable])]

    async def examine_trail(self, *, noted_head: ChainHead | None, tell: Callable[[int, int], None]) -> list[Finding]:
        """Follow the whole chain of seals.

        :param noted_head: an end of the chain that was noted earlier, to see whether it is still in it.
        :param tell: hears of each position that was reached, and of the last that there is.
        """
        sealing = self._make_sealing()
        try:
            last = await sealing.find_head()
            end = last.position if last else 0
            report = await sealing.walk_chain(tell=lambda position: tell(position, end))
            findings = [*_chain_findings(report), self._waiting_finding(await sealing.count_waiting())]
            if noted_head is not None:
                findings.append(_head_finding(noted_head, is_there=await sealing.holds_head(head=noted_head)))
        except UnavailableError as error:
            return [Finding(TRAIL, "chain", is_well=False, detail=f"It cannot be followed. {error.detail}")]
        return findings

    def _waiting_finding(self, waiting: Waiting) -> Finding:
        since = waiting.oldest_at
        if since is None or self._clock() - since < LONGEST_WAIT:
            return Finding(TRAIL, "sealing", is_well=True, detail=f"{waiting.count:,} entries wait for their seal")
        detail = f"{waiting.count:,} entries wait for their seal, the oldest since {since:%Y-%m-%d %H:%M:%S} UTC. "
        return Finding(TRAIL, "sealing", is_well=False, detail=f"{detail}Is a worker running?")


def _chain_findings(report: ChainReport) -> Iterator[Finding]:
    for fault in report.faults:
        yield Finding(TRAIL, "chain", is_well=False, detail=_described(fault))
    others = report.fault_count - len(report.faults)
    if others:
        yield Finding(TRAIL, "chain", is_well=False, detail=f"{others:,} more faults behind these.")
    if not report.faults:
        head = f"; its end is {report.head}" if report.head else ""
        yield Finding(TRAIL, "chain", is_well=True, detail=f"{report.sealed:,} sealed entries, all as written{head}")


def _described(fault: ChainFault) -> str:
    if fault.kind is ChainFaultKind.ALTERED:
        return f"The entry {fault.entry_id} at position {fault.position:,} was altered, put in or moved there."
    if fault.position == fault.last_position:
        return f"The entry at position {fault.position:,} is missing."
    return f"The entries at positions {fault.position:,} to {fault.last_position:,} are missing."


def _head_finding(head: ChainHead, *, is_there: bool) -> Finding:
    said = "is still in the chain" if is_there else "is not in the chain: its end was cut off or exchanged"
    return Finding(
        TRAIL, "noted end", is_well=is_there, detail=f"What was noted at position {head.position:,} {said}."
    )
