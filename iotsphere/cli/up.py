"""``iotsphere up``: the whole platform on this machine, from one command to the last process stopped."""

import asyncio
import shutil
import socket
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from os.path import relpath
from pathlib import Path
from signal import SIGTERM
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

from iotsphere.cli.errors import CommandError
from iotsphere.cli.main import ROLE_PACKAGE
from iotsphere.cli.migrate import found_platform, migrate_stores
from iotsphere.cli.services import load_services, stores_to_provide
from iotsphere.cli.settings import ARCHIVE_FOLDER, DEFAULT_DATA_DIR
from iotsphere.cli.signals import stop_requested
from iotsphere.config import DEFAULT_PORT, Settings, child_environment, read_settings
from iotsphere.localstack.cache import default_cache_dir
from iotsphere.localstack.data_folder import DataFolder
from iotsphere.localstack.errors import LocalStackError
from iotsphere.localstack.processes import OUR_OWN, Process, has_ended, kill
from iotsphere.localstack.stack import LocalStack, StoreAddresses
from iotsphere.localstack.stored_secrets import Secrets

ROLES = ("serve", "worker")
ANSWER_SECONDS = 30.0
PROGRAM_STOP_SECONDS = 5.0
SHORTEST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 10.0


def up(
    data_dir: Annotated[Path | None, typer.Option(help="Where all data is kept; DATA_DIR, or ./data.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The HTTP port; PORT, or 8080.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Keep a simulated fleet running on it.")] = False,
) -> None:
    """Start everything on this machine: the stores that no DSN names, their schemas, HTTP and the worker."""
    settings = read_settings()
    folder = (data_dir or settings.data_dir or DEFAULT_DATA_DIR).expanduser().absolute()
    platform = Platform(replace(settings, port=port or settings.port), folder, has_demo=demo)
    try:
        asyncio.run(platform.run())
    except LocalStackError as error:
        raise CommandError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


@dataclass(frozen=True, slots=True)
class Program:
    """What the interpreter is started with, so that it can be started again."""

    arguments: list[str]
    environment: dict[str, str]


@dataclass
class Platform:
    """The stores of a data folder and the processes that work on them, started and stopped together."""

    settings: Settings
    data_dir: Path
    has_demo: bool = False
    console: Console = field(default_factory=Console)
    processes: dict[str, Process] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    stack: LocalStack = field(init=False)
    provided: frozenset[str] = field(init=False)
    password: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.provided = stores_to_provide(self.settings)
        self.stack = LocalStack(
            self.data_dir,
            cache_dir=self.settings.cache_dir or default_cache_dir(),
            provide=self.provided,
            report=self._report,
        )
        self._status: Status = self.console.status("Starting")

    async def run(self) -> None:
        """Run until a signal asks for the end.

        :raises CommandError: the platform could not start; nothing is left running.
        :raises LocalStackError: likewise, of the local servers.
        """
        check_port(self.settings)
        stop = stop_requested()
        try:
            with self._status:
                if not await _before(stop, self._start()):
                    return
            await _before(stop, self._watch())
        finally:
            if self.processes or self.stack.servers:
                self._report("Stopping", None)
            await self._stop_programs()
            await self.stack.stop()
            # A start that does not come to its end may have made the administrator all the same.
            self._show_password()

    async def _start(self) -> None:
        began = time.perf_counter()
        self._check_data_dir()
        # Loaded by the time that there is a registry to work on, which is ready before it has an administrator.
        addresses, _ = await asyncio.gather(self._provide_stores(), asyncio.to_thread(load_services))
        self._adopt(addresses)
        self._report("Starting the application", None)
        # The roles need no store to start, so they load while the schemas are brought up to date.
        for role in ROLES:
            self._run_program(role, Program(["-m", f"{ROLE_PACKAGE}.{role}"], child_environment(self.settings)))
        # What takes minutes after an upgrade of a large fleet is called by its name.
        self._report("Bringing the schemas up to date", None)
        await asyncio.to_thread(migrate_stores, self.settings)
        await self._found()
        await self._until_it_answers()
        if self.has_demo:
            self._start_demo(self.password or self.settings.admin_password)
        self._status.stop()
        self._show_summary(seconds=time.perf_counter() - began)

    async def _provide_stores(self) -> StoreAddresses:
        return await self.stack.start() if self.provided else StoreAddresses()

    async def _found(self) -> None:
        """Make the administrator, once. Even a request to stop waits for it: nobody could tell the password later."""
        founding = asyncio.ensure_future(found_platform(self.settings))
        try:
            await asyncio.shield(founding)
        finally:
            self.password = await founding

    def _check_data_dir(self) -> None:
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError as error:
            what = "a link that leads nowhere" if self.data_dir.is_symlink() else "a file"
            raise CommandError(f"The data folder {self.data_dir} cannot be used: it is {what}.") from error
        except OSError as error:
            raise CommandError(f"The data folder {self.data_dir} cannot be used: {error.strerror}.") from error

    def _start_demo(self, password: str | None) -> None:
        if password is None:
            raise CommandError("The demo logs in as the administrator: set IOTSPHERE_ADMIN_PASSWORD.")
        login = {"IOTSPHERE_URL": local_address(self.settings), "IOTSPHERE_ADMIN_PASSWORD": password}
        environment = child_environment(self.settings) | login
        self._run_program("demo", Program(["-m", "iotsphere", "simulate", "--live", "--hours", "6"], environment))

    def _adopt(self, addresses: StoreAddresses) -> None:
        given = {
            name: getattr(addresses, name)
            for name in ("registry_dsn", "assets_dsn", "telemetry_dsn", "shadow_url")
            if getattr(addresses, name) is not None
        }
        secret_key = self.settings.secret_key or Secrets(self.data_dir).get_or_make("secret_key")
        archive_dir = self.settings.archive_dir or self.data_dir / ARCHIVE_FOLDER
        self.settings = replace(self.settings, secret_key=secret_key, archive_dir=archive_dir, **given)

    def _run_program(self, name: str, program: Program) -> None:
        self.programs[name] = program
        with DataFolder(self.data_dir).log_path(name).open("ab") as log:
            surroundings = replace(OUR_OWN, environment=program.environment, death_signal=SIGTERM)
            self.processes[name] = surroundings.spawn([sys.executable, *program.arguments], output=log)

    async def _until_it_answers(self) -> None:
        deadline = time.monotonic() + ANSWER_SECONDS
        async with httpx.AsyncClient(base_url=local_address(self.settings), timeout=2, trust_env=False) as client:
            while time.monotonic() < deadline:
                self._check_programs()
                try:
                    await client.get("/health/live")
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                else:
                    return
        raise CommandError(f"The application did not answer within {ANSWER_SECONDS:.0f} s. {self._see_logs()}")

    async def _watch(self) -> None:
        """Start again whatever ends by itself, at once at first, then less and less often while it goes on ending."""
        delay = SHORTEST_DELAY_SECONDS
        while True:
            await asyncio.sleep(delay)
            ended = [*self.stack.revive(), *self._revive_programs()]
            for name in ended:
                self.console.print(f"{name} ended by itself and is started again. {self._see_logs()}", soft_wrap=True)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS) if ended else SHORTEST_DELAY_SECONDS

    def _revive_programs(self) -> list[str]:
        ended = [name for name, process in self.processes.items() if process.poll() is not None]
        for name in ended:
            self._run_program(name, self.programs[name])
        return ended

    def _check_programs(self) -> None:
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise CommandError(
                    f"The process {name!r} ended with exit status {process.returncode}. {self._see_logs()}"
                )

    def _see_logs(self) -> str:
        return f"See the logs in {self.data_dir / 'log'}."

    async def _stop_programs(self) -> None:
        """End the application before the stores, so that what it has taken on is written."""
        for process in self.processes.values():
            process.terminate()
        await asyncio.gather(*(has_ended(process, PROGRAM_STOP_SECONDS) for process in self.processes.values()))
        for process in self.processes.values():
            kill(process)

    def _report(self, message: str, fraction: float | None) -> None:
        share = "" if fraction is None else f" {fraction:.0%}"
        if self.console.is_terminal:
            self._status.update(f"{message}{share}")
        elif fraction is None or fraction in {0, 1}:
            self.console.print(message)

    def _show_summary(self, *, seconds: float) -> None:
        address = local_address(self.settings)
        readiness = httpx.get(f"{address}/health/ready", timeout=5, trust_env=False).json()
        table = Table("store", "engine", "provided by", title=f"IoTSphere is ready after {seconds:.1f} s")
        for store, condition in readiness["stores"].items():
            provider = "this command" if store in self.provided else "the environment"
            table.add_row(store, condition.get("engine") or f"[red]{condition.get('detail')}[/]", provider)
        self.console.print(table)
        self.console.print(f"Address:  {address}   (API: {address}/docs)")
        self.console.print(f"Data:     {self.data_dir}", soft_wrap=True)
        self.console.print(f"Log in as {self.settings.admin_email}")
        self._show_password()
        self.console.print("Try next:")
        for command in commands_to_try(self.settings):
            self.console.print(f"  {command}", highlight=False, soft_wrap=True)
        self.console.print("Ctrl-C stops everything.")

    def _show_password(self) -> None:
        if self.password is not None and self.settings.admin_password is None:
            self.console.print(f"Password: {self.password}   (shown this once)", highlight=False)
        self.password = None


async def _before(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work unless a stop is asked for first; tell whether it came to its end."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


def check_port(settings: Settings) -> None:
    """:raises CommandError: something else listens on the port."""
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise CommandError(
                f"Port {settings.port} cannot be used: {error.strerror}. Choose another with PORT=... or --port."
            ) from error


def local_address(settings: Settings) -> str:
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host
    return f"http://{host}:{settings.port}"


def commands_to_try(settings: Settings) -> list[str]:
    """Name commands that work as they stand, where the platform was started."""
    program = "iotsphere" if shutil.which("iotsphere") else relpath(Path(sys.executable).parent / "iotsphere")
    url = "" if settings.port == DEFAULT_PORT else f" --url {local_address(settings)}"
    return [
        f"curl {local_address(settings)}/health/ready",
        f"{program} simulate --hours 6{url}",
        f"{program} replay --help",
    ]
