"""Roles and databases: each role owns one database and can reach no other."""

from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import UndefinedObject
from psycopg.sql import SQL, Identifier, Literal

from iotsphere.localstack.postgres import PostgresAddress

Connection = AsyncConnection[tuple[Any, ...]]
ROLE_LIMITS = {
    "statement_timeout": "30s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
}


async def close_shared_databases(connection: Connection) -> None:
    """Take the right to connect to the server's own databases from everybody but the superuser."""
    await connection.execute("REVOKE ALL ON DATABASE postgres, template0, template1 FROM PUBLIC")


async def provision_database(connection: Connection, name: str, password: str) -> None:
    """Make the database and the role of this name, or bring them to what they should be."""
    await _provision_role(connection, name, password)
    found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
    if await found.fetchone() is None:
        # template1 may be held by a background worker just then, and copying it would fail.
        statement = SQL("CREATE DATABASE {0} OWNER {0} TEMPLATE template0").format(Identifier(name))
        await connection.execute(statement)
    await connection.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(name)))


async def _provision_role(connection: Connection, name: str, password: str) -> None:
    # Only the hash goes to the server, so that no log of statements can hold the password.
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    found = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
    verb = SQL("CREATE") if await found.fetchone() is None else SQL("ALTER")
    await connection.execute(
        SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD {}").format(
            verb, Identifier(name), Literal(verifier)
        )
    )
    for setting, value in ROLE_LIMITS.items():
        await connection.execute(
            SQL("ALTER ROLE {} SET {} = {}").format(Identifier(name), Identifier(setting), Literal(value))
        )


async def provision_timescaledb(address: PostgresAddress, database: str) -> str:
    """Put the extension into the database, or bring it to the version of the programs; return that version."""
    async with await address.connect(database) as connection:
        # A session that has asked anything before may no longer update: so update first, and see.
        try:
            await connection.execute("ALTER EXTENSION timescaledb UPDATE")
        except UndefinedObject:
            await connection.execute("CREATE EXTENSION timescaledb")
        # The Apache edition ships this job and refuses to run it: an error in the log at every turn.
        await connection.execute(
            "UPDATE _timescaledb_config.bgw_job SET scheduled = false "
            "WHERE proc_name = 'policy_job_stat_history_retention' "
            "AND current_setting('timescaledb.license') = 'apache'"
        )
        version = await connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
        return str((await version.fetchone() or (None,))[0])
