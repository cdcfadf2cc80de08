"""A store that loses data under a platform at work: everything acknowledged is there, and no version goes back."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest_asyncio

from iotsphere.cli.migrate import found_platform
from iotsphere.localstack.stack import LocalStack, create_database
from repositories.migrations import upgrade
from tests.faults.deployment import Deployment, settings_for
from tests.faults.shadow_recorder import LOST_SECONDS, Recorder
from tests.faults.shadow_store import EndangeredStore
from tests.faults.site import START_SECONDS, eventually, open_site


@dataclass
class Scene:
    """A platform at work, its store, and a client that writes to it and remembers."""

    deployment: Deployment
    store: EndangeredStore
    recorder: Recorder

    async def is_ready(self) -> bool:
        try:
            return (await self.recorder.site.http.get("/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    async def kill_process(self, role: str) -> None:
        """Kill a process in the middle of what it does, and start it again as ``iotsphere up`` does."""
        await asyncio.to_thread(self.deployment.kill, role)
        self.deployment.start(role)
        await eventually(self.is_ready, within=START_SECONDS)
        # A worker has no readiness that could be asked for.
        await self.store.see_journal_catch_up(within=START_SECONDS)

    async def kill_everything(self) -> None:
        """Kill all processes and the store while the journal is up to date within half of what may be lost."""

        async def is_journalled() -> bool:
            return await self.store.is_journalled_lately(within=LOST_SECONDS / 2)

        await eventually(is_journalled, within=START_SECONDS)
        await asyncio.gather(self.store.halt(), asyncio.to_thread(self.deployment.kill))

    async def start_everything(self) -> None:
        await self.store.restart()
        self.deployment.start()
        await eventually(self.is_ready, within=START_SECONDS)
        await self.store.see_journal_catch_up(within=START_SECONDS)


@pytest_asyncio.fixture(scope="module")
async def store() -> AsyncIterator[EndangeredStore]:
    folder = Path(tempfile.mkdtemp(prefix="isr-"))
    store = await EndangeredStore.start_in(folder)
    yield store
    await store.stack.stop()
    shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="module")
async def scene(
    stack: LocalStack, registry_dsn: str, assets_dsn: str, store: EndangeredStore
) -> AsyncIterator[Scene]:
    # A journal of its own as well: the generations of two stores have nothing to do with each other.
    telemetry_dsn = await create_database(stack, "shadow_faults", timescaledb=False)
    upgrade("telemetry", telemetry_dsn)
    dsns = {"registry": registry_dsn, "assets": assets_dsn, "telemetry": telemetry_dsn}
    settings = settings_for(dsns, store.url)
    await found_platform(settings)
    deployment = Deployment(settings, {})
    with deployment.running() as http:
        recorder = Recorder(await open_site(http))
        await recorder.prepare()
        yield Scene(deployment, store, recorder)
        await http.aclose()


# The order matters: with a process that was killed, or a server with changes under way, versions may go on further at
# the next loss, for as long as what they knew is reckoned with.


async def test_a_store_that_is_emptied_under_load_comes_back_with_everything_that_was_acknowledged(
    scene: Scene,
) -> None:
    await scene.recorder.record_through(scene.store.empty, scene.store.empty)

    await scene.recorder.check()


async def test_a_platform_that_was_stopped_in_good_order_comes_back_the_same_without_the_folder_of_its_store(
    scene: Scene,
) -> None:
    await scene.recorder.record_through()
    before = await scene.recorder.show()
    await asyncio.to_thread(scene.deployment.stop)
    await scene.store.halt(is_killed=False)
    scene.store.remove_log()

    await scene.start_everything()

    assert await scene.recorder.show() == before
    await scene.recorder.check()


async def test_a_store_that_is_killed_under_load_comes_back_with_everything_that_was_acknowledged(
    scene: Scene,
) -> None:
    await scene.recorder.record_through(scene.store.kill, scene.store.kill)

    await scene.recorder.check()


async def test_a_store_that_comes_back_with_an_older_file_under_load_is_brought_up_to_what_was_acknowledged(
    scene: Scene,
) -> None:
    # Of a change that was under way when the server was killed nobody knows whether it was lost.
    scene.recorder.may_skip = True
    await scene.recorder.record_through(scene.store.put_log_aside, scene.store.go_back)

    await scene.recorder.check()
    scene.recorder.may_skip = False


async def test_processes_that_are_killed_under_load_cost_nothing_that_was_acknowledged(scene: Scene) -> None:
    await scene.recorder.record_through(lambda: scene.kill_process("serve"), lambda: scene.kill_process("worker"))

    await scene.recorder.check()


async def test_with_the_store_and_everybody_gone_what_was_desired_is_there_and_no_version_goes_back(
    scene: Scene,
) -> None:
    await scene.recorder.record_until(scene.kill_everything)
    lost_since = time.monotonic() - LOST_SECONDS
    scene.store.remove_log()

    await scene.start_everything()

    await scene.recorder.check(lost_since=lost_since)
    await scene.recorder.forget_what_was_lost()
    await scene.recorder.record_through()
    await scene.recorder.check()
