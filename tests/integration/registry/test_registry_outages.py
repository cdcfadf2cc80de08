"""What a PostgreSQL that freezes, dies or is empty costs, and that nothing more is needed once it is back."""

import asyncio
from uuid import uuid4

import pytest
import sqlalchemy as sa

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.pagination import CursorMalformedError
from iotsphere.localstack.stack import LocalStack, create_database
from iotsphere.registry.model import Device, DeviceFilter
from repositories.availability import CLOSED_SECONDS
from repositories.migrations import upgrade
from tests.integration.patience import eventually
from tests.integration.registry.conftest import RegistryMachine, RegistryProcess, within

LONGEST_WAIT_SECONDS = 3.0
# A refusal without asking the store is told from one that asked it, and was told nothing.
AT_ONCE_SECONDS = 0.4


@pytest.fixture
async def device(lone_process: RegistryProcess) -> Device:
    device, _ = await lone_process.register(await lone_process.add_organisation())
    return device


async def read(process: RegistryProcess, device: Device) -> Device:
    return await process.devices.get_device(organisation_id=device.organisation_id, device_id=device.id)


async def test_a_frozen_server_is_reported_soon_then_at_once_and_used_again_when_it_thaws(
    machine: RegistryMachine, lone_process: RegistryProcess, device: Device
) -> None:
    with machine.frozen():
        for _ in range(2):
            lone_process.gate.succeeded()
            with pytest.raises(UnavailableError) as refusal:
                await within(LONGEST_WAIT_SECONDS, read(lone_process, device))
            assert refusal.value.code == "registry.store.unavailable"
            with pytest.raises(UnavailableError):
                await within(AT_ONCE_SECONDS, read(lone_process, device))

    assert await eventually(lambda: read(lone_process, device)) == device


async def test_forty_requests_at_a_frozen_server_all_end_soon(
    machine: RegistryMachine, lone_process: RegistryProcess, device: Device
) -> None:
    with machine.frozen():
        answers = await within(
            LONGEST_WAIT_SECONDS,
            asyncio.gather(*(read(lone_process, device) for _ in range(40)), return_exceptions=True),
        )

    assert all(isinstance(answer, UnavailableError) for answer in answers)
    assert await eventually(lambda: read(lone_process, device)) == device
    answers = await asyncio.gather(*(read(lone_process, device) for _ in range(40)))
    assert answers == [device] * 40


async def test_a_server_that_freezes_within_a_transaction_is_reported_soon(
    machine: RegistryMachine, lone_process: RegistryProcess, device: Device
) -> None:
    frozen = asyncio.Event()
    reading = asyncio.Semaphore(0)

    async def meet_the_freeze(*, committing: bool) -> None:
        async with lone_process.unit_of_work() as uow:
            await uow.devices.get(device.organisation_id, device.id)
            reading.release()
            await frozen.wait()
            if committing:
                await uow.commit()

    tasks = [asyncio.create_task(meet_the_freeze(committing=committing)) for committing in (False, True)]
    for _ in tasks:
        await reading.acquire()
    with machine.frozen():
        frozen.set()
        for task in tasks:
            with pytest.raises(UnavailableError):
                await within(LONGEST_WAIT_SECONDS, task)

    assert await eventually(lambda: read(lone_process, device)) == device


async def test_a_process_that_ends_does_not_wait_for_a_frozen_server(
    machine: RegistryMachine, lone_process: RegistryProcess, device: Device
) -> None:
    await asyncio.gather(*(read(lone_process, device) for _ in range(10)))

    with machine.frozen():
        await within(AT_ONCE_SECONDS, lone_process.engine.dispose())


async def test_the_probe_sees_a_frozen_server_and_sees_it_thaw(
    machine: RegistryMachine, lone_process: RegistryProcess
) -> None:
    with machine.frozen(), pytest.raises(UnavailableError):
        await within(LONGEST_WAIT_SECONDS, lone_process.probe.probe())

    assert (await lone_process.probe.probe()).startswith("postgresql 1")


async def test_a_request_that_never_asked_the_store_does_not_open_the_gate(
    machine: RegistryMachine, lone_process: RegistryProcess, device: Device
) -> None:
    async def list_with_a_bad_cursor() -> None:
        await lone_process.devices.list_devices(
            organisation_id=device.organisation_id, narrowed_to=DeviceFilter(), limit=1, cursor="made-up"
        )

    # The connections that this leaves idle are there for the asking, frozen server or not.
    await asyncio.gather(*(read(lone_process, device) for _ in range(5)))
    with machine.frozen():
        with pytest.raises(UnavailableError):
            await read(lone_process, device)
        with pytest.raises(CursorMalformedError):
            await eventually(list_with_a_bad_cursor)

        with pytest.raises(UnavailableError):
            await within(AT_ONCE_SECONDS, read(lone_process, device))


async def cancel(*tasks: asyncio.Task[Device]) -> None:
    """Cancel requests that wait for the server; they must end without it."""
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=AT_ONCE_SECONDS)
    assert all(task.cancelled() for task in tasks)


async def test_requests_cancelled_at_a_frozen_server_end_at_once_and_neither_open_nor_close_the_gate(
    machine: RegistryMachine, lone_process: RegistryProcess, device: Device
) -> None:
    await asyncio.gather(*(read(lone_process, device) for _ in range(10)))

    with machine.frozen():
        await cancel(*(asyncio.create_task(read(lone_process, device)) for _ in range(5)))
        lone_process.gate.enter()

        lone_process.gate.failed()
        await asyncio.sleep(CLOSED_SECONDS)
        await cancel(asyncio.create_task(read(lone_process, device)))
        with pytest.raises(UnavailableError):
            lone_process.gate.enter()

    assert await eventually(lambda: read(lone_process, device)) == device


async def test_a_killed_server_is_found_again_when_it_is_back_with_everything_committed(
    machine: RegistryMachine, lone_process: RegistryProcess, device: Device
) -> None:
    await machine.kill()
    with pytest.raises(UnavailableError):
        await read(lone_process, device)
    with pytest.raises(UnavailableError):
        await lone_process.probe.probe()

    await machine.stack.start()

    assert await eventually(lambda: read(lone_process, device)) == device
    assert (await lone_process.probe.probe()).startswith("postgresql 1")


async def test_a_restart_between_two_requests_costs_at_most_a_moment(
    machine: RegistryMachine, lone_process: RegistryProcess, device: Device
) -> None:
    assert await asyncio.gather(*(read(lone_process, device) for _ in range(5))) == [device] * 5

    await machine.kill()
    await machine.stack.start()

    assert await eventually(lambda: read(lone_process, device)) == device
    assert await asyncio.gather(*(read(lone_process, device) for _ in range(5))) == [device] * 5


async def test_an_empty_database_is_unavailable_and_says_what_to_do(stack: LocalStack) -> None:
    process = RegistryProcess(await create_database(stack, f"empty_{uuid4().hex[:8]}", timescaledb=False))

    for act in (process.add_organisation, process.probe.probe):
        process.gate.succeeded()
        with pytest.raises(UnavailableError, match="run 'iotsphere migrate'"):
            await act()

    await process.engine.dispose()


async def test_tables_that_the_role_may_not_use_are_unavailable_and_say_why(stack: LocalStack) -> None:
    dsn = await create_database(stack, f"bare_{uuid4().hex[:8]}", timescaledb=False)
    upgrade("registry", dsn)
    process = RegistryProcess(dsn)
    async with process.engine.begin() as connection:
        await connection.execute(sa.text("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM current_user"))

    for act in (process.add_organisation, process.probe.probe):
        process.gate.succeeded()
        with pytest.raises(UnavailableError, match="lacks rights"):
            await act()

    await process.engine.dispose()


async def test_a_standby_is_read_and_does_not_take_writes(registry_dsn: str, process: RegistryProcess) -> None:
    organisation = await process.add_organisation()
    device, _ = await process.register(organisation)
    standby = RegistryProcess(f"{registry_dsn}&default_transaction_read_only=on")

    assert await read(standby, device) == device
    with pytest.raises(UnavailableError):
        await standby.register(organisation)
    standby.gate.succeeded()
    assert await read(standby, device) == device

    await standby.engine.dispose()


async def test_a_wrong_address_is_unavailable(machine: RegistryMachine) -> None:
    for dsn in (
        machine.dsn.replace("/iotsphere_registry?", "/nowhere?"),
        machine.dsn.replace("iotsphere_registry:", "iotsphere_registry:x"),
        "postgresql://somebody:secret@127.0.0.1:1/nowhere",
        "postgresql://somebody:secret@/nowhere?host=/nowhere",
        "postgresql://somebody:secret@127.0.0.1:1/nowhere?sslmode=require",
    ):
        process = RegistryProcess(dsn)
        with pytest.raises(UnavailableError) as refusal:
            await process.probe.probe()
        assert "secret" not in refusal.value.detail
        await process.engine.dispose()


async def idle_in_transaction(process: RegistryProcess) -> int:
    async with process.engine.connect() as connection:
        count: int = await connection.scalar(
            sa.text(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
            )
        )
    return count


async def test_cancelled_requests_leave_no_connection_behind(
    machine: RegistryMachine, lone_process: RegistryProcess, device: Device
) -> None:
    async def hold_on() -> None:
        async with lone_process.unit_of_work() as uow:
            await uow.devices.get(device.organisation_id, device.id)
            await uow._connection.execute(sa.text("SELECT pg_sleep(1)"))

    for pause_seconds in (0, 0, 0.001, 0.002, 0.005, 0.01, 0.05):
        tasks = [asyncio.create_task(hold_on()) for _ in range(15)]
        await asyncio.sleep(pause_seconds)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)

    assert await asyncio.gather(*(read(lone_process, device) for _ in range(10))) == [device] * 10
    assert lone_process.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of the pool that it is
    assert await idle_in_transaction(lone_process) == 0
