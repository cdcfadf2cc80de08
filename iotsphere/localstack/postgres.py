"""The PostgreSQL server of one data folder: made, started, stopped, and connected to by its administrator."""

import signal
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg

from iotsphere.localstack.data_folder import OpenFolder
from iotsphere.localstack.errors import LocalStackError
from iotsphere.localstack.processes import Surroundings, run
from iotsphere.localstack.programs import PostgresPrograms
from iotsphere.localstack.server import Server
from iotsphere.localstack.stored_secrets import write_atomically

ADMINISTRATOR = "iotsphere_admin"
PORT = 5432
INITDB_SECONDS = 120.0
# `sameuser`: a role reaches the database of its own name and no other, whatever is granted inside.
ACCESS_RULES = f"""\
local all      {ADMINISTRATOR} scram-sha-256
local sameuser all             scram-sha-256
"""
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "jit": "off",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "max_connections": "100",
    # A query over decades of telemetry locks every chunk that it may have to look at.
    "max_locks_per_transaction": "256",
    "wal_compression": "on",
    "log_line_prefix": "%m [%p] %u@%d ",
    # UTC by the one name that PostgreSQL knows where the system has no time zone files.
    "log_timezone": "GMT",
    "timezone": "GMT",
    # The log must not keep the values that a refused statement carried, nor the rows that it met.
    "log_parameter_max_length_on_error": "0",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
TIMESCALEDB_SETTINGS = {
    "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off",
    # A scheduler for each database with the extension, beside the parallel workers.
    "timescaledb.max_background_workers": "32",
    "max_worker_processes": "48",
}
NOT_DURABLE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class PostgresAddress:
    """How the administrator reaches the server, and how a role's address is made."""

    sockets: Path
    admin_password: str
    timescaledb: bool

    def dsn(self, *, role: str, password: str, database: str) -> str:
        # With the port spelt out, no PGPORT of the user's environment leads the drivers to another socket.
        query = urlencode({"host": self.sockets, "port": PORT}, safe="/", quote_via=quote)
        return f"postgresql://{role}:{password}@/{database}?{query}"

    async def connect(self, database: str = "postgres") -> "psycopg.AsyncConnection[tuple[object, ...]]":
        """Open a connection as the superuser, outside transactions, as CREATE DATABASE must be."""
        dsn = self.dsn(role=ADMINISTRATOR, password=self.admin_password, database=database)
        return await psycopg.AsyncConnection.connect(dsn, autocommit=True, connect_timeout=5)

    async def answers(self) -> bool:
        """Tell whether the server takes connections by now.

        :raises LocalStackError: it answers, but not to our administrator.
        """
        try:
            connection = await self.connect()
        except psycopg.OperationalError as error:
            if "authentication failed" in str(error):
                raise LocalStackError(
                    "PostgreSQL refuses the administrator's password in secrets.json; put back the copy that belongs "
                    "to these databases"
                ) from None
            return False
        await connection.close()
        return True


async def make_cluster(
    folder: OpenFolder, *, programs: PostgresPrograms, sockets: OpenFolder, surroundings: Surroundings,
    password: str, durable: bool,
) -> None:  # fmt: skip
    """Run initdb in the folder.

    :raises LocalStackError: initdb failed.
    """
    password_file = sockets.path / "password"
    try:
        write_atomically(password_file, password)
        surroundings.account.give(password_file)
        command: list[str | Path] = [
            programs.bin_folder / "initdb", "-D", folder.inherited_path, "-U", ADMINISTRATOR,
            f"--pwfile={sockets.inherited_path}/{password_file.name}", "--auth=scram-sha-256", "--data-checksums",
            "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
        ]  # fmt: skip
        if not durable:
            command.append("--no-sync")
        reaching = surroundings.with_folders(folder, sockets)
        await run(command, surroundings=reaching, timeout_seconds=INITDB_SECONDS)
    except LocalStackError as error:
        raise LocalStackError(str(error).replace(folder.inherited_path, str(folder.path))) from None
    finally:
        password_file.unlink(missing_ok=True)
    (folder.path / "pg_hba.conf").write_text(ACCESS_RULES, encoding="ascii")


def forget_stale_process_id(cluster: Path) -> None:
    """Remove a killed server's pid file where that pid now belongs to some other program, as in restarted containers.

    PostgreSQL would take the other program for itself. That no server of ours lives, our lock has shown.
    """
    pid_file = cluster / "postmaster.pid"
    try:
        pid = int(pid_file.read_text(encoding="ascii").split("\n")[0])
        program = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return
    if program != "postgres":
        pid_file.unlink()


def launch_postgres(
    programs: PostgresPrograms, *, cluster: OpenFolder, sockets: OpenFolder, surroundings: Surroundings,
    durable: bool, log_path: Path,
) -> Server:  # fmt: skip
    forget_stale_process_id(cluster.path)
    settings = SETTINGS | {"unix_socket_directories": sockets.inherited_path}
    settings |= TIMESCALEDB_SETTINGS if programs.timescaledb else {}
    settings |= {} if durable else NOT_DURABLE_SETTINGS
    command: list[str | Path] = [programs.bin_folder / "postgres", "-D", cluster.inherited_path]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    reaching = replace(surroundings.with_folders(cluster, sockets), death_signal=signal.SIGINT)
    return Server.launch(command, surroundings=reaching, log_path=log_path)
