"""The stores of one data folder, started and stopped together. See docs/adr/0004-local-stack.md."""

import asyncio
import secrets
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
from redis.exceptions import RedisError

from iotsphere.localstack.account import server_account
from iotsphere.localstack.data_folder import DataFolder, open_folder
from iotsphere.localstack.errors import LocalStackError
from iotsphere.localstack.postgres import PostgresAddress, launch_postgres, make_cluster
from iotsphere.localstack.processes import Surroundings
from iotsphere.localstack.programs import PostgresPrograms, find_postgres, find_valkey
from iotsphere.localstack.provisioning import close_shared_databases, provision_database, provision_timescaledb
from iotsphere.localstack.server import Server
from iotsphere.localstack.sockets import private_socket_folder
from iotsphere.localstack.stored_secrets import Secrets
from iotsphere.localstack.valkey import ValkeyAddress, launch_valkey

SQL_STORES = ("registry", "assets", "telemetry")
ALL_STORES = frozenset({*SQL_STORES, "shadow"})
FIRST_READY_SECONDS = 60.0
# A killed server replays its log before it answers; one that fails ends, and is noticed without this wait.
READY_SECONDS = 120.0
# Two servers, after an application that has five seconds: the whole ends within ten. A killed one replays its log.
STOP_SECONDS = 2.5


@dataclass(frozen=True)
class StoreAddresses:
    """Where the application finds the stores; None for a store that this stack does not provide."""

    registry_dsn: str | None = None
    assets_dsn: str | None = None
    telemetry_dsn: str | None = None
    shadow_url: str | None = None


def ignore_progress(message: str, fraction: float | None) -> None:
    """Show nobody what the stack is doing."""


class LocalStack:
    """Real servers for the stores in `provide`, all data under `data_dir`, all programs under `cache_dir`.

    :param report: told what is being done, with the share done where it is known.
    :param durable: False lets a power failure cost the data, for tests.
    :param timescaledb: False takes the PostgreSQL without the extension even where the other can be had.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        cache_dir: Path,
        provide: frozenset[str] = ALL_STORES,
        report: Callable[[str, float | None], None] = ignore_progress,
        durable: bool = True,
        timescaledb: bool = True,
    ) -> None:
        self.addresses = StoreAddresses()
        self.engines: dict[str, str | None] = {}
        self.databases: PostgresAddress | None = None
        self.servers: list[Server] = []
        self._data = DataFolder(data_dir.absolute())
        self._secrets = Secrets(self._data.path)
        self._cache_dir = cache_dir.absolute()
        self._provide = provide
        self._report = report
        self._durable = durable
        self._timescaledb = timescaledb
        self._cleanup = AsyncExitStack()
        self._launchers: dict[str, Callable[[], Server]] = {}

    async def start(self) -> StoreAddresses:
        """Start the servers, at the first time fetching and preparing what they need, and wait until they answer.

        :raises LocalStackError: they cannot be had; nothing is left running.
        """
        if self.servers:
            raise LocalStackError("this stack is running already")
        try:
            async with AsyncExitStack() as cleanup:
                cleanup.callback(self._forget)
                self.addresses = await self._start(cleanup)
                self._cleanup = cleanup.pop_all()
        except OSError as error:
            place = error.filename or self._data.path
            raise LocalStackError(f"the local servers cannot start: {error.strerror}: {place}") from error
        except (psycopg.Error, RedisError) as error:
            reason = str(error).partition("\n")[0]
            raise LocalStackError(f"the local servers cannot be prepared: {reason}") from error
        return self.addresses

    async def stop(self) -> None:
        """Stop the servers in good order, the latest first; those that do not end in time are killed."""
        cleanup, self._cleanup = self._cleanup, AsyncExitStack()
        await cleanup.aclose()

    async def wait_for_exit(self) -> str:
        """Wait until a server ends by itself and return its name."""
        while True:
            for server in self.servers:
                if server.process.poll() is not None:
                    return server.name
            await asyncio.sleep(0.2)

    def revive(self) -> list[str]:
        """Launch again the servers that have ended by themselves, and return their names.

        They keep their addresses; until one answers, those who need it are told that it does not.
        """
        ended = [server.name for server in self.servers if server.process.poll() is not None]
        self.servers = [self._launchers[server.name]() if server.name in ended else server for server in self.servers]
        return ended

    def _forget(self) -> None:
        self.servers = []
        self.databases = None
        self.addresses = StoreAddresses()

    async def _start(self, cleanup: AsyncExitStack) -> StoreAddresses:
        account = server_account()
        lock = await cleanup.enter_async_context(self._data.held())
        sockets = cleanup.enter_context(private_socket_folder(self._data.path / "sockets", account))
        surroundings = Surroundings(account, descriptors=(lock,))
        databases: dict[str, str] = {}
        if not self._provide.isdisjoint(SQL_STORES):
            self.databases = await self._start_postgres(cleanup, surroundings, sockets)
            databases = await self._provision(self.databases)
        shadow_url = None
        if "shadow" in self._provide:
            shadow_url = await self._start_valkey(cleanup, surroundings, sockets)
        return StoreAddresses(
            registry_dsn=databases.get("registry"),
            assets_dsn=databases.get("assets"),
            telemetry_dsn=databases.get("telemetry"),
            shadow_url=shadow_url,
        )

    async def _start_postgres(
        self, cleanup: AsyncExitStack, surroundings: Surroundings, sockets: Path
    ) -> PostgresAddress:
        programs = await self._find_postgres()
        password = self._secrets.get_or_make("postgresql_admin_password")
        found = self._data.server_folder("postgres", surroundings.account)
        cluster = found or await self._make_cluster(programs, surroundings, sockets, password)
        self._report("Starting PostgreSQL", None)

        def launch() -> Server:
            with open_folder(cluster) as opened, open_folder(sockets) as opened_sockets:
                return launch_postgres(
                    programs,
                    cluster=opened,
                    sockets=opened_sockets,
                    surroundings=surroundings,
                    durable=self._durable,
                    log_path=self._data.log_path("postgres"),
                )

        server = self._launch(cleanup, launch, signal.SIGINT)
        address = PostgresAddress(sockets, password, programs.timescaledb)
        await server.until_ready(address.answers, timeout_seconds=READY_SECONDS if found else FIRST_READY_SECONDS)
        return address

    async def _make_cluster(
        self, programs: PostgresPrograms, surroundings: Surroundings, sockets: Path, password: str
    ) -> Path:
        self._report("Preparing the databases", None)
        self._data.record_version(programs.major)
        with (
            self._data.new_server_folder("postgres", surroundings.account) as draft,
            open_folder(draft) as opened,
            open_folder(sockets) as opened_sockets,
        ):
            await make_cluster(
                opened,
                programs=programs,
                sockets=opened_sockets,
                surroundings=surroundings,
                password=password,
                durable=self._durable,
            )
        return self._data.path / "postgres"

    async def _find_postgres(self) -> PostgresPrograms:
        _, major = self._data.version()
        return await find_postgres(
            self._cache_dir, wanted_major=major, want_timescaledb=self._timescaledb, report=self._report
        )

    def _launch(self, cleanup: AsyncExitStack, launch: Callable[[], Server], stop_signal: signal.Signals) -> Server:
        server = launch()
        self.servers.append(server)
        self._launchers[server.name] = launch

        async def stop() -> None:
            # By name: the server that runs at the end may be another than the one that was started first.
            running = next(each for each in self.servers if each.name == server.name)
            await running.stop(stop_signal, timeout_seconds=STOP_SECONDS)

        cleanup.push_async_callback(stop)
        return server

    async def _provision(self, address: PostgresAddress) -> dict[str, str]:
        dsns = {}
        async with await address.connect() as connection:
            await close_shared_databases(connection)
            for store in SQL_STORES:
                if store in self._provide:
                    name = f"iotsphere_{store}"
                    password = self._secrets.get_or_make(f"{name}_password")
                    await provision_database(connection, name, password)
                    dsns[store] = address.dsn(role=name, password=password, database=name)
            self.engines["postgresql"] = str(connection.info.parameter_status("server_version")).split()[0]
        self.engines["timescaledb"] = None
        if address.timescaledb and "telemetry" in dsns:
            self.engines["timescaledb"] = await provision_timescaledb(address, "iotsphere_telemetry")
        return dsns

    async def _start_valkey(self, cleanup: AsyncExitStack, surroundings: Surroundings, sockets: Path) -> str:
        program = await find_valkey(self._cache_dir)
        self._report("Starting Valkey", None)
        address = ValkeyAddress(
            sockets,
            admin_password=self._secrets.get_or_make("valkey_admin_password"),
            password=self._secrets.get_or_make("valkey_password"),
        )
        data = self._data.server_folder("shadow", surroundings.account)
        if data is None:
            with self._data.new_server_folder("shadow", surroundings.account):
                data = self._data.path / "shadow"
        folder = data

        def launch() -> Server:
            with open_folder(sockets) as opened:
                return launch_valkey(
                    program,
                    address=address,
                    data=folder,
                    sockets=opened,
                    surroundings=surroundings,
                    log_path=self._data.log_path("valkey"),
                )

        server = self._launch(cleanup, launch, signal.SIGTERM)
        await server.until_ready(address.answers, timeout_seconds=READY_SECONDS)
        self.engines["valkey"] = await address.version()
        return address.url()


async def create_database(stack: LocalStack, name: str, *, timescaledb: bool) -> str:
    """Make one more database on the stack's PostgreSQL, with its own role of the same name, and return its DSN.

    :raises LocalStackError: the stack has no such server.
    """
    address = stack.databases
    if address is None or (timescaledb and not address.timescaledb):
        raise LocalStackError(
            f"this stack has no PostgreSQL {'with TimescaleDB ' if timescaledb else ''}to make {name} on"
        )
    password = secrets.token_urlsafe(32)
    async with await address.connect() as connection:
        await provision_database(connection, name, password)
    if timescaledb:
        await provision_timescaledb(address, name)
    return address.dsn(role=name, password=password, database=name)
