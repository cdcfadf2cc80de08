"""A shadow store that a test may empty, kill, and start again with an older file or none."""

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis

from iotsphere.localstack.cache import default_cache_dir
from iotsphere.localstack.stack import LocalStack
from iotsphere.localstack.stored_secrets import Secrets
from repositories.shadow.keys import CHANGES
from tests.faults.site import eventually


def copy(source: Path, target: Path) -> None:
    """Copy a folder of the server's, which may run as another user."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    owner = target.parent.stat()
    for path in [target, *target.iterdir()]:
        os.chown(path, owner.st_uid, owner.st_gid)


@dataclass
class EndangeredStore:
    """A Valkey of its own, which keeps its address whatever happens to it."""

    folder: Path
    stack: LocalStack

    @classmethod
    async def start_in(cls, folder: Path) -> "EndangeredStore":
        stack = LocalStack(folder, cache_dir=default_cache_dir(), provide=frozenset({"shadow"}))
        await stack.start()
        return cls(folder, stack)

    @property
    def url(self) -> str:
        assert self.stack.addresses.shadow_url is not None
        return self.stack.addresses.shadow_url

    @property
    def log(self) -> Path:
        return self.folder / "shadow" / "appendonlydir"

    @property
    def older_log(self) -> Path:
        return self.folder / "older"

    def administrator(self) -> Redis:
        password = Secrets(self.folder).get_or_make("valkey_admin_password")
        return Redis(unix_socket_path=urlsplit(self.url).path, username="iotsphere_admin", password=password)

    async def empty(self) -> None:
        async with self.administrator() as administrator:
            await administrator.flushall()

    async def halt(self, *, is_killed: bool = True) -> None:
        process = self.stack.servers[0].process
        if is_killed:
            process.kill()
        else:
            process.terminate()
        await asyncio.to_thread(process.wait)

    async def restart(self) -> None:
        """Start the server again as ``iotsphere up`` does, and leave it to others to wait for it."""
        self.stack.revive()

    async def kill(self) -> None:
        await self.halt()
        await self.restart()

    async def put_log_aside(self) -> None:
        """Copy the log as it is, while it is written."""
        copy(self.log, self.older_log)

    async def go_back(self) -> None:
        """Kill the server, and start it again with the log that was put aside."""
        await self.halt()
        copy(self.older_log, self.log)
        await self.restart()

    def remove_log(self) -> None:
        shutil.rmtree(self.log)

    async def see_journal_catch_up(self, *, within: float) -> None:
        """Wait until the journal has what waits for it now."""
        async with self.administrator() as administrator:
            newest: Any = await administrator.xrevrange(CHANGES, count=1)

            async def is_past() -> bool:
                return not newest or not await administrator.xrange(CHANGES, max=newest[0][0], count=1)

            await eventually(is_past, within=within)

    async def is_journalled_lately(self, *, within: float) -> bool:
        """Tell whether whatever waits for the journal has waited for less than these seconds."""
        async with self.administrator() as administrator:
            oldest: Any = await administrator.xrange(CHANGES, count=1)
            seconds, microseconds = await administrator.time()
        made_at = int(oldest[0][0].split(b"-")[0]) / 1000 if oldest else float("inf")
        return bool(seconds + microseconds / 1e6 - made_at < within)
