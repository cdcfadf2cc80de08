from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.audit.model import ChainHead
from iotsphere.audit.service import SealingService
from iotsphere.identity.secrets import PlatformCipher
from iotsphere.identity.signing import SigningKeyRing
from iotsphere.kernel.audit import AuditEntry
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.findings import Finding
from iotsphere.shadow.comparison import ShadowComparison
from iotsphere.workflows.examination import LONGEST_WAIT, ExaminationWorkflow
from tests.factories.audit import build_entry
from tests.fakes.identity import SECRET_KEY, ManualClock
from tests.fakes.journal import InMemoryJournalUnitOfWork, JournalData
from tests.fakes.keeping import House, build_examination
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables, UnreachableUnitOfWork
from tests.fakes.shadow import InMemoryShadowInventory, InMemoryShadowServer

WELL = Finding("registry", "answers", is_well=True, detail="postgresql 18.6")


class Examiner:
    def __init__(self, store: str) -> None:
        self._store = store

    async def examine(self) -> list[Finding]:
        if self._store == "registry":
            return [WELL]
        raise UnavailableError(self._store, "It does not answer.")


class Bench:
    unit_of_work: type[InMemoryRegistryUnitOfWork] = InMemoryRegistryUnitOfWork
    secret_key = SECRET_KEY

    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.journal = JournalData()
        self.clock = ManualClock()
        self.archive: Any = House(clock=self.clock).archive
        self.telemetry: Any = build_examination(House(clock=self.clock))
        unit_of_work = partial(InMemoryRegistryUnitOfWork, self.tables)
        self.sealing = SealingService(unit_of_work=unit_of_work, secret_key="x" * 32)
        self.examination = self.workflow(self.sealing)

    def workflow(self, sealing: SealingService) -> ExaminationWorkflow:
        return ExaminationWorkflow(
            examiner_of=Examiner,
            make_sealing=lambda: sealing,
            make_ring=self.ring,
            make_comparison=self.comparison,
            make_telemetry=lambda: self.telemetry,
            make_archive=lambda: self.archive,
            clock=self.clock,
        )

    def comparison(self) -> ShadowComparison:
        return ShadowComparison(
            inventory=InMemoryShadowInventory(InMemoryShadowServer()),
            unit_of_work=partial(InMemoryJournalUnitOfWork, self.journal),
        )

    def ring(self) -> SigningKeyRing:
        return SigningKeyRing(
            unit_of_work=partial(self.unit_of_work, self.tables),
            cipher=PlatformCipher("signing-key", self.secret_key),
            clock=self.clock,
            new_id=uuid4,
        )

    async def found_of_keys(self) -> tuple[str, bool, str]:
        [finding] = await self.examination.examine_signing_keys()
        return finding.subject, finding.is_well, finding.detail

    async def seal(self, count: int) -> list[AuditEntry]:
        entries = [build_entry() for _ in range(count)]
        self.tables.audit.update({entry.id: entry for entry in entries})
        await self.sealing.seal_entries()
        return entries

    async def wrong(self, *, noted_head: ChainHead | None = None) -> list[str]:
        found = await self.examination.examine_trail(noted_head=noted_head, tell=lambda *_: None)
        return [finding.detail for finding in found if not finding.is_well]


class UnreachableArchive:
    async def examine(self) -> list[Finding]:
        raise UnavailableError("archive", "IOTSPHERE_ARCHIVE_DIR is not set.")


class UnreachableTelemetry:
    async def examine(self) -> list[Finding]:
        raise UnavailableError("telemetry", "It does not answer.")


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_archive_is_looked_at(bench: Bench) -> None:
    empty, removals = await bench.examination.examine_archive()
    bench.archive = UnreachableArchive()
    [unknown] = await bench.examination.examine_archive()

    assert (empty.subject, empty.is_well, empty.detail) == ("archive", True, "0 files, all as written")
    assert (removals.check, removals.is_well) == ("removals", True)
    assert (unknown.subject, unknown.is_well) == ("archive", False)
    assert "IOTSPHERE_ARCHIVE_DIR" in unknown.detail


async def test_the_background_work_of_telemetry_is_looked_at(bench: Bench) -> None:
    well = await bench.examination.examine_telemetry()
    bench.telemetry = UnreachableTelemetry()
    [unknown] = await bench.examination.examine_telemetry()

    assert [(finding.subject, finding.check, finding.is_well) for finding in well] == [
        ("telemetry", "room", True),
        ("telemetry", "figures", True),
        ("telemetry", "dropping", True),
    ]
    assert (unknown.subject, unknown.is_well) == ("telemetry", False)
    assert "does not answer" in unknown.detail


async def test_signing_keys_are_well_where_the_newest_can_be_read_or_none_is_there_yet(bench: Bench) -> None:
    assert await bench.found_of_keys() == (
        "signing keys",
        True,
        "there is none yet; whoever logs in first has one made",
    )

    await bench.ring().signing_key()
    assert await bench.found_of_keys() == ("signing keys", True, "the newest can be read")


async def test_a_signing_key_under_another_secret_key_is_a_finding(bench: Bench) -> None:
    await bench.ring().signing_key()
    bench.secret_key = "another secret of more than thirty-two characters"

    _, is_well, detail = await bench.found_of_keys()

    assert (is_well, "another IOTSPHERE_SECRET_KEY" in detail) == (False, True)


async def test_signing_keys_of_a_registry_that_is_down_are_a_finding(bench: Bench) -> None:
    bench.unit_of_work = UnreachableUnitOfWork

    _, is_well, detail = await bench.found_of_keys()

    assert (is_well, detail.partition(".")[0]) == (False, "They cannot be read")


async def test_a_store_that_is_down_is_a_finding(bench: Bench) -> None:
    assert await bench.examination.examine_store("registry") == [WELL]
    assert await bench.examination.examine_store("assets") == [
        Finding("assets", "answers", is_well=False, detail="It does not answer.")
    ]


async def test_shadows_that_were_never_used_are_well(bench: Bench) -> None:
    heard: list[float] = []

    found = await bench.examination.examine_shadows(tell=heard.append)

    assert [finding.check for finding in found] == ["generation", "backlog", "agreement"]
    assert all(finding.is_well for finding in found)
    assert heard == [1.0]


async def test_a_journal_that_is_away_is_a_finding_about_the_shadows(bench: Bench) -> None:
    bench.journal.is_away = True

    [finding] = await bench.examination.examine_shadows(tell=lambda _: None)

    assert (finding.subject, finding.is_well) == ("shadow journal", False)
    assert finding.detail.endswith("The telemetry store does not answer. Try again shortly.")


async def test_a_trail_that_nobody_touched_is_well_and_shows_its_end(bench: Bench) -> None:
    await bench.seal(3)

    found = await bench.examination.examine_trail(noted_head=None, tell=lambda *_: None)

    assert all(finding.is_well for finding in found)
    assert found[0].detail.endswith(str(await bench.sealing.find_head()))


async def test_what_is_wrong_is_said_with_its_place(bench: Bench) -> None:
    entries = await bench.seal(6)
    bench.tables.audit[entries[1].id] = replace(entries[1], actor="user:else")
    for number in (3, 4):
        del bench.tables.places[entries[number].id], bench.tables.audit[entries[number].id]

    altered, missing = await bench.wrong()

    assert str(entries[1].id) in altered
    assert "position 2 " in altered
    assert missing == "The entries at positions 4 to 5 are missing."


async def test_of_many_faults_the_rest_is_counted(bench: Bench) -> None:
    for entry in await bench.seal(15):
        bench.tables.audit[entry.id] = replace(entry, actor="user:else")

    assert (await bench.wrong())[-1] == "5 more faults behind these."


async def test_a_noted_end_is_looked_for(bench: Bench) -> None:
    await bench.seal(2)
    head = await bench.sealing.find_head()
    assert head is not None

    assert await bench.wrong(noted_head=head) == []
    [detail] = await bench.wrong(noted_head=ChainHead(3, bytes(32)))
    assert "cut off" in detail


async def test_entries_that_wait_for_long_are_a_finding(bench: Bench) -> None:
    entry = build_entry()
    bench.tables.audit[entry.id] = entry
    bench.clock.now = entry.at + LONGEST_WAIT - timedelta(microseconds=1)
    assert await bench.wrong() == []

    bench.clock.advance(microseconds=1)
    [detail] = await bench.wrong()
    assert "worker" in detail


async def test_a_registry_that_is_down_is_a_finding_about_the_trail_too(bench: Bench) -> None:
    unreachable = SealingService(unit_of_work=partial(UnreachableUnitOfWork, bench.tables), secret_key="x" * 32)

    [finding] = await bench.workflow(unreachable).examine_trail(noted_head=None, tell=lambda *_: None)

    assert (finding.check, finding.is_well) == ("chain", False)
