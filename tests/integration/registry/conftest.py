import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from uuid import uuid4

import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.identity.model import Organisation
from iotsphere.kernel.clock import utc_now
from iotsphere.localstack.cache import default_cache_dir
from iotsphere.localstack.stack import LocalStack
from iotsphere.registry.model import Device, OutboxEvent
from iotsphere.registry.service import DeviceRegistryService
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.registry.unit_of_work import SqlAlchemyRegistryUnitOfWork
from repositories.sql import SqlAlchemyStoreProbe, create_store_engine
from tests.factories.identity import build_attempt, build_organisation

T = TypeVar("T")


class RegistryProcess:
    """What one process of the platform has of the registry: an engine, a gate and services of its own."""

    def __init__(self, dsn: str) -> None:
        self.engine: AsyncEngine = create_store_engine(dsn)
        self.gate = StoreGate("registry")
        self.probe = SqlAlchemyStoreProbe(self.engine, self.gate)
        self.devices = DeviceRegistryService(unit_of_work=self.unit_of_work, clock=utc_now, new_id=uuid4)

    def unit_of_work(self) -> SqlAlchemyRegistryUnitOfWork:
        return SqlAlchemyRegistryUnitOfWork(self.engine, self.gate)

    async def add_organisation(self) -> Organisation:
        organisation = build_organisation()
        async with self.unit_of_work() as uow:
            await uow.organisations.add(organisation)
            await uow.commit()
        return organisation

    async def register(self, organisation: Organisation, **given: Any) -> tuple[Device, OutboxEvent]:
        description: dict[str, Any] = {
            "attempt": build_attempt(organisation_id=organisation.id),
            "serial_number": str(uuid4()),
            "device_type": "pump",
            "name": None,
            "labels": {},
            "asset": {},
        }
        return await self.devices.register_device(**description | given)


@pytest_asyncio.fixture
async def process(registry_dsn: str) -> AsyncIterator[RegistryProcess]:
    process = RegistryProcess(registry_dsn)
    yield process
    await process.engine.dispose()


@pytest_asyncio.fixture
async def ours(process: RegistryProcess) -> Organisation:
    return await process.add_organisation()


@dataclass
class RegistryMachine:
    """A PostgreSQL that a test may freeze, kill and start again, reached under one address all the while."""

    folder: Path
    stack: LocalStack

    @property
    def dsn(self) -> str:
        assert self.stack.addresses.registry_dsn is not None
        # The stack's link to its sockets stays where it is; the folder behind it is another at each start.
        return self.stack.addresses.registry_dsn.replace(
            str((self.folder / "sockets").readlink()), f"{self.folder}/sockets"
        )

    def process_ids(self) -> list[int]:
        """Give the server's processes, the one that starts the others first."""
        postmaster = self.stack.servers[0].process.pid
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(encoding="ascii")
        return [postmaster, *map(int, children.split())]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        stopped = []
        try:
            # The first cannot start another once it is stopped, so none is missed.
            os.kill(self.process_ids()[0], signal.SIGSTOP)
            stopped = self.process_ids()
            for process_id in stopped[1:]:
                os.kill(process_id, signal.SIGSTOP)
            yield
        finally:
            for process_id in stopped:
                # One that was about to end may have ended.
                with suppress(ProcessLookupError):
                    os.kill(process_id, signal.SIGCONT)

    async def kill(self) -> None:
        os.kill(self.process_ids()[0], signal.SIGKILL)
        await self.stack.wait_for_exit()
        await self.stack.stop()


@pytest_asyncio.fixture(scope="session")
async def machine() -> AsyncIterator[RegistryMachine]:
    with TemporaryDirectory(prefix="registry-") as folder:
        stack = LocalStack(Path(folder), cache_dir=default_cache_dir(), provide=frozenset({"registry"}))
        await stack.start()
        machine = RegistryMachine(Path(folder), stack)
        upgrade("registry", machine.dsn)
        yield machine
        await stack.stop()


@pytest_asyncio.fixture
async def lone_process(machine: RegistryMachine) -> AsyncIterator[RegistryProcess]:
    """A process of the server that may be frozen and killed."""
    process = RegistryProcess(machine.dsn)
    yield process
    await process.engine.dispose()


async def within(seconds: float, act: Awaitable[T]) -> T:
    """Wait for what must not take longer; unlike ``wait_for``, which waits on for what it has cancelled."""
    task = asyncio.ensure_future(act)
    await asyncio.wait([task], timeout=seconds)
    assert task.done(), f"It had not ended after {seconds} s."
    return task.result()
