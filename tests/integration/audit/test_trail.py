"""What the real database does for the trail: it refuses, it orders, and it shows what was done behind its back."""

import asyncio
import signal
import sys
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from iotsphere.audit.model import AuditFilter, AuditScope, ChainFault, ChainFaultKind, Waiting
from iotsphere.identity.model import Organisation
from iotsphere.kernel.audit import AuditEntry
from iotsphere.kernel.identifiers import OrganisationId
from tests.factories.audit import build_entry
from tests.factories.identity import build_organisation
from tests.integration.audit.conftest import TrailProcess
from tests.integration.patience import eventually

ORGANISATION = OrganisationId(uuid4())
# Whoever owns the table can take its guard away.
OFF, ON = "ALTER TABLE audit_entries DISABLE TRIGGER USER", "ALTER TABLE audit_entries ENABLE TRIGGER USER"


async def add(process: TrailProcess, count: int, **given: Any) -> list[AuditEntry]:
    entries = [build_entry(**given) for _ in range(count)]
    async with process.unit_of_work() as uow:
        await uow.trail.add(*entries)
        await uow.commit()
    return entries


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET actor = 'user:somebody else'",
        "UPDATE audit_entries SET details = '{\"n\": 1.0}' WHERE details = '{}'",
        "UPDATE audit_entries SET position = 7, seal = '\\x00', code = 'a.b.c'",
        "UPDATE audit_entries SET id = gen_random_uuid()",
        "DELETE FROM audit_entries",
        "DELETE FROM audit_entries WHERE false",
        "TRUNCATE audit_entries",
        "TRUNCATE audit_entries CASCADE",
    ],
)
@pytest.mark.parametrize("is_sealed", [False, True])
async def test_an_entry_can_be_neither_changed_nor_removed(
    process: TrailProcess, statement: str, is_sealed: bool
) -> None:
    [entry] = await add(process, 1, organisation_id=ORGANISATION)
    if is_sealed:
        await process.sealing.seal_entries()

    with pytest.raises(IntegrityError, match="append-only"):
        await process.execute(statement)

    async with process.unit_of_work() as uow:
        page = await uow.trail.list(AuditScope(ORGANISATION), AuditFilter(), limit=9, cursor=None)
    assert [record.entry for record in page.items] == [entry]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET position = 2",
        "UPDATE audit_entries SET seal = '\\x00'",
        "UPDATE audit_entries SET position = NULL, seal = NULL",
    ],
)
async def test_a_seal_is_set_once(process: TrailProcess, statement: str) -> None:
    await add(process, 1)
    await process.sealing.seal_entries()

    with pytest.raises(IntegrityError, match="append-only"):
        await process.execute(statement)


async def test_writers_and_sealers_at_once_leave_neither_a_gap_nor_a_repeat(
    process: TrailProcess, other_process: TrailProcess
) -> None:
    is_written = asyncio.Event()

    async def write() -> None:
        await asyncio.gather(*(eventually(add, process, 3) for _ in range(40)))
        is_written.set()

    async def seal(sealer: TrailProcess) -> int:
        sealed = 0
        while not is_written.is_set() or (await eventually(sealer.sealing.count_waiting)).count:
            sealed += len(await eventually(sealer.sealing.seal_entries, limit=7))
        return sealed

    _, one, other = await asyncio.gather(write(), seal(process), seal(other_process))

    report = await process.sealing.walk_chain()
    assert one + other == report.sealed == 120
    assert report.faults == []
    assert report.head is not None
    assert report.head.position == 120
    assert await other_process.sealing.count_waiting() == Waiting(0, None)


async def test_a_sealer_that_dies_in_the_middle_leaves_the_chain_as_it_was(
    process: TrailProcess, other_process: TrailProcess
) -> None:
    await add(process, 2)
    async with process.unit_of_work() as uow:
        await uow.trail.find_head(for_sealing=True)
        waiting = asyncio.ensure_future(other_process.sealing.seal_entries())
        await asyncio.sleep(0)

    assert [record.place and record.place.position for record in await waiting] == [1, 2]


@pytest.mark.parametrize(
    ("change", "kind", "first", "last"),
    [
        ("UPDATE audit_entries SET actor = 'user:else' WHERE position = 3", ChainFaultKind.ALTERED, 3, 3),
        ("UPDATE audit_entries SET at = at - interval '1 us' WHERE position = 1", ChainFaultKind.ALTERED, 1, 1),
        ("UPDATE audit_entries SET details = '{\"n\": 2}' WHERE position = 5", ChainFaultKind.ALTERED, 5, 5),
        ("DELETE FROM audit_entries WHERE position BETWEEN 2 AND 3", ChainFaultKind.MISSING, 2, 3),
        ("DELETE FROM audit_entries WHERE position = 1", ChainFaultKind.MISSING, 1, 1),
        ("UPDATE audit_entries SET position = NULL, seal = NULL WHERE position = 2", ChainFaultKind.MISSING, 2, 2),
        ("UPDATE audit_entries SET position = -1 WHERE position = 5", ChainFaultKind.ALTERED, -1, -1),
    ],
)
async def test_what_was_done_behind_the_platforms_back_is_found(
    process: TrailProcess, change: str, kind: ChainFaultKind, first: int, last: int
) -> None:
    await add(process, 5, details={"n": 1})
    await process.sealing.seal_entries()
    await process.execute(OFF, change, ON)

    [fault] = (await process.sealing.walk_chain()).faults

    assert fault == ChainFault(kind, first, last, fault.entry_id)
    if kind is ChainFaultKind.ALTERED:
        standing = await found(process, "SELECT id FROM audit_entries WHERE position = :position", position=first)
        assert standing == {fault.entry_id}


REGISTER_WITHOUT_END = """
import asyncio, sys
from uuid import UUID, uuid4
from iotsphere.kernel.clock import utc_now
from iotsphere.registry.service import DeviceRegistryService
from tests.factories.identity import build_attempt
from tests.integration.audit.conftest import TrailProcess

async def main():
    process = TrailProcess(sys.argv[1])
    devices = DeviceRegistryService(unit_of_work=process.unit_of_work, clock=utc_now, new_id=uuid4)
    async def register():
        while True:
            await devices.register_device(
                attempt=build_attempt(organisation_id=UUID(sys.argv[2])), serial_number=str(uuid4()),
                device_type="pump", name=None, labels={}, asset={},
            )
            print("registered", flush=True)
    await asyncio.gather(*(register() for _ in range(8)))

asyncio.run(main())
"""


async def test_a_process_that_is_killed_leaves_no_change_without_its_entry_and_no_entry_without_its_change(
    process: TrailProcess, trail_dsn: str
) -> None:
    organisation = await add_organisation(process)
    for _ in range(3):
        killed = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            REGISTER_WITHOUT_END,
            trail_dsn,
            str(organisation.id),
            stdout=asyncio.subprocess.PIPE,
        )
        assert killed.stdout is not None
        for _ in range(40):
            assert await asyncio.wait_for(killed.stdout.readline(), 30)
        killed.send_signal(signal.SIGKILL)
        await killed.wait()

    changes = await found(
        process, "SELECT 'device:' || id FROM devices WHERE organisation_id = :ours", ours=organisation.id
    )
    entries = await found(
        process, "SELECT target FROM audit_entries WHERE organisation_id = :ours", ours=organisation.id
    )
    assert len(changes) >= 120
    assert changes == entries


async def add_organisation(process: TrailProcess) -> Organisation:
    organisation = build_organisation()
    async with process.unit_of_work() as uow:
        await uow.organisations.add(organisation)
        await uow.commit()
    return organisation


async def found(process: TrailProcess, query: str, **given: Any) -> set[str | UUID]:
    async with process.engine.connect() as connection:
        return set((await connection.execute(text(query), given)).scalars())
