"""A platform that takes readings, on stores of its own that may be killed, and devices that send to it."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from iotsphere.cli.migrate import found_platform
from iotsphere.config import read_settings
from iotsphere.localstack.cache import default_cache_dir
from iotsphere.localstack.stack import LocalStack
from repositories.migrations import upgrade
from tests.faults.deployment import Deployment, settings_for
from tests.faults.site import START_SECONDS, eventually, open_site
from tests.faults.telemetry_recorder import TelemetryRecorder

CLASSES = "/api/v1/telemetry/retention-classes"


@dataclass
class TelemetryScene:
    deployment: Deployment
    stack: LocalStack
    recorder: TelemetryRecorder

    async def is_ready(self) -> bool:
        try:
            return (await self.recorder.site.http.get("/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    async def define_class(self, name: str, **rule: object) -> None:
        site = self.recorder.site
        answer = await site.http.put(f"{CLASSES}/{name}", headers=site.headers, json=rule)
        assert answer.status_code in {200, 201}, answer.text

    async def remove_class(self, name: str) -> None:
        site = self.recorder.site
        answer = await site.http.delete(f"{CLASSES}/{name}", headers=site.headers)
        assert answer.status_code == 204, answer.text

    async def kill_process(self) -> None:
        """Kill the process that serves in the middle of what it does, and start it again."""
        await asyncio.to_thread(self.deployment.kill, "serve")
        await self._serve_again()

    async def stop_process(self) -> None:
        """End it in good order, and start it again."""
        await asyncio.to_thread(self.deployment.stop)
        await self._serve_again()

    async def _serve_again(self) -> None:
        self.deployment.start("serve")
        await eventually(self.is_ready, within=START_SECONDS)

    async def kill_database(self) -> None:
        """Kill the database's first process; the others end when they notice, and until then none is started."""
        postgres = next(server for server in self.stack.servers if "shadow" not in server.name.lower())
        postgres.process.kill()
        await asyncio.to_thread(postgres.process.wait)
        await self.come_back()

    async def come_back(self) -> None:
        """Wait until all is well again; servers that have ended are started as the platform's own process does it."""

        async def is_back() -> bool:
            self.stack.revive()
            return await self.is_ready()

        await eventually(is_back, within=START_SECONDS)


@asynccontextmanager
async def telemetry_scene(*, seed: int, within: Path | None = None) -> AsyncIterator[TelemetryScene]:
    folder = Path(tempfile.mkdtemp(prefix="ist-", dir=within))
    stack = LocalStack(folder, cache_dir=read_settings().cache_dir or default_cache_dir())
    try:
        addresses = await stack.start()
        dsns = {
            "registry": addresses.registry_dsn or "",
            "assets": addresses.assets_dsn or "",
            "telemetry": addresses.telemetry_dsn or "",
        }
        for store, dsn in dsns.items():
            upgrade(store, dsn)
        settings = settings_for(dsns, addresses.shadow_url or "")
        await found_platform(settings)
        deployment = Deployment(settings, {})
        with deployment.running("serve") as http:
            recorder = TelemetryRecorder(await open_site(http), seed)
            await recorder.prepare()
            yield TelemetryScene(deployment, stack, recorder)
            await http.aclose()
    finally:
        await stack.stop()
        shutil.rmtree(folder, ignore_errors=True)
