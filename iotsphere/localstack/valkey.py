"""The Valkey server of one data folder: append-only, on a socket, with one account that sees one key space."""

import hashlib
import signal
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from redis import exceptions as refusals
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from iotsphere.localstack.data_folder import OpenFolder
from iotsphere.localstack.processes import Surroundings
from iotsphere.localstack.server import Server

ADMINISTRATOR = "iotsphere_admin"
USER = "iotsphere"
SOCKET_NAME = "valkey.sock"
# @dangerous takes away KEYS, FLUSHALL, SORT, RESTORE and their like; INFO is wanted back for readiness and metrics.
USER_RIGHTS = "resetchannels ~iotsphere:* &iotsphere:* +@all -@admin -@dangerous -acl +info"


@dataclass(frozen=True)
class ValkeyAddress:
    """How the administrator and the application's user reach the server."""

    sockets: Path
    admin_password: str
    password: str

    def url(self) -> str:
        return self._url(USER, self.password)

    async def version(self) -> str:
        url = self._url(ADMINISTRATOR, self.admin_password)
        async with Redis.from_url(url, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
            return str((await client.info("server"))["valkey_version"])

    async def answers(self) -> bool:
        """Tell whether the server has its data in memory and takes connections by now."""
        try:
            await self.version()
        except (refusals.BusyLoadingError, refusals.ConnectionError, refusals.TimeoutError):
            return False
        return True

    def _url(self, user: str, password: str) -> str:
        return f"unix://{user}:{password}@{self.sockets / SOCKET_NAME}?db=0"


def launch_valkey(
    program: Path, *, address: ValkeyAddress, data: Path, sockets: OpenFolder, surroundings: Surroundings,
    log_path: Path,
) -> Server:  # fmt: skip
    """Start the server in its data folder; its settings come on standard input, where no process list shows them."""
    reaching = replace(surroundings.with_folders(sockets), cwd=data, death_signal=signal.SIGTERM)
    with tempfile.TemporaryFile() as settings:
        settings.write(_settings(address, sockets).encode())
        settings.seek(0)
        return Server.launch([program, "-"], surroundings=reaching, log_path=log_path, stdin=settings)


def _settings(address: ValkeyAddress, sockets: OpenFolder) -> str:
    return f"""\
port 0
unixsocket {sockets.inherited_path}/{SOCKET_NAME}
unixsocketperm 700
dir .
daemonize no
appendonly yes
appendfsync always
save ""
maxmemory 1gb
maxmemory-policy noeviction
user default off
user {USER} on #{_digest(address.password)} {USER_RIGHTS}
user {ADMINISTRATOR} on #{_digest(address.admin_password)} ~* &* +@all
"""


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
