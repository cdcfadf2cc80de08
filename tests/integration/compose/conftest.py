"""The servers of the compose set, started from its own files with the programs of the local stack."""

import asyncio
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from features.support.running import free_port
from iotsphere.localstack.account import Account, server_account
from iotsphere.localstack.cache import default_cache_dir
from iotsphere.localstack.programs import PostgresPrograms, find_postgres, find_valkey
from iotsphere.localstack.stack import ignore_progress
from tests.unit.compose.compose_file import FOLDER, SERVICES, environment

START_SECONDS = 60.0
# What a test can do without: that the data outlasts a power failure.
NOT_DURABLE = ("-cfsync=off", "-cfull_page_writes=off")


@dataclass(frozen=True)
class Database:
    """One database service on this machine: its variables, and the client's that lead to it."""

    service: str
    folder: Path
    port: int
    programs: PostgresPrograms

    @property
    def variables(self) -> dict[str, str]:
        return environment(self.service)

    @property
    def name(self) -> str:
        return self.variables["POSTGRES_DB"]

    def run(self, command: list[str], **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a command as inside the container."""
        inside = {
            "PATH": f"{self.programs.bin_folder}:/usr/bin:/bin",
            "PGHOST": str(self.folder),
            "PGPORT": str(self.port),
            "PGPASSWORD": self.variables["POSTGRES_PASSWORD"],
        }
        return subprocess.run(
            command, env=inside | self.variables | variables, check=False, capture_output=True, text=True
        )

    def is_healthy(self) -> bool:
        kind, command = SERVICES[self.service]["healthcheck"]["test"]
        assert kind == "CMD-SHELL"
        return self.run(["sh", "-c", command.replace("$$", "$")]).returncode == 0

    def dsn(self, *, database: str = "", user: str = "", password: str = "", host: str = "127.0.0.1") -> str:
        return make_conninfo(
            host=host,
            port=self.port,
            dbname=database or self.name,
            user=user or self.name,
            password=password or self.variables["ROLE_PASSWORD"],
            connect_timeout=5,
        )

    def superuser_dsn(self, *, database: str = "", host: str = "") -> str:
        user, password = self.variables["POSTGRES_USER"], self.variables["POSTGRES_PASSWORD"]
        return self.dsn(database=database, user=user, password=password, host=host or str(self.folder))


@pytest.fixture(scope="package", params=["telemetry-db", "registry-db"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database service after its first start: with TimescaleDB, and where there is none."""
    account = server_account()
    with folder_of(account) as folder:
        database = Database(request.param, folder, free_port(), programs_of(request.param))
        make_cluster(database, account)
        with running(server_command(database), cwd=folder, variables={"PATH": os.defpath}, **switch(account)):
            wait_until(database.is_healthy, "the database server did not become healthy")
            with psycopg.connect(database.superuser_dsn(database="postgres"), autocommit=True) as connection:
                connection.execute(SQL("CREATE DATABASE {}").format(Identifier(database.name)))
            made = database.run(["sh", str(FOLDER / "init-role.sh")])
            assert made.returncode == 0, made.stderr
            yield database


def programs_of(service: str) -> PostgresPrograms:
    wants_timescaledb = service == "telemetry-db"
    programs = asyncio.run(
        find_postgres(
            default_cache_dir(), wanted_major=None, want_timescaledb=wants_timescaledb, report=ignore_progress
        )
    )
    assert programs.timescaledb == wants_timescaledb
    return programs


@contextmanager
def folder_of(account: Account) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="iotsphere-compose-") as name:
        account.give(Path(name))
        yield Path(name)


def make_cluster(database: Database, account: Account) -> None:
    """Do what the image does before its first start."""
    password_file = database.folder / "password"
    password_file.write_text(database.variables["POSTGRES_PASSWORD"])
    shutil.copy(FOLDER / "pg_hba.conf", database.folder)
    for path in (password_file, database.folder / "pg_hba.conf"):
        account.give(path)
    command = [
        str(database.programs.bin_folder / "initdb"), "--no-sync", f"--pgdata={database.folder / 'data'}",
        f"--username={database.variables['POSTGRES_USER']}", f"--pwfile={password_file}",
        *shlex.split(database.variables["POSTGRES_INITDB_ARGS"]),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, cwd="/", **switch(account))


def server_command(database: Database) -> list[str]:
    """Return the service's command, with the places of this machine in it."""
    program, *options = SERVICES[database.service]["command"]
    here = [option.replace("/etc/iotsphere", str(database.folder)) for option in options]
    preloaded = ["-cshared_preload_libraries=timescaledb"] if database.programs.timescaledb else []
    return [
        str(database.programs.bin_folder / program), f"-D{database.folder / 'data'}", *here, *preloaded, *NOT_DURABLE,
        "-clisten_addresses=127.0.0.1", f"-cport={database.port}", f"-cunix_socket_directories={database.folder}",
    ]  # fmt: skip


def switch(account: Account) -> dict[str, Any]:
    return {"user": account.uid, "group": account.gid} if account.switch else {}


@contextmanager
def running(command: list[str], *, cwd: Path, variables: Mapping[str, str], **options: Any) -> Iterator[None]:
    process = subprocess.Popen(command, cwd=cwd, env=variables, **options)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"{what} within {START_SECONDS:.0f} s"
        time.sleep(0.02)


@pytest.fixture(scope="package")
def shadow_socket() -> Iterator[Path]:
    """The shadow service, on a socket."""
    program = asyncio.run(find_valkey(default_cache_dir()))
    with tempfile.TemporaryDirectory(prefix="iotsphere-compose-") as name:
        path = Path(name, "valkey.sock")
        command = ["sh", str(FOLDER / "start-valkey.sh"), "--port", "0", "--unixsocket", str(path)]
        variables = environment("shadow") | {"PATH": f"{program.parent}:{os.defpath}"}
        with running(command, cwd=Path(name), variables=variables):
            wait_until(path.exists, "the shadow server did not start")
            yield path
