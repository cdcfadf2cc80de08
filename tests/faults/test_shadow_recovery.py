"""A store that loses data under a platform at work: everything acknowledged is there, and no version goes back."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest_asyncio
from redis.asyncio import Redis

from iotsphere.cli.migrate import found_platform
from iotsphere.localstack.cache import default_cache_dir
from iotsphere.localstack.stack import LocalStack, create_database
from iotsphere.localstack.stored_secrets import Secrets
from repositories.migrations import upgrade
from tests.faults.deployment import Deployment, settings_for
from tests.faults.site import Site, eventually, open_site

SHADOWS = 30
CONNECTIONS = 8
SOME = 100
UNAVAILABLE = {503}
Disaster = Callable[[], Awaitable[None]]


@dataclass
class Recorder:
    """Writes to many shadows from several connections, and records what it is told of each."""

    site: Site
    paths: list[str] = field(default_factory=list)
    state: dict[str, dict[str, int]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    possible: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    """What was written without an answer that says whether it was made."""
    count: int = 0
    acknowledged: int = 0

    async def prepare(self) -> None:
        body = {"serial_number": uuid4().hex, "device_type": "pump"}
        device = (await self.site.http.post("/api/v1/devices", headers=self.site.headers, json=body)).json()["id"]
        base = f"/api/v1/devices/{device}"
        self.paths = [f"{base}/shadow", *(f"{base}/shadows/part-{number}" for number in range(1, SHADOWS))]

    async def record_through(self, *disasters: Disaster) -> None:
        """Go on writing through disasters, each of which comes after some work was done."""
        stop = asyncio.Event()
        recording = asyncio.create_task(self.record(stop=stop))
        for disaster in disasters:
            await self._some_more(recording)
            await disaster()
        await self._some_more(recording)
        stop.set()
        await recording

    async def _some_more(self, recording: asyncio.Task[None]) -> None:
        enough = self.acknowledged + SOME

        async def is_enough() -> bool:
            if recording.done():
                recording.result()
            return self.acknowledged >= enough

        await eventually(is_enough, within=60)

    async def record(self, *, stop: asyncio.Event) -> None:
        await asyncio.gather(
            *(self._write_on(self.paths[number::CONNECTIONS], stop) for number in range(CONNECTIONS))
        )

    async def _write_on(self, paths: list[str], stop: asyncio.Event) -> None:
        while not stop.is_set():
            for path in paths:
                await self._write(path)

    async def _write(self, path: str) -> None:
        self.count += 1
        section, key = ("desired", "reported")[self.count % 2], f"k{self.count % 7}"
        place, value = f"{section}.{key}", self.count
        possible = self.possible.setdefault((path, place), set())
        # Until the answer says that it was made, and nothing before it can be there any more.
        possible.add(value)
        try:
            answer = await self.site.http.patch(
                path, headers=self.site.headers, json={"state": {section: {key: value}}}
            )
        except httpx.TransportError:
            self.unsure.add(path)
            return
        if answer.status_code in UNAVAILABLE:
            self.unsure.add(path)
            await asyncio.sleep(0.02)
            return
        assert answer.status_code == 200, answer.text
        version = answer.json()["version"]
        known = self.versions.get(path, 0)
        assert version == known + 1 or (version > known and path in self.unsure), (path, known, version)
        self.unsure.discard(path)
        self.versions[path] = version
        self.state.setdefault(path, {})[place] = value
        possible.clear()
        self.acknowledged += 1

    async def check(self) -> None:
        """Hold every shadow, and the history of one, against the record."""
        for path, recorded in self.state.items():
            answer = await self.site.http.get(path, headers=self.site.headers)
            assert answer.status_code == 200, answer.text
            document = answer.json()
            found = {
                f"{section}.{key}": value
                for section in ("desired", "reported")
                for key, value in document["state"].get(section, {}).items()
            }
            assert document["version"] >= self.versions[path]
            if path not in self.unsure:
                assert document["version"] == self.versions[path]
            assert recorded.keys() <= found.keys()
            for place, value in found.items():
                assert value in {recorded.get(place), *self.possible[(path, place)]}
        path = self.paths[0]
        page = (await self.site.http.get(f"{path}/history?limit=500", headers=self.site.headers)).json()
        versions = [item["version"] for item in page["items"]]
        assert versions == list(range(versions[0], versions[-1] - 1, -1))


@dataclass
class Store:
    """A Valkey of its own, that a test may empty or kill."""

    folder: Path
    stack: LocalStack

    async def empty(self) -> None:
        url = self.stack.addresses.shadow_url
        assert url is not None
        password = Secrets(self.folder).get_or_make("valkey_admin_password")
        async with Redis(
            unix_socket_path=urlsplit(url).path, username="iotsphere_admin", password=password
        ) as administrator:
            await administrator.flushall()

    async def kill(self) -> None:
        """Kill the server in the middle of what it does, and start it again as ``iotsphere up`` does."""
        process = self.stack.servers[0].process
        process.kill()
        await asyncio.to_thread(process.wait)
        self.stack.revive()


@pytest_asyncio.fixture(scope="module")
async def store() -> AsyncIterator[Store]:
    folder = Path(tempfile.mkdtemp(prefix="isr-"))
    stack = LocalStack(folder, cache_dir=default_cache_dir(), provide=frozenset({"shadow"}))
    await stack.start()
    yield Store(folder, stack)
    await stack.stop()
    shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="module")
async def recorder(stack: LocalStack, registry_dsn: str, assets_dsn: str, store: Store) -> AsyncIterator[Recorder]:
    # A journal of its own as well: the generations of two stores have nothing to do with each other.
    telemetry_dsn = await create_database(stack, "shadow_faults", timescaledb=False)
    upgrade("telemetry", telemetry_dsn)
    dsns = {"registry": registry_dsn, "assets": assets_dsn, "telemetry": telemetry_dsn}
    assert store.stack.addresses.shadow_url is not None
    settings = settings_for(dsns, store.stack.addresses.shadow_url)
    await found_platform(settings)
    with Deployment(settings, {}).running() as http:
        recorder = Recorder(await open_site(http))
        await recorder.prepare()
        yield recorder
        await http.aclose()


async def test_a_store_that_is_emptied_under_load_comes_back_with_everything_that_was_acknowledged(
    recorder: Recorder, store: Store
) -> None:
    await recorder.record_through(store.empty, store.empty)

    await recorder.check()


async def test_a_store_that_is_killed_under_load_comes_back_with_everything_that_was_acknowledged(
    recorder: Recorder, store: Store
) -> None:
    await recorder.record_through(store.kill, store.kill)

    await recorder.check()
