"""What the servers themselves refuse, whoever asks."""

import asyncpg
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from redis import exceptions as refusals
from redis.asyncio import Redis

from iotsphere.localstack.stack import LocalStack, create_database

STORES = ("registry", "assets", "telemetry")
SERVER_DATABASES = ("postgres", "template1")


def dsn_of(stack: LocalStack, store: str) -> str:
    dsn = getattr(stack.addresses, f"{store}_dsn")
    assert isinstance(dsn, str)
    return dsn


async def ask(dsn: str, statement: str) -> object:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        answer = await connection.execute(statement.encode())
        row = await answer.fetchone() if answer.description else None
        return row[0] if row else None


@pytest.mark.parametrize("store", STORES)
async def test_a_role_reaches_its_own_database_through_both_drivers(running_stack: LocalStack, store: str) -> None:
    connection = await asyncpg.connect(dsn_of(running_stack, store))
    assert await connection.fetchval("SELECT current_database()") == f"iotsphere_{store}"
    await connection.close()

    assert await ask(dsn_of(running_stack, store), "SELECT current_user") == f"iotsphere_{store}"


@pytest.mark.parametrize("store", STORES)
async def test_a_role_reaches_no_database_but_its_own(running_stack: LocalStack, store: str) -> None:
    others = [f"iotsphere_{other}" for other in STORES if other != store]
    for database in (*others, *SERVER_DATABASES):
        dsn = make_conninfo(dsn_of(running_stack, store), dbname=database)
        with pytest.raises(psycopg.OperationalError, match="FATAL"):
            await ask(dsn, "SELECT 1")


@pytest.mark.parametrize("store", STORES)
async def test_the_grants_alone_would_keep_a_role_out_of_other_databases(
    running_stack: LocalStack, store: str
) -> None:
    # The access rules of the server stand in front of these rights; each must hold without the other.
    databases = await ask(
        dsn_of(running_stack, store),
        "SELECT array_agg(datname::text) FROM pg_database WHERE has_database_privilege(datname, 'CONNECT')",
    )

    assert databases == [f"iotsphere_{store}"]


@pytest.mark.parametrize("store", STORES)
async def test_a_role_has_no_power_over_the_server(running_stack: LocalStack, store: str) -> None:
    powers = await ask(
        dsn_of(running_stack, store),
        "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls "
        "FROM pg_roles WHERE rolname = current_user",
    )
    memberships = await ask(
        dsn_of(running_stack, store),
        "SELECT count(*) FROM pg_auth_members WHERE member = current_user::regrole",
    )

    assert (powers, memberships) == (False, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT pg_ls_dir('.')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY (SELECT 1) TO '/tmp/iotsphere-stolen'",
        "CREATE ROLE another",
        "CREATE DATABASE another",
        "ALTER SYSTEM SET fsync = off",
        "SELECT rolpassword FROM pg_authid",
        "SET ROLE iotsphere_admin",
        "CREATE EXTENSION file_fdw",
    ],
)
async def test_a_role_may_not_leave_its_database(running_stack: LocalStack, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await ask(dsn_of(running_stack, "registry"), statement)


async def test_a_wrong_password_is_refused(running_stack: LocalStack) -> None:
    dsn = make_conninfo(dsn_of(running_stack, "registry"), password="guess")

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await ask(dsn, "SELECT 1")


async def test_every_role_has_its_limits(running_stack: LocalStack) -> None:
    for store in STORES:
        limits = await ask(
            dsn_of(running_stack, store),
            "SELECT array[current_setting('statement_timeout'), current_setting('lock_timeout'),"
            " current_setting('idle_in_transaction_session_timeout')]",
        )
        assert limits == ["30s", "2s", "10s"]


async def test_no_tcp_port_is_open_and_pages_have_checksums(running_stack: LocalStack) -> None:
    dsn = dsn_of(running_stack, "registry")

    assert await ask(dsn, "SHOW listen_addresses") == ""
    assert await ask(dsn, "SHOW data_checksums") == "on"


async def test_one_more_database_is_made_with_and_without_the_extension(running_stack: LocalStack) -> None:
    plain = await create_database(running_stack, "test_plain", timescaledb=False)
    again = await create_database(running_stack, "test_plain", timescaledb=False)

    assert await ask(again, "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'") == 0
    with pytest.raises(psycopg.OperationalError):
        await ask(make_conninfo(plain, dbname="iotsphere_registry"), "SELECT 1")
    assert conninfo_to_dict(plain)["user"] == "test_plain"


async def test_a_role_makes_hypertables_where_the_stack_has_timescaledb(running_stack: LocalStack) -> None:
    if running_stack.engines["timescaledb"] is None:
        pytest.skip("this machine's stack has no TimescaleDB")
    dsn = await create_database(running_stack, "test_hypertables", timescaledb=True)

    await ask(dsn, "CREATE TABLE reading (at timestamptz NOT NULL, value float8)")
    await ask(dsn, "SELECT create_hypertable('reading', by_range('at'))::text")
    await ask(dsn, "INSERT INTO reading VALUES ('2026-01-01Z', 1) RETURNING 1")

    assert await ask(dsn, "SELECT count(*) FROM show_chunks('reading')") == 1


async def test_nothing_in_the_extension_is_scheduled_that_its_licence_refuses(running_stack: LocalStack) -> None:
    if running_stack.engines["timescaledb"] is None:
        pytest.skip("this machine's stack has no TimescaleDB")
    dsn = dsn_of(running_stack, "telemetry")
    scheduled = await ask(
        dsn,
        "SELECT count(*) FROM timescaledb_information.jobs WHERE scheduled AND proc_name LIKE 'policy_job%'",
    )

    assert (await ask(dsn, "SHOW timescaledb.license"), scheduled) == ("apache", 0)


@pytest.fixture
async def shadow(running_stack: LocalStack) -> Redis:
    assert running_stack.addresses.shadow_url is not None
    return Redis.from_url(running_stack.addresses.shadow_url, decode_responses=True)


async def test_the_shadow_user_does_its_work_inside_its_key_space(shadow: Redis) -> None:
    async with shadow:
        assert await shadow.set("iotsphere:a", "1")
        assert await shadow.eval("return redis.call('INCR', KEYS[1])", 1, "iotsphere:a") == 2
        digest = await shadow.script_load("return redis.call('GET', KEYS[1])")
        assert await shadow.evalsha(digest, 1, "iotsphere:a") == "2"
        await shadow.xadd("iotsphere:changes", {"a": "1"})
        await shadow.xgroup_create("iotsphere:changes", "group", id="0")
        assert await shadow.xreadgroup("group", "me", {"iotsphere:changes": ">"})
        assert [key async for key in shadow.scan_iter("iotsphere:a")] == ["iotsphere:a"]
        assert await shadow.publish("iotsphere:news", "x") == 0
        assert (await shadow.info("persistence"))["aof_enabled"] == 1
        assert await shadow.waitaof(1, 0, 2000) == [1, 0]
        assert await shadow.ping()


@pytest.mark.parametrize(
    "command",
    [
        "GET other", "SET other 1", "PUBLISH other x", "KEYS *", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1",
        "CONFIG GET *", "ACL LIST", "ACL WHOAMI", "SHUTDOWN NOSAVE", "MONITOR", "CLIENT LIST",
        "REPLICAOF NO ONE", "MODULE LIST", "SORT iotsphere:l BY other", "COPY iotsphere:a other",
    ],
)  # fmt: skip
async def test_the_shadow_user_may_not_leave_its_key_space(shadow: Redis, command: str) -> None:
    async with shadow:
        with pytest.raises(refusals.NoPermissionError):
            await shadow.execute_command(*command.split())  # type: ignore[no-untyped-call]


async def test_a_script_may_not_leave_the_key_space_either(shadow: Redis) -> None:
    async with shadow:
        with pytest.raises(refusals.ResponseError, match="ACL failure"):
            await shadow.eval("return redis.call('GET', 'other')", 0)


async def test_nobody_reaches_the_shadow_store_without_a_password(running_stack: LocalStack) -> None:
    url = running_stack.addresses.shadow_url
    assert url is not None
    for stranger in (url.replace("iotsphere:", ":", 1), url.replace("://iotsphere:", "://iotsphere:x")):
        async with Redis.from_url(stranger) as client:
            with pytest.raises(refusals.ConnectionError, match="invalid username-password"):
                await client.ping()
    async with Redis(unix_socket_path=url.partition("@")[2].partition("?")[0]) as client:
        with pytest.raises(refusals.ConnectionError, match="must be called with the client already authenticated"):
            await client.ping()
