"""What a PostgreSQL that freezes, dies or is empty costs, and that nothing more is needed once it is back."""

import asyncio
import time
from uuid import uuid4

import pytest
import sqlalchemy as sa

from iotsphere.kernel.errors import DomainError, UnavailableError
from iotsphere.localstack.stack import LocalStack, create_database
from iotsphere.registry.model import Device, DeviceFilter
from tests.integration.registry.conftest import RegistryMachine, RegistryProcess, eventually, within

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
    async def read_and_meet_the_freeze(*, committing: bool) -> None:
        async with lone_process.unit_of_work() as uow:
            await uow.devices.get(device.organisation_id, device.id, for_update=True)
            freeze.__enter__()
            if committing:
                await uow.commit()

    for committing in (False, True):
        freeze = machine.frozen()
        try:
            with pytest.raises(UnavailableError):
                await within(LONGEST_WAIT_SECONDS, read_and_meet_the_freeze(committing=committing))
        finally:
            freeze.__exit__(None, None, None)
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
    with machine.frozen():
        with pytest.raises(UnavailableError):
            await read(lone_process, device)
        deadline = time.monotonic() + LONGEST_WAIT_SECONDS
        while time.monotonic() < deadline:
            with pytest.raises(DomainError) as refusal:
                await lone_process.devices.list_devices(
                    organisation_id=device.organisation_id, narrowed_to=DeviceFilter(), limit=1, cursor="made-up"
                )
            if not isinstance(refusal.value, UnavailableError):
                break
            await asyncio.sleep(0.02)

        with pytest.raises(UnavailableError):
            await within(AT_ONCE_SECONDS, read(lone_process, device))


async def test_requests_cancelled_at_a_frozen_server_end_at_once_and_say_nothing_of_it(
    machine: RegistryMachine, lone_process: RegistryProcess, device: Device
) -> None:
    with machine.frozen():
        reading = [asyncio.create_task(read(lone_process, device)) for _ in range(5)]
        await asyncio.sleep(0.1)
        for task in reading:
            task.cancel()
        _, waiting = await asyncio.wait(reading, timeout=AT_ONCE_SECONDS)

        assert not waiting
        assert all(task.cancelled() for task in reading)

    assert await read(lone_process, device) == device


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
