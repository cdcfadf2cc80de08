"""What the first start of a database service leaves behind, and whom it lets in."""

from typing import Any

import psycopg
import pytest

from iotsphere.localstack.provisioning import ROLE_LIMITS
from repositories.migrations import is_current, upgrade
from tests.integration.compose.conftest import Database
from tests.unit.compose.compose_file import FOLDER


def ask(dsn: str, statement: str) -> Any:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None


def test_the_role_owns_its_database_and_has_no_power_over_the_server(database: Database) -> None:
    owner = ask(database.dsn(), "SELECT datdba::regrole::text FROM pg_database WHERE datname = current_database()")
    powers = ask(
        database.dsn(),
        "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls "
        "FROM pg_roles WHERE rolname = current_user",
    )
    memberships = ask(database.dsn(), "SELECT count(*) FROM pg_auth_members WHERE member = current_user::regrole")

    assert (owner, powers, memberships) == (database.name, False, 0)


def test_the_role_has_the_limits_that_the_local_stack_gives(database: Database) -> None:
    limits = ask(database.dsn(), "SELECT setconfig FROM pg_db_role_setting WHERE setrole = current_user::regrole")

    assert sorted(limits) == sorted(f"{name}={value}" for name, value in ROLE_LIMITS.items())


def test_the_grants_alone_would_keep_the_role_out_of_other_databases(database: Database) -> None:
    reachable = ask(
        database.dsn(),
        "SELECT array_agg(datname::text) FROM pg_database WHERE has_database_privilege(datname, 'CONNECT')",
    )

    assert reachable == [database.name]


@pytest.mark.parametrize("other", ["postgres", "template1"])
def test_the_access_rules_keep_the_role_out_too(database: Database, other: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        ask(database.dsn(database=other), "SELECT 1")


def test_a_wrong_password_is_refused(database: Database) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        ask(database.dsn(password="guess"), "SELECT 1")


@pytest.mark.parametrize("other", ["", "postgres"])
def test_the_superuser_is_refused_on_the_network(database: Database, other: str) -> None:
    assert ask(database.superuser_dsn(), "SELECT current_user") == "iotsphere_admin"
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        ask(database.superuser_dsn(database=other, host="127.0.0.1"), "SELECT 1")


def test_the_password_is_kept_as_a_scram_hash_and_pages_have_checksums(database: Database) -> None:
    kept = ask(database.superuser_dsn(), "SELECT rolpassword FROM pg_authid WHERE rolname = current_database()")

    assert kept.startswith("SCRAM-SHA-256$")
    assert ask(database.superuser_dsn(), "SHOW data_checksums") == "on"
    assert ask(database.superuser_dsn(), "SHOW log_line_prefix") == "%m [%p] %u@%d "


def test_the_schema_of_the_store_can_be_made_by_its_role(database: Database) -> None:
    store = database.service.removesuffix("-db")
    dsn = f"postgresql://{database.name}:{database.variables['ROLE_PASSWORD']}@127.0.0.1:{database.port}/{database.name}"

    upgrade(store, dsn)

    assert is_current(store, dsn)


def test_timescaledb_is_there_where_the_server_has_it(database: Database) -> None:
    version = ask(database.dsn(), "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    owner = ask(database.dsn(), "SELECT extowner::regrole::text FROM pg_extension WHERE extname = 'timescaledb'")

    assert (version is not None) == database.programs.timescaledb
    assert owner == ("iotsphere_admin" if database.programs.timescaledb else None)


def test_a_role_without_a_password_is_not_made(database: Database) -> None:
    refused = database.run(["sh", str(FOLDER / "init-role.sh")], ROLE_PASSWORD="")

    assert refused.returncode != 0
    assert "ROLE_PASSWORD" in refused.stderr


def test_a_first_start_that_goes_wrong_says_so(database: Database) -> None:
    # The role is there already, so its second making stands for whatever may fail.
    refused = database.run(["sh", str(FOLDER / "init-role.sh")])

    assert refused.returncode != 0
    assert "already exists" in refused.stderr
    assert database.variables["ROLE_PASSWORD"] not in refused.stdout + refused.stderr
