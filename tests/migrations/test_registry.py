from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import make_url

from iotsphere.localstack.stack import LocalStack, create_database
from repositories.migrations import HISTORIES, _config, is_current, upgrade
from repositories.registry.tables import metadata


@pytest.fixture
async def empty_dsn(stack: LocalStack) -> str:
    return await create_database(stack, f"registry_{uuid4().hex[:12]}", timescaledb=False)


def engine_of(dsn: str) -> sa.Engine:
    return sa.create_engine(make_url(dsn).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)


def test_the_history_leads_from_an_empty_database_to_what_the_adapter_expects(empty_dsn: str) -> None:
    assert not is_current("registry", empty_dsn)

    upgrade("registry", empty_dsn)
    upgrade("registry", empty_dsn)

    assert is_current("registry", empty_dsn)
    with engine_of(empty_dsn).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert _check_constraints(connection) == {
            str(constraint.name)
            for table in metadata.tables.values()
            for constraint in table.constraints
            if isinstance(constraint, sa.CheckConstraint)
        }


def test_indexes_are_what_only_their_definition_tells(registry_dsn: str) -> None:
    with engine_of(registry_dsn).connect() as connection:
        assert _definition(connection, "ix_devices_labels") == "gin (labels jsonb_path_ops)"
        assert _definition(connection, "uq_users_email") == "btree (lower(email))"
        assert (
            _definition(connection, "uq_devices_organisation_id_serial_number")
            == "btree (organisation_id, serial_number) WHERE (status <> 'retired'::text)"
        )


def test_every_foreign_key_is_led_by_an_index(registry_dsn: str) -> None:
    """Without one, taking a row away reads the whole of the table that refers to it."""
    with engine_of(registry_dsn).connect() as connection:
        inspector = sa.inspect(connection)
        for table in metadata.tables:
            leading = {index["column_names"][0] for index in inspector.get_indexes(table)}
            for key in inspector.get_foreign_keys(table):
                assert key["constrained_columns"][0] in leading, (table, key["name"])


def test_the_history_leads_back_to_an_empty_database(empty_dsn: str) -> None:
    upgrade("registry", empty_dsn)

    with engine_of(empty_dsn).begin() as connection:
        command.downgrade(_config("registry", connection), "base")

    with engine_of(empty_dsn).connect() as connection:
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]


def test_every_revision_says_what_it_does() -> None:
    for revision in Path(HISTORIES / "registry" / "versions").glob("*.py"):
        assert revision.read_text(encoding="utf-8").startswith('"""')


def _check_constraints(connection: sa.Connection) -> set[str | None]:
    """What ``compare_metadata`` does not look at."""
    inspector = sa.inspect(connection)
    return {constraint["name"] for table in metadata.tables for constraint in inspector.get_check_constraints(table)}


def _definition(connection: sa.Connection, index: str) -> str:
    definition: str = connection.execute(
        sa.text("SELECT pg_get_indexdef(to_regclass(:index))"), {"index": index}
    ).scalar_one()
    return definition.partition(" USING ")[2]
