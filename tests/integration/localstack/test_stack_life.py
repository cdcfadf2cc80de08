"""Starting, stopping, being killed, and being refused."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from iotsphere.localstack import data_folder
from iotsphere.localstack.errors import LocalStackError
from iotsphere.localstack.stack import LocalStack

DEADLINE_SECONDS = 30.0


@asynccontextmanager
async def started(data: Path, cache_dir: Path, **options: object) -> AsyncIterator[LocalStack]:
    stack = LocalStack(data, cache_dir=cache_dir, **options)  # type: ignore[arg-type]
    await stack.start()
    try:
        yield stack
    finally:
        await stack.stop()


async def remember(stack: LocalStack, note: str) -> None:
    addresses = stack.addresses
    assert addresses.telemetry_dsn
    assert addresses.shadow_url
    async with await psycopg.AsyncConnection.connect(addresses.telemetry_dsn, autocommit=True) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS note (text text)")
        await connection.execute("INSERT INTO note VALUES (%s)", (note,))
    async with Redis.from_url(addresses.shadow_url) as client:
        await client.rpush("iotsphere:notes", note)
        # Acknowledged means on disk, however often the server syncs by itself.
        assert await client.waitaof(1, 0, 5000) == [1, 0]


async def recall(stack: LocalStack) -> tuple[list[str], list[str]]:
    addresses = stack.addresses
    assert addresses.telemetry_dsn
    assert addresses.shadow_url
    async with await psycopg.AsyncConnection.connect(addresses.telemetry_dsn) as connection:
        rows = await (await connection.execute("SELECT text FROM note ORDER BY text")).fetchall()
    async with Redis.from_url(addresses.shadow_url, decode_responses=True) as client:
        return [row[0] for row in rows], [str(note) for note in await client.lrange("iotsphere:notes", 0, -1)]


def process_table(pid: int, column: str) -> str:
    command = ["ps", "-ww", "-o", f"{column}=", "-p", str(pid)]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def is_running(pid: int) -> bool:
    # A killed child of a killed process stays in the table as a zombie until somebody reaps it.
    state = process_table(pid, "stat")
    return bool(state) and not state.startswith("Z")


@pytest.mark.parametrize("timescaledb", [True, False], ids=["packages", "wheel"])
async def test_data_is_there_again_after_a_stop_and_a_start(
    tmp_path: Path, cache_dir: Path, timescaledb: bool
) -> None:
    async with started(tmp_path, cache_dir, timescaledb=timescaledb) as stack:
        first = stack.addresses
        await remember(stack, "first")

    # The data decides by which PostgreSQL it is opened, whatever would be taken for new data.
    async with started(tmp_path, cache_dir) as stack:
        await remember(stack, "second")
        assert await recall(stack) == (["first", "second"], ["first", "second"])
        assert first.telemetry_dsn
        assert stack.addresses.telemetry_dsn
        assert first.telemetry_dsn.partition("@")[0] == stack.addresses.telemetry_dsn.partition("@")[0]
        if not timescaledb:
            assert stack.engines["timescaledb"] is None


async def test_nothing_runs_and_no_socket_is_left_after_a_stop(tmp_path: Path, cache_dir: Path) -> None:
    async with started(tmp_path, cache_dir) as stack:
        pids = [server.process.pid for server in stack.servers]
        sockets = (tmp_path / "sockets").readlink()
        assert len(pids) == 2
        assert {path.name for path in sockets.iterdir()} >= {".s.PGSQL.5432", "valkey.sock"}

    await stack.stop()
    assert not any(is_running(pid) for pid in pids)
    assert not sockets.exists()
    assert stack.addresses.registry_dsn is None


async def test_passwords_are_for_the_owner_alone_and_in_no_process_list(tmp_path: Path, cache_dir: Path) -> None:
    async with started(tmp_path, cache_dir) as stack:
        secrets = json.loads((tmp_path / "secrets.json").read_text())
        commands = [process_table(server.process.pid, "args") for server in stack.servers]

    logs = [path.read_text() for path in (tmp_path / "log").iterdir()]
    assert len(secrets) == 6
    assert not [word for word in secrets.values() for text in (*commands, *logs) if word in text]
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


async def test_only_what_is_asked_for_is_started(tmp_path: Path, cache_dir: Path) -> None:
    async with started(tmp_path / "shadow", cache_dir, provide=frozenset({"shadow"})) as stack:
        assert [server.name for server in stack.servers] == ["valkey-server"]
        assert stack.addresses.registry_dsn is None

    async with started(tmp_path / "registry", cache_dir, provide=frozenset({"registry"})) as stack:
        assert [server.name for server in stack.servers] == ["postgres"]
        assert stack.addresses.registry_dsn
        assert stack.addresses.telemetry_dsn is stack.addresses.shadow_url is None


async def test_a_store_that_is_asked_for_later_is_added(tmp_path: Path, cache_dir: Path) -> None:
    async with started(tmp_path, cache_dir, provide=frozenset({"registry"})):
        pass

    async with started(tmp_path, cache_dir) as stack:
        await remember(stack, "added")


async def test_killed_servers_come_up_again_with_what_was_acknowledged(tmp_path: Path, cache_dir: Path) -> None:
    async with started(tmp_path, cache_dir) as stack:
        await remember(stack, "before")
        for server in stack.servers:
            os.kill(server.process.pid, signal.SIGKILL)
        assert await stack.wait_for_exit() in {"postgres", "valkey-server"}

    async with started(tmp_path, cache_dir) as stack:
        assert await recall(stack) == (["before"], ["before"])


@pytest.mark.parametrize("name", ["postgres", "valkey-server"])
async def test_a_server_that_dies_by_itself_is_named(tmp_path: Path, cache_dir: Path, name: str) -> None:
    async with started(tmp_path, cache_dir) as stack:
        (server,) = (server for server in stack.servers if server.name == name)
        server.process.terminate()
        assert await asyncio.wait_for(stack.wait_for_exit(), DEADLINE_SECONDS) == name


async def test_a_server_that_died_is_launched_again_with_its_data(tmp_path: Path, cache_dir: Path) -> None:
    async with started(tmp_path, cache_dir) as stack:
        await remember(stack, "before")
        for server in stack.servers:
            os.kill(server.process.pid, signal.SIGKILL)
        revived: set[str] = set()
        recalled = None
        deadline = time.monotonic() + DEADLINE_SECONDS
        while recalled != (["before"], ["before"]):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)
            revived.update(stack.revive())
            with contextlib.suppress(psycopg.OperationalError, RedisError):
                recalled = await recall(stack)

        assert revived == {"postgres", "valkey-server"}
        assert stack.revive() == []


async def test_a_frozen_server_does_not_hold_up_the_stop_for_ever(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iotsphere.localstack.stack.STOP_SECONDS", 0.1)
    async with started(tmp_path, cache_dir) as stack:
        pids = [server.process.pid for server in stack.servers]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    assert not any(is_running(pid) for pid in pids)


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from iotsphere.localstack.stack import LocalStack

async def main():
    stack = LocalStack(Path(sys.argv[1]), cache_dir=Path(sys.argv[2]))
    await stack.start()
    print(*(server.process.pid for server in stack.servers), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def supervisor(tmp_path: Path, cache_dir: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path), str(cache_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_servers_end_with_a_killed_supervisor_and_the_next_start_succeeds(
    tmp_path: Path, cache_dir: Path, supervisor: subprocess.Popen[str]
) -> None:
    assert supervisor.stdout
    pids = [int(word) for word in (await asyncio.to_thread(supervisor.stdout.readline)).split()]
    assert len(pids) == 2

    sockets = (tmp_path / "sockets").readlink()
    supervisor.kill()
    supervisor.wait()

    async with started(tmp_path, cache_dir) as stack:
        await remember(stack, "after")
        assert not any(is_running(pid) for pid in pids)
    assert not sockets.exists()


async def test_orphaned_servers_are_waited_for_and_then_refused(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_folder, "ORPHAN_WAIT_SECONDS", 0.1)
    async with started(tmp_path, cache_dir) as stack:
        (tmp_path / "lock").rename(tmp_path / "lock-of-a-killed-supervisor")
        with pytest.raises(LocalStackError, match="servers of an earlier run"):
            await LocalStack(tmp_path, cache_dir=cache_dir).start()
        await remember(stack, "undisturbed")


async def test_a_second_stack_on_the_same_folder_is_refused_and_the_first_goes_on(
    tmp_path: Path, cache_dir: Path
) -> None:
    async with started(tmp_path, cache_dir) as stack:
        with pytest.raises(LocalStackError, match="another IoTSphere is running"):
            await LocalStack(tmp_path, cache_dir=cache_dir).start()
        with pytest.raises(LocalStackError, match="running already"):
            await stack.start()
        await remember(stack, "undisturbed")


async def test_data_of_another_major_version_is_refused_and_not_touched(tmp_path: Path, cache_dir: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "VERSION").write_text("1 16\n")

    with pytest.raises(LocalStackError, match="made by PostgreSQL 16"):
        await LocalStack(tmp_path, cache_dir=cache_dir).start()

    assert list((tmp_path / "postgres").iterdir()) == []
    assert (tmp_path / "VERSION").read_text() == "1 16\n"


async def test_databases_without_their_passwords_are_refused_and_keep_their_data(
    tmp_path: Path, cache_dir: Path
) -> None:
    async with started(tmp_path, cache_dir) as stack:
        await remember(stack, "kept")
    (tmp_path / "secrets.json").rename(tmp_path / "backup.json")

    with pytest.raises(LocalStackError, match=r"password in secrets\.json"):
        await LocalStack(tmp_path, cache_dir=cache_dir).start()

    (tmp_path / "backup.json").rename(tmp_path / "secrets.json")
    async with started(tmp_path, cache_dir) as stack:
        assert await recall(stack) == (["kept"], ["kept"])


async def test_a_server_that_cannot_start_says_why_and_nothing_is_left_running(
    tmp_path: Path, cache_dir: Path
) -> None:
    async with started(tmp_path, cache_dir):
        pass
    (tmp_path / "postgres" / "pg_hba.conf").write_text("nonsense\n")

    stack = LocalStack(tmp_path, cache_dir=cache_dir)
    with pytest.raises(LocalStackError, match=r"postgres ended before it was ready: .*FATAL.*postgres\.log"):
        await stack.start()

    assert stack.servers == []
    assert not (tmp_path / "sockets").is_symlink()


async def test_a_start_that_is_broken_off_leaves_nothing_running_and_can_be_repeated(
    tmp_path: Path, cache_dir: Path
) -> None:
    reached: asyncio.Queue[str] = asyncio.Queue()
    stack = LocalStack(tmp_path, cache_dir=cache_dir, report=lambda message, _: reached.put_nowait(message))
    for step in ("Preparing the databases", "Starting PostgreSQL", "Starting Valkey"):
        starting = asyncio.create_task(stack.start())
        while await asyncio.wait_for(reached.get(), DEADLINE_SECONDS) != step:
            pass
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert stack.servers == []
        assert not (tmp_path / "sockets").is_symlink()

    await stack.start()
    await remember(stack, "at last")
    await stack.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its servers to another account")
async def test_a_cache_that_the_servers_cannot_reach_is_refused(tmp_path: Path) -> None:
    # pytest's folders are for their owner alone.
    with pytest.raises(LocalStackError, match="choose a cache folder that this account can reach"):
        await LocalStack(tmp_path / "data", cache_dir=tmp_path / "cache", timescaledb=False).start()


@pytest.fixture
def empty_cache() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def test_without_apt_the_wheel_serves_and_the_user_is_told(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told: list[str] = []
    async with started(tmp_path, empty_cache, report=lambda message, _: told.append(message)) as stack:
        assert stack.engines["timescaledb"] is None
        await remember(stack, "served")

    assert "Without TimescaleDB, telemetry will be kept on native partitions: this system has no apt" in told
