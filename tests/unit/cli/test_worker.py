"""The worker goes on whatever happens to one of its tasks."""

import asyncio

from dependency_injector import providers
from structlog.testing import capture_logs

from iotsphere.cli.roles.worker import go_on
from iotsphere.containers.application import create_container
from tests.api.bench import NOWHERE
from tests.factories.identity import FIRST_DAY
from tests.fakes.identity import KeptIdempotencyRecord
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables

TASKS = 5


class RegistryThatFailsAtFirst:
    """A registry that fails each task once, in a way that nobody has thought of."""

    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.asked = 0

    def __call__(self) -> InMemoryRegistryUnitOfWork:
        self.asked += 1
        if self.asked <= TASKS:
            raise RuntimeError("could not read block 7")
        return InMemoryRegistryUnitOfWork(self.tables)


async def test_what_fails_unforeseen_is_begun_anew_and_ends_nothing_else() -> None:
    registry, stop = RegistryThatFailsAtFirst(), asyncio.Event()
    registry.tables.idempotency["user:1", "key"] = KeptIdempotencyRecord(b"request", FIRST_DAY)
    container = create_container(NOWHERE)
    container.stores.registry_unit_of_work.override(providers.Factory(registry))

    with capture_logs() as logs:
        working = asyncio.create_task(go_on(container, stop=stop))
        async with asyncio.timeout(10):
            while registry.tables.idempotency or not registry.tables.signing_keys:  # noqa: ASYNC110  # only a look tells
                await asyncio.sleep(0.01)
        stop.set()
        await asyncio.wait_for(working, timeout=10)

    # Delivery answers for itself.
    assert sorted(line["event"] for line in logs if line["log_level"] == "error") == [
        *["upkeep.failed"] * (TASKS - 1),
        "worker.events.failed",
    ]
